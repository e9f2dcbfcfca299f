"""What a journal says of its run: `glance` reads its two ends, `read_history` all of it."""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from multitrack.trackers.folder import CourierState, RunFolder, open_journal
from multitrack.trackers.journal import (
    MAX_LINE,
    TAIL,
    Corrupt,
    Entry,
    JournalReader,
    whole_size,
)
from multitrack.trackers.locks import is_locked
from multitrack.trackers.names import merge
from multitrack.trackers.place import is_copy
from multitrack.trackers.records import (
    AnyRecord,
    Artifact,
    Codec,
    End,
    Header,
    Metrics,
    Params,
    Record,
    Refused,
    Resumed,
    Scalar,
    Status,
    Stepped,
    Summary,
    Tags,
    Tree,
)


class UnreadableRunError(ValueError):
    """A journal does not start with a run's header."""


class Glance(NamedTuple):
    """What the two ends of a journal tell.

    Attributes:
        folder: the run's folder.
        header: the journal's first record.
        status: running, or how the run ended.
        updated: Unix time of the last record, in seconds.
        last_step: the last step that was logged, None if there was none lately.
        size: bytes of the journal's whole lines.
        couriers: what each backend's courier wrote last, by backend; a backend that the run
            reports to and that no courier served yet has a fresh state.
    """

    folder: RunFolder
    header: Header
    status: Status
    updated: float
    last_step: int | None
    size: int
    couriers: dict[str, CourierState]


class Point(NamedTuple):
    """A value and the step that it was logged at."""

    step: int
    value: float


@dataclass
class Series:
    """The values of one metric, in the order in which they were logged."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, step: int, value: float) -> None:
        """Append a point."""
        self.steps.append(step)
        self.values.append(value)

    @property
    def last(self) -> Point:
        """The point that was logged last."""
        return Point(self.steps[-1], self.values[-1])

    @property
    def lowest(self) -> Point | None:
        """The first point with the smallest finite value, None if no value is finite."""
        return min(self.finite(), key=lambda point: point.value, default=None)

    @property
    def highest(self) -> Point | None:
        """The first point with the largest finite value, None if no value is finite."""
        return max(self.finite(), key=lambda point: point.value, default=None)

    def finite(self) -> Iterator[Point]:
        """Yield the points whose value is neither NaN nor infinite."""
        for step, value in zip(self.steps, self.values, strict=True):
            if math.isfinite(value):
                yield Point(step, value)


@dataclass
class History:
    """All that a journal says.

    Attributes:
        folder: the run's folder.
        header: the journal's first record.
        status: running, or how the run ended.
        error: the exception that ended it last, as one line.
        resumed: Unix times at which the run was taken up again, in seconds.
        backends: what the run reported to, or was delivered to, in order of appearance.
        params: one tree of the run's config and of what was logged later.
        tags: by name; a bare tag has the empty string.
        summary: single values by name.
        series: the metrics, by name.
        media: how often each name was logged, by kind (``"image"``, ``"text"``, …) and name.
        artifacts: in order.
        refused: why a value could not be logged, by name.
        corrupt: lines that are no records.
    """

    folder: RunFolder
    header: Header
    status: Status = "running"
    error: str | None = None
    resumed: list[float] = field(default_factory=list)
    backends: list[str] = field(default_factory=list)
    params: Tree = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Scalar] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    media: Counter[tuple[str, str]] = field(default_factory=Counter)
    artifacts: list[Artifact] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    corrupt: int = 0
    _ends: array[int] = field(default_factory=lambda: array("q"))
    _times: array[float] = field(default_factory=lambda: array("d"))

    def add(self, record: AnyRecord, end: int) -> None:
        """Take a record of the journal, whose line ends at ``end``."""
        self._ends.append(end)
        self._times.append(record.time)
        try:
            _TAKE.get(type(record), _count)(self, record)
        except (ValueError, OverflowError):  # a value or a step that nobody of us wrote
            self.corrupt += 1

    def add_metrics(self, metrics: Metrics) -> None:
        """Take a point of each metric.

        Raises:
            ValueError: a value is none of a metric.
            OverflowError: the step is no int64.
        """
        for name, value in metrics.values.items():
            series = self.series.get(name)
            if series is None:
                series = self.series[name] = Series()
            series.add(metrics.step, float(value))

    @property
    def records(self) -> int:
        """How many records the journal holds."""
        return len(self._ends)

    @property
    def size(self) -> int:
        """Bytes of the journal that were read."""
        return self._ends[-1]

    @property
    def updated(self) -> float:
        """Unix time of the last record, in seconds."""
        return self._times[-1]

    def pending(self, offset: int) -> int:
        """Return how many records lie behind a cursor."""
        return len(self._ends) - bisect_right(self._ends, offset)

    def lag(self, offset: int) -> float:
        """Return the seconds between the first record behind a cursor and the last one."""
        first = bisect_right(self._ends, offset)
        return self.updated - self._times[first] if first < len(self._times) else 0.0


def glance(folder: RunFolder) -> Glance:
    """Read the first and the last lines of a run's journal.

    Raises:
        UnreadableRunError: the journal does not start with a header.
        OSError: the journal cannot be read.
    """
    with os.fdopen(open_journal(folder.journal), "rb") as file:
        header = _header(folder, file.readline(MAX_LINE))
        size = whole_size(file.fileno())
        records = _last_records(file.fileno(), size)
    last = next(records, header)
    stepped = (r for r in chain((last,), records) if isinstance(r, Stepped))
    step = next((record.step for record in stepped), None)
    states = {courier.backend: courier.read_state() for courier in folder.couriers()}
    couriers = {name: states.get(name) or CourierState() for name in [*header.report_to, *states]}
    return Glance(folder, header, status_of(folder, last), last.time, step, size, couriers)


def read_tail(folder: RunFolder) -> list[AnyRecord]:
    """Return the records at a journal's end, in order; whatever cannot be read is left out.

    Raises:
        OSError: the journal cannot be read.
    """
    with os.fdopen(open_journal(folder.journal), "rb") as file:
        return [*_last_records(file.fileno(), whole_size(file.fileno()))][::-1]


def read_history(folder: RunFolder) -> History:
    """Read a run's journal from end to end.

    Raises:
        UnreadableRunError: the journal does not start with a header.
        OSError: the journal cannot be read.
    """
    with os.fdopen(open_journal(folder.journal), "rb") as file:
        history = History(folder, _header(folder, file.readline(MAX_LINE)))
    last: AnyRecord = history.header
    for entry in _entries(folder.journal):
        if isinstance(entry, Corrupt):
            history.corrupt += 1
        else:
            last = entry.record
            history.add(last, entry.end)
    history.status = status_of(folder, last)
    history.backends = backends_of(folder, history.backends)
    return history


def status_of(folder: RunFolder, last: Record) -> Status:
    """Return the status of a run whose journal ends with a record.

    Without an outcome it is running as long as its writer holds the lock, which the system
    lets go of when the writer dies, however it dies. A copy of the folder cannot know of that.
    """
    if isinstance(last, End):
        return last.status
    return "running" if is_locked(folder.writer_lock) or is_copy(folder) else "killed"


def backends_of(folder: RunFolder, report_to: list[str]) -> list[str]:
    """Return what a run reports to, and what it was delivered to beside that."""
    return list(dict.fromkeys([*report_to, *(courier.backend for courier in folder.couriers())]))


def _header(folder: RunFolder, line: bytes) -> Header:
    record = _decode(line)
    if not isinstance(record, Header):
        raise UnreadableRunError(f"{folder.journal} does not start with the header of a run.")
    return record


def _decode(line: bytes) -> AnyRecord | None:
    try:
        return Codec.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _entries(journal: Path) -> Iterator[Entry | Corrupt]:
    with closing(JournalReader(journal)) as reader:
        while entries := reader.read():
            yield from entries


def _last_records(descriptor: int, size: int) -> Iterator[AnyRecord]:
    """Return the readable records of a journal's end, the last first, read one by one."""
    lines = reversed(_last_lines(descriptor, size))
    return (record for record in map(_decode, lines) if record)


def _last_lines(descriptor: int, size: int) -> list[bytes]:
    length = TAIL
    while True:
        start = max(0, size - length)
        *whole, _torn = os.pread(descriptor, length, start).split(b"\n")
        if start == 0:
            return whole
        if len(whole) > 1 or length >= MAX_LINE:
            return whole[1:]
        length *= 16


def _take_up(history: History, header: Header) -> None:
    history.backends += header.report_to
    history.tags.update(header.tags)
    merge(history.params, header.config)


def _resume(history: History, resumed: Resumed) -> None:
    history.resumed.append(resumed.time)
    history.backends += resumed.report_to


def _end(history: History, end: End) -> None:
    history.error = end.error


def _count(history: History, record: Any) -> None:
    history.media[type(record).__name__.lower(), record.key] += 1


_TAKE: dict[type[Record], Callable[[History, Any], None]] = {
    Header: _take_up,
    Resumed: _resume,
    Params: lambda history, params: merge(history.params, params.values),
    Tags: lambda history, tags: history.tags.update(tags.values),
    Summary: lambda history, summary: history.summary.update(summary.values),
    Metrics: lambda history, metrics: history.add_metrics(metrics),
    Artifact: lambda history, artifact: history.artifacts.append(artifact),
    Refused: lambda history, refused: history.refused.update({refused.key: refused.reason}),
    End: _end,
}
"""What a record adds to a history, by its type; anything else is counted by its name."""
