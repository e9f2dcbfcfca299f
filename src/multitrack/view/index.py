"""What a journal says, kept in memory and read on from where it was last read."""

from __future__ import annotations

import threading
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple

import numpy as np

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import (
    History,
    Series,
    UnreadableRunError,
    read_tail,
    status_of,
)
from multitrack.trackers.journal import Corrupt, Entry
from multitrack.trackers.records import (
    AnyRecord,
    Header,
    Metrics,
    Stepped,
    files_of,
)
from multitrack.view.curves import Floats, Numbers
from multitrack.view.follow import FOREVER, Follower

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
class _Curve(Series):
    """A metric's points, and which records of the journal they are of."""

    rows: array[int] = field(default_factory=lambda: array("q"))


@dataclass
class Recorded(History):
    """All that a journal says, and what charts and pictures need beside it.

    Attributes:
        unread: bytes of the journal that were not read yet.
        last: the last record.
        last_step: the last step that was logged.
        staged: the names of the files that the records name, by their path in the run's folder.
        spans: the lines of the media, by kind and name.
    """

    unread: int = 0
    last: AnyRecord | None = None
    last_step: int | None = None
    staged: dict[str, str] = field(default_factory=dict)
    spans: defaultdict[tuple[str, str], list[Span]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _epochs: array[float] = field(default_factory=lambda: array("d"))
    _curves: dict[str, _Curve] = field(default_factory=dict)

    def take(self, record: AnyRecord, start: int, end: int) -> None:
        """Take a record, whose line lies between two bytes of the journal."""
        self.last = record
        epoch = None
        if isinstance(record, Stepped):
            self.last_step, epoch = record.step, record.epoch
        self._epochs.append(nan if epoch is None else epoch)
        self.add(record, end)
        if type(record) is not Metrics:
            self._keep(record, Span(start, end))

    def add_metrics(self, metrics: Metrics) -> None:
        """Take a point of each metric, and where in the journal it stands."""
        row = self.records - 1
        for name, value in metrics.values.items():
            curve = self._curves.get(name)
            if curve is None:
                curve = self._curves[name] = self.series[name] = _Curve()
            curve.add(metrics.step, float(value))
            curve.rows.append(row)

    @property
    def size(self) -> int:
        """Bytes of the journal, read or not."""
        return super().size + self.unread

    @property
    def reading(self) -> float | None:
        """Which part of the journal was read so far, None for all of it."""
        return 1 - self.unread / self.size if self.unread else None

    def metrics(self) -> dict[str, Series]:
        """Return the metrics that have a point, by name."""
        return {name: series for name, series in self.series.items() if series.values}

    def columns(self, name: str) -> Columns:
        """Return copies of a metric's points."""
        curve = self._curves[name]
        rows = np.array(curve.rows, dtype=np.intp)
        return Columns(
            np.array(curve.steps),
            np.frombuffer(self._times)[rows],
            np.frombuffer(self._epochs)[rows],
            np.array(curve.values),
        )

    @property
    def nbytes(self) -> int:
        """About how much memory this takes."""
        points = sum(len(curve.rows) for curve in self._curves.values())
        numbers = 3 * self.records + 3 * points + 12 * sum(map(len, self.spans.values()))
        return (
            NUMBER_BYTES * numbers + SERIES_BYTES * len(self.series) + FILE_BYTES * len(self.staged)
        )

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
        self._follower = Follower(folder.journal)
        self._recorded: Recorded | None = None

    @property
    def nbytes(self) -> int:
        """About how much memory this takes."""
        return self._recorded.nbytes if self._recorded else 0

    def refresh(self, until: float = FOREVER) -> Recorded:
        """Read what came since; all anew, if it is another journal by now.

        The caller holds the lock as long as it looks at what is returned.

        Args:
            until: when to stop, on the clock of `time.monotonic`; what is returned is then a
                part of what was logged, and says so.

        Raises:
            UnreadableRunError: the journal does not start with a header, or is no file of its own.
            OSError: the journal cannot be read.
        """
        for is_first, entries in self._follower.batches(until):
            if is_first:
                self._recorded = self._begin(entries[0])
            for entry in entries[is_first:]:
                self._take(entry)
        if self._recorded is None or not self._follower.offset:
            raise self._no_header()
        self._look_at_the_end(self._recorded)
        return self._recorded

    def _begin(self, first: Entry | Corrupt) -> Recorded:
        if isinstance(first, Entry) and isinstance(first.record, Header):
            recorded = Recorded(self.folder, first.record)
            recorded.take(*first)
            return recorded
        raise self._no_header()

    def _no_header(self) -> UnreadableRunError:
        journal = self.folder.journal
        return UnreadableRunError(f"{journal} does not start with the header of a run.")

    def _take(self, entry: Entry | Corrupt) -> None:
        assert self._recorded
        if isinstance(entry, Corrupt):
            self._recorded.corrupt += 1
        else:
            self._recorded.take(*entry)

    def _look_at_the_end(self, recorded: Recorded) -> None:
        """See what only a journal's end tells; it may lie behind what was read."""
        last: AnyRecord = recorded.last or recorded.header
        recorded.unread = 0
        if not self._follower.is_at_end:
            recorded.unread = self.folder.journal.stat().st_size - self._follower.offset
            last = [last, *read_tail(self.folder)][-1]
        recorded.status = status_of(self.folder, last)
