"""Row and Fault: what a reader of rows yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from math import inf
from typing import Any, NamedTuple, TypeAlias

from multitrack.trackers.records import NON_FINITE

DEEPEST = 64
"""Levels of nesting whose leaves become columns."""


class Row(NamedTuple):
    """One row.

    Attributes:
        place: where it stands, for people: ``row 7``.
        cells: what is not empty, by column; nested names are joined by ``/``.
    """

    place: str
    cells: dict[str, Any]


class Fault(NamedTuple):
    """What cannot be read of a file, while the rest can.

    Attributes:
        key: the column, or ``rows``.
        reason: where it is, and what is wrong.
    """

    key: str
    reason: str


Rows: TypeAlias = Iterator[Row | Fault]
Reader: TypeAlias = Callable[[], Rows]
"""Reads the same rows at each call."""


def row_of(place: str, cells: Mapping[str, Any]) -> Row:
    """Return a row of nested values.

    >>> row_of("row 1", {" loss ": 0.5, "eval": {"acc": 1, "none": None}}).cells
    {'loss': 0.5, 'eval/acc': 1}
    """
    return Row(place, dict(_leaves(cells, "", 0)))


def merged(tables: list[Rows]) -> Rows:
    """Return the rows of several tables, step by step: a run is not told series by series."""
    return merge(*tables, key=_step)


def _step(row: Row | Fault) -> float:
    step = row.cells.get("step") if isinstance(row, Row) else None
    return step if isinstance(step, int | float) and step == step else -inf  # noqa: PLR0124 - NaN


def _leaves(cells: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in cells.items():
        name = prefix + str(key).strip()
        if isinstance(value, Mapping) and depth < DEEPEST:
            yield from _leaves(value, f"{name}/", depth + 1)
        elif value is not None and name:
            yield name, NON_FINITE.get(value, value) if isinstance(value, str) else value
