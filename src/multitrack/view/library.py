"""The runs of a directory: a row for each, and the index of those that are looked into."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from multitrack.trackers.folder import RunFolder, find_runs
from multitrack.view.follow import FOREVER
from multitrack.view.index import Recorded, RunIndex
from multitrack.view.rows import Row

MEMORY = 512 * 1024 * 1024
"""Bytes that the indexes of runs may take; the one that was looked into last is always kept."""


READING = 0.15
"""Seconds that one look at the table spends on reading journals from end to end."""


class Table(NamedTuple):
    """The runs of a directory.

    Attributes:
        version: which changes with the table.
        ids: of all the runs, the newest first.
        bodies: the rows, as JSON, that are new since the version that was asked about.
        is_reading: whether more is to be read of some run.
    """

    version: str
    ids: list[str]
    bodies: list[bytes]
    is_reading: bool


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
        self._origin = secrets.token_hex(4)
        self._version = 0
        self._rows: dict[str, Row] = {}
        self._indexes: OrderedDict[str, RunIndex] = OrderedDict()

    def table(self, since: str = "") -> Table:
        """Return the runs, as they are now.

        Args:
            since: the version of the table that is known already.
        """
        with self._lock:
            is_changed = self._find()
            rows = self._rows.values()
            changed = [row for row in rows if row.refresh()] + self._read_on()
            if changed or is_changed:
                self._version += 1
            for row in changed:
                row.version = self._version
            known = self._known(since)
            order = sorted(rows, key=lambda row: (row.started, row.folder.run_id), reverse=True)
            return Table(
                version=f"{self._origin}-{self._version}",
                ids=[row.folder.run_id for row in order],
                bodies=[row.body for row in order if row.version > known],
                is_reading=any(row.is_behind for row in rows),
            )

    def _find(self) -> bool:
        """See which runs there are; tell whether they are others than before."""
        if self._names() == self._rows.keys():
            return False
        before = self._rows
        self._rows = {
            folder.run_id: before.get(folder.run_id) or Row(folder)
            for folder in find_runs(self.directory)
        }
        return before.keys() != self._rows.keys()

    def _read_on(self) -> list[Row]:
        """Read on in journals of which only the ends are known, for a while; return who changed."""
        until = time.monotonic() + READING
        newest = sorted(self._rows.values(), key=lambda row: row.started, reverse=True)
        behind = (row for row in newest if row.is_behind and time.monotonic() < until)
        return [row for row in behind if row.read_on(until)]

    def _known(self, since: str) -> int:
        """Return the number of a version; of one that another library gave, nothing is known."""
        origin, _, number = since.rpartition("-")
        return int(number) if origin == self._origin and number.isdecimal() else -1

    def _names(self) -> set[str]:
        try:
            return {path.name for path in self.directory.iterdir()}
        except OSError:
            return set()

    @contextmanager
    def open(self, run_id: str, until: float = FOREVER) -> Iterator[Recorded]:
        """Give what a run's journal says by now, until the block ends.

        Args:
            run_id: which run.
            until: when to stop reading it, on the clock of `time.monotonic`.

        Raises:
            UnknownRunError: there is no such run.
            UnreadableRunError: its journal is none.
            OSError: it cannot be read.
        """
        index = self._index(run_id)
        with index.lock:
            yield index.refresh(until)
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
