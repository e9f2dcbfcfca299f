"""Rows become records: what is odd costs its cell, and is told once by row and column."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from multitrack.migrate.rows.delimited import EMPTY
from multitrack.migrate.rows.row import Fault, Reader, Row, Rows
from multitrack.migrate.rows.survey import Layout, Survey
from multitrack.migrate.rows.times import moment_of
from multitrack.migrate.source import SourceError
from multitrack.trackers.records import AnyRecord, End, EndStatus, Metrics, Refused, Scalar, Text
from multitrack.trackers.values import as_step, take_metrics

LONGEST = 80
"""Characters of an odd cell that are shown."""


@dataclass
class History:
    """The rows of one run.

    Args:
        read: reads them, the same at each call.
        time: of rows that have no time: Unix time, in seconds.
        label: what a person knows it by.
    """

    read: Reader
    time: float
    label: str
    refused: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, read: Reader, path: Path, label: str) -> History:
        """Return the rows of a file: what has no time has that of its last change."""
        return cls(read, path.stat().st_mtime, label)

    @cached_property
    def layout(self) -> Layout:
        """What the columns are; all rows are read for it."""
        return Survey().layout(self.read())

    @cached_property
    def identity(self) -> str:
        """What tells the rows from others: what they begin with.

        Raises:
            SourceError: there is none, nor headings; the message says what is there.
        """
        said = "it is empty"
        for row in self.read():
            if isinstance(row, Row):
                return _digest({name: repr(cell) for name, cell in row.cells.items()})
            if row.key == EMPTY:
                return _digest(row.reason)
            said = row.reason
        raise SourceError(f"{self.label} holds no row: {said}")

    @property
    def began(self) -> float:
        """The first time that a row tells."""
        return self.time if self.layout.began is None else self.layout.began

    @property
    def details(self) -> dict[str, Any]:
        """What a reader of the run must know of its steps."""
        return {"step_factor": self.layout.factor} if self.layout.factor > 1 else {}

    def records(self) -> Iterator[AnyRecord]:
        """Yield the rows' records; a row without a step has the next one."""
        self.refused.clear()
        reader = _Reader(self)
        for row in self.read():
            if isinstance(row, Fault):
                yield from self.refuse(reader.time, row.key, row.reason)
            else:
                yield from reader.records(row)

    def end(self, time: float, status: EndStatus = "finished", error: str | None = None) -> End:
        """Return the outcome, with how often each name was refused."""
        return End(time=time, status=status, error=error, refused=dict(self.refused))

    def refuse(self, time: float, key: str, reason: str) -> Iterator[Refused]:
        """Yield that something is refused, once for each name; the others are counted."""
        self.refused[key] += 1
        if self.refused[key] == 1:
            yield Refused(time=time, key=key, reason=reason)


def renamed(read: Reader, rename: Callable[[str], str | None]) -> Reader:
    """Return a reader with other names of columns; one that becomes None is left out."""

    def rows() -> Rows:
        for row in read():
            if isinstance(row, Fault):
                yield row
            else:
                named = ((rename(name), cell) for name, cell in row.cells.items())
                yield row._replace(cells={name: cell for name, cell in named if name is not None})

    return rows


class _Reader:
    """Turn rows into records.

    Args:
        history: what they belong to.
    """

    def __init__(self, history: History) -> None:
        self.time = history.began
        self._history = history
        self._layout = history.layout
        self._step = -1

    def records(self, row: Row) -> Iterator[AnyRecord]:
        layout, cells = self._layout, dict(row.cells)
        moment = cells.pop(layout.time, None) if layout.time else None
        step = cells.pop(layout.step, None) if layout.step else None
        epoch = step if layout.epoch == layout.step else cells.pop(str(layout.epoch), None)
        yield from self._move(row.place, moment, step)
        number = yield from self._epoch(row.place, epoch, step)
        texts, others = self._sorted(cells)
        values, refused = take_metrics(others)
        if values:
            yield self._metrics(values, number)
        for name, text in texts.items():
            if name in layout.numeric:
                refused[name] = f"{_shown(text)} is no number"
            else:
                yield Text(time=self.time, step=self._step, key=name, text=text, epoch=number)
        for name, reason in refused.items():
            yield from self._history.refuse(self.time, name, f"{row.place}: {reason}")

    def _metrics(self, values: dict[str, Scalar], epoch: float | None) -> Metrics:
        return Metrics(time=self.time, step=self._step, values=values, epoch=epoch)

    def _sorted(self, cells: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the words and all else; moments, too, are words."""
        plain = {n: c.isoformat() if hasattr(c, "isoformat") else c for n, c in cells.items()}
        texts = {name: cell for name, cell in plain.items() if isinstance(cell, str)}
        return texts, {name: cell for name, cell in plain.items() if name not in texts}

    def _move(self, place: str, moment: Any, step: Any) -> Iterator[AnyRecord]:
        """Go to a row's time and step."""
        found = moment_of(moment)
        if found is not None:
            self.time = found
        elif moment is not None:
            reason = f"{place}: {_shown(moment)} is no time"
            yield from self._history.refuse(self.time, str(self._layout.time), reason)
        try:
            self._step = self._step + 1 if step is None else self._whole(step)
        except (TypeError, ValueError, OverflowError):
            self._step += 1
            reason = f"{place}: {_shown(step)} is no step; it is taken as {self._step}"
            yield from self._history.refuse(self.time, str(self._layout.step), reason)

    def _epoch(self, place: str, cell: Any, step: Any) -> Any:
        """Return a row's epoch as a number; tell one that is none, unless it was as the step."""
        if isinstance(cell, int | float) and not isinstance(cell, bool) and isfinite(cell):
            return float(cell)
        if cell is not None and cell is not step:
            reason = f"{place}: {_shown(cell)} is no epoch"
            yield from self._history.refuse(self.time, str(self._layout.epoch), reason)
        return None

    def _whole(self, step: Any) -> int:
        if isinstance(step, str):
            raise TypeError(step)
        factor = self._layout.factor
        return as_step(step if factor == 1 else round(step * factor))


def _digest(said: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:32]


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
