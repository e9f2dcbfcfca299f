"""What a journal says, kept in memory and read on from where it was last read."""

from __future__ import annotations

import stat
import threading
from array import array
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import History, Series, UnreadableRunError, status_of
from multitrack.trackers.journal import Corrupt, Entry, JournalReader
from multitrack.trackers.records import (
    AnyRecord,
    Header,
    Metrics,
    Stepped,
    files_of,
)
from multitrack.view.curves import Floats, Numbers

BATCH = 20_000
"""Records that are read in one go."""
NUMBER_BYTES = 8
SERIES_BYTES = 1000
"""What a name takes, beside its numbers."""
FILE_BYTES = 300
"""What a staged file takes."""


class Columns(NamedTuple):
    """The points of one metric, in the order in which they were logged.

    Attributes:
        steps: their steps.
        times: Unix seconds at which they were logged.
        epochs: their epochs; NaN where there is none.
        values: their values.
    """

    steps: Numbers
    times: Floats
    epochs: Floats
    values: Floats


class Span(NamedTuple):
    """Where a record's line lies in the journal, in bytes."""

    start: int
    end: int


@dataclass
class Recorded(History):
    """All that a journal says, and what charts and pictures need beside it.

    Attributes:
        last: the last record.
        last_step: the last step that was logged.
        staged: the names of the files that the records name, by their path in the run's folder.
        spans: the lines of the media, by kind and name.
    """

    last: AnyRecord | None = None
    last_step: int | None = None
    staged: dict[str, str] = field(default_factory=dict)
    spans: defaultdict[tuple[str, str], list[Span]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _epochs: array[float] = field(default_factory=lambda: array("d"))
    _rows: defaultdict[str, array[int]] = field(
        default_factory=lambda: defaultdict(lambda: array("q"))
    )

    def take(self, record: AnyRecord, start: int, end: int) -> None:
        """Take a record, whose line lies between two bytes of the journal."""
        self.last = record
        epoch = None
        if isinstance(record, Stepped):
            self.last_step, epoch = record.step, record.epoch
        self._epochs.append(nan if epoch is None else epoch)
        self.add(record, end)
        if isinstance(record, Metrics):
            self._place(record)
        else:
            self._keep(record, Span(start, end))

    def metrics(self) -> dict[str, Series]:
        """Return the metrics that have a point, by name."""
        return {name: series for name, series in self.series.items() if series.values}

    def columns(self, name: str) -> Columns:
        """Return copies of a metric's points."""
        series, rows = self.series[name], np.array(self._rows[name], dtype=np.intp)
        return Columns(
            np.array(series.steps),
            np.frombuffer(self._times)[rows],
            np.frombuffer(self._epochs)[rows],
            np.array(series.values),
        )

    @property
    def nbytes(self) -> int:
        """About how much memory this takes."""
        points = sum(map(len, self._rows.values()))
        numbers = 3 * self.records + 3 * points + 12 * sum(map(len, self.spans.values()))
        return (
            NUMBER_BYTES * numbers + SERIES_BYTES * len(self.series) + FILE_BYTES * len(self.staged)
        )

    def _place(self, metrics: Metrics) -> None:
        row = len(self._epochs) - 1
        for name in metrics.values:
            rows = self._rows[name]
            if name in self.series and len(self.series[name].values) > len(rows):  # else: no number
                rows.append(row)

    def _keep(self, record: AnyRecord, span: Span) -> None:
        for file in files_of(record):
            self.staged[file.path] = file.name
        if isinstance(record, Stepped) and (key := getattr(record, "key", None)):
            self.spans[type(record).__name__.lower(), key].append(span)


class RunIndex:
    """One run, as far as its journal was read; nothing is read before it is looked at.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._recorded: Recorded | None = None
        self._offset = 0
        self._mark = 0

    @property
    def nbytes(self) -> int:
        """About how much memory this takes."""
        return self._recorded.nbytes if self._recorded else 0

    def refresh(self) -> Recorded:
        """Read what came since; all anew, if it is another journal by now.

        The caller holds the lock as long as it looks at what is returned.

        Raises:
            UnreadableRunError: the journal does not start with a header, or is no file of its own.
            OSError: the journal cannot be read.
        """
        require_own_file(self.folder.journal)
        with closing(JournalReader(self.folder.journal, self._offset)) as reader:
            if self._recorded is None or reader.mark(self._offset) != self._mark:
                reader.offset = 0
                self._recorded = self._begin(reader)
            self._read_on(reader, self._recorded)
        recorded = self._recorded
        recorded.status = status_of(self.folder, recorded.last or recorded.header)
        return recorded

    def _begin(self, reader: JournalReader) -> Recorded:
        first = next(iter(reader.read(1)), None)
        if isinstance(first, Entry) and isinstance(first.record, Header):
            recorded = Recorded(self.folder, first.record)
            recorded.take(*first)
            return recorded
        raise UnreadableRunError(f"{self.folder.journal} does not start with the header of a run.")

    def _read_on(self, reader: JournalReader, recorded: Recorded) -> None:
        while entries := reader.read(BATCH):
            for entry in entries:
                if isinstance(entry, Corrupt):
                    recorded.corrupt += 1
                else:
                    recorded.take(*entry)
        self._offset, self._mark = reader.offset, reader.mark(reader.offset)


def require_own_file(path: Path) -> None:
    """See that a run's file is a plain one: a link may lead anywhere, a pipe has no end.

    Raises:
        UnreadableRunError: it is not.
        OSError: there is none.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise UnreadableRunError(f"{path} is a link or no file: it is not read.")
