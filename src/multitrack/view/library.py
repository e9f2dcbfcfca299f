"""The runs of a directory: a row for each, and the index of those that are looked into."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multitrack.trackers.folder import RunFolder, find_runs
from multitrack.view.index import Recorded, RunIndex
from multitrack.view.rows import Row

MEMORY = 512 * 1024 * 1024
"""Bytes that the indexes of runs may take; the one that was looked into last is always kept."""


class UnknownRunError(LookupError):
    """There is no such run."""


class Library:
    """The runs of a directory.

    Args:
        directory: where they are; it may be made later.
        memory: bytes that the indexes of runs may take.
    """

    def __init__(self, directory: Path, memory: int = MEMORY) -> None:
        self.directory = directory
        self._memory = memory
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._indexes: OrderedDict[str, RunIndex] = OrderedDict()

    def rows(self) -> list[Row]:
        """Return a row for each run, as it is now, the newest first."""
        with self._lock:
            self._find()
            rows = list(self._rows.values())
            for row in rows:
                row.refresh()
        return sorted(rows, key=lambda row: (row.started, row.folder.run_id), reverse=True)

    def _find(self) -> None:
        """See which runs there are, unless everything in the directory is a run that is known."""
        if self._names() == self._rows.keys():
            return
        self._rows = {
            folder.run_id: self._rows.get(folder.run_id) or Row(folder)
            for folder in find_runs(self.directory)
        }

    def _names(self) -> set[str]:
        try:
            return {path.name for path in self.directory.iterdir()}
        except OSError:
            return set()

    @contextmanager
    def open(self, run_id: str) -> Iterator[Recorded]:
        """Give what a run's journal says by now, until the block ends.

        Raises:
            UnknownRunError: there is no such run.
            UnreadableRunError: its journal is none.
            OSError: it cannot be read.
        """
        index = self._index(run_id)
        with index.lock:
            yield index.refresh()
        self._drop_old_ones(keep=run_id)

    def folder(self, run_id: str) -> RunFolder:
        """Return the folder of a run.

        Raises:
            UnknownRunError: there is no such run.
        """
        known = self._rows.get(run_id)
        if known and known.folder.exists:
            return known.folder
        for folder in find_runs(self.directory):
            if folder.run_id == run_id:
                return folder
        raise UnknownRunError(f"there is no run {run_id!r} in {self.directory}")

    def _index(self, run_id: str) -> RunIndex:
        folder = self.folder(run_id)
        with self._lock:
            if run_id not in self._indexes:
                self._indexes[run_id] = RunIndex(folder)
            self._indexes.move_to_end(run_id)
            return self._indexes[run_id]

    def _drop_old_ones(self, keep: str) -> None:
        with self._lock:
            total = sum(index.nbytes for index in self._indexes.values())
            for run_id in list(self._indexes):
                if total > self._memory and run_id != keep:
                    total -= self._indexes.pop(run_id).nbytes
