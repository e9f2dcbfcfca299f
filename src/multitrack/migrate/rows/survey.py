"""What the columns of a table are: the step, the time, the epoch, numbers or words."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from multitrack.migrate.rows.numbers import places_of
from multitrack.migrate.rows.row import Row, Rows
from multitrack.migrate.rows.times import moment_of

STEPS = (
    "step",
    "global_step",
    "trainer/global_step",
    "train/global_step",
    "_step",
    "iteration",
    "iter",
    "num_timesteps",
    "timesteps_total",
    "total_timesteps",
    "time/total_timesteps",
    "num_env_steps_sampled_lifetime",
    "training_iteration",
    "steps",
    "epoch",
)
"""What a column of steps is called, whatever the case; the first that a table has counts."""
TIMES = (
    "timestamp",
    "_timestamp",
    "wall time",
    "wall_time",
    "time",
    "datetime",
    "date",
    "created_at",
)
"""What a column of moments is called, whatever the case; if it holds moments."""
EPOCH = "epoch"


@dataclass
class Column:
    """What was seen in one column.

    Attributes:
        numbers: how many cells are one.
        texts: how many are words.
        moments: how many tell a moment.
        first: the first moment.
        places: the most decimal places.
    """

    numbers: int = 0
    texts: int = 0
    moments: int = 0
    first: float | None = None
    places: int = 0

    @property
    def is_numeric(self) -> bool:
        """Whether a word in it is odd."""
        return self.numbers > self.texts

    def add(self, cell: Any) -> None:
        """Look at a cell."""
        if isinstance(cell, str):
            self.texts += 1
        elif isinstance(cell, int | float):
            self.numbers += 1


@dataclass
class Layout:
    """What a table's columns are.

    Attributes:
        step: the name of the column of steps, None if there is none: then rows are counted.
        factor: what its steps are multiplied by to be whole.
        time: that of the column of moments, None if there is none.
        epoch: that of the column of epochs, None if there is none.
        numeric: columns in which a word is odd.
        began: the first moment that it tells, None if it tells none.
    """

    step: str | None = None
    factor: int = 1
    time: str | None = None
    epoch: str | None = None
    numeric: frozenset[str] = frozenset()
    began: float | None = None


@dataclass
class Survey:
    """Look at all rows of a table once, before they are read."""

    columns: dict[str, Column] = field(default_factory=dict)

    def layout(self, rows: Rows) -> Layout:
        """Return what the columns are."""
        for row in rows:
            if isinstance(row, Row):
                self._add(row)
        known = {name.lower(): name for name in reversed(self.columns)}
        step, time = self._step(known), self._time(known)
        return Layout(
            step=step,
            factor=int(10 ** self.columns[step].places) if step else 1,
            time=time,
            epoch=known.get(EPOCH) if self._has_numbers(known.get(EPOCH)) else None,
            numeric=frozenset(name for name, column in self.columns.items() if column.is_numeric),
            began=self.columns[time].first if time else None,
        )

    def _add(self, row: Row) -> None:
        for name, cell in row.cells.items():
            column = self.columns.setdefault(name, Column())
            column.add(cell)
            lower = name.lower()
            if lower in STEPS and isinstance(cell, float) and isfinite(cell):
                column.places = max(column.places, places_of(cell))
            elif lower in TIMES and (moment := moment_of(cell)) is not None:
                column.moments += 1
                column.first = moment if column.first is None else column.first

    def _step(self, known: dict[str, str]) -> str | None:
        for name in (known[name] for name in STEPS if name in known):
            is_part = name.lower() == EPOCH and self.columns[name].places
            if self._has_numbers(name) and not is_part:  # epochs travel with points as they are
                return name
        return None

    def _time(self, known: dict[str, str]) -> str | None:
        for name in (known[name] for name in TIMES if name in known):
            column = self.columns[name]
            if 2 * column.moments > column.numbers + column.texts:
                return name
            if name.lower() in {"time", "timestamp"} and not column.numbers:
                return name  # all of it is odd, and told
        return None

    def _has_numbers(self, name: str | None) -> bool:
        return name is not None and self.columns[name].is_numeric


def is_step(heading: str) -> bool:
    """Tell whether a column is called what steps are called."""
    return heading.strip().lower() in STEPS
