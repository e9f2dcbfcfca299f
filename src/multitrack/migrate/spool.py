"""Bring the points of many series into one order, with little memory however many there are."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from multitrack.trackers.records import Metrics, Scalar


class SpooledPoint(NamedTuple):
    """A value of one series.

    Attributes:
        time: Unix time, in seconds.
        step: its step.
        name: of the series.
        value: a number; NaN and infinities too.
    """

    time: float
    step: int
    name: str
    value: float


class Spool:
    """A file of points that SQLite sorts by time; values of one moment become one record.

    Trackers keep metrics series by series, a journal has them as they were logged.

    Args:
        path: a file that is not there yet; its folder is the caller's to remove.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE points (time REAL, step INT, name TEXT, value REAL)")

    def add(self, points: Iterable[SpooledPoint]) -> None:
        """Add points, in the order in which their series has them."""
        rows = ((p.time, p.step, p.name, p.value) for p in points)
        self._database.executemany("INSERT INTO points VALUES (?, ?, ?, ?)", rows)

    def records(self) -> Iterator[Metrics]:
        """Yield all points in the order of time and step."""
        query = "SELECT time, step, name, value FROM points ORDER BY time, step, rowid"
        with closing(self._database.execute(query)) as rows:
            for (time, step), group in groupby(rows, key=itemgetter(0, 1)):
                yield from _records(time, step, ((name, value) for _, _, name, value in group))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _records(
    time: float, step: int, values: Iterable[tuple[str, float | None]]
) -> Iterator[Metrics]:
    """Yield one record, and another whenever a name comes again."""
    taken: dict[str, Scalar] = {}
    for name, value in values:
        if name in taken:
            yield Metrics(time=time, step=step, values=taken)
            taken = {}
        taken[name] = math.nan if value is None else value  # SQLite's word for NaN is NULL
    yield Metrics(time=time, step=step, values=taken)
