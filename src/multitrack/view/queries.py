"""What a request asks for, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar, get_args

import numpy as np
from starlette.datastructures import QueryParams

from multitrack.view.curves import FEWEST
from multitrack.view.series import Axis, Wanted

AXES: tuple[Axis, ...] = get_args(Axis)
MOST_POINTS = 20_000
MOST_CURVES = 2_000
MOST_ENTRIES = 200

T = TypeVar("T", int, float)


class BadQueryError(ValueError):
    """A request asks for what cannot be."""


class Page(NamedTuple):
    """A part of what was logged under one name."""

    kind: str
    name: str
    offset: int
    limit: int


def wanted_curves(query: QueryParams) -> tuple[list[str], list[str], Wanted]:
    """Return which runs, which metrics, and how they are to be drawn.

    Raises:
        BadQueryError: something is missing or out of its range.
    """
    runs, names = _several(query, "run"), _several(query, "name")
    if len(runs) * len(names) > MOST_CURVES:
        raise BadQueryError(f"ask for {MOST_CURVES} curves at most, not {len(runs) * len(names)}")
    return (
        runs,
        names,
        Wanted(
            axis=_axis(query),
            points=_number(query, "points", int, 800, FEWEST, MOST_POINTS),
            start=_number(query, "from", float, -np.inf, -np.inf, np.inf),
            end=_number(query, "to", float, np.inf, -np.inf, np.inf),
            weight=_number(query, "smooth", float, 0.0, 0.0, float(np.nextafter(1, 0))),
        ),
    )


def page_of(query: QueryParams) -> Page:
    """Return which part of which name is asked for.

    Raises:
        BadQueryError: something is missing or out of its range.
    """
    return Page(
        _several(query, "kind")[0],
        _several(query, "name")[0],
        _number(query, "offset", int, 0, 0, 2**62),
        _number(query, "limit", int, 50, 1, MOST_ENTRIES),
    )


def _axis(query: QueryParams) -> Axis:
    wanted = query.get("axis", "step")
    for axis in AXES:
        if axis == wanted:
            return axis
    raise BadQueryError(f"axis={wanted!r} is none of {', '.join(AXES)}")


def _several(query: QueryParams, key: str) -> list[str]:
    if not (found := list(dict.fromkeys(query.getlist(key)))):
        raise BadQueryError(f"{key}= is missing")
    return found


def _number(
    query: QueryParams, key: str, kind: Callable[[str], T], default: T, least: T, most: T
) -> T:
    text = query.get(key, "")
    try:
        value = kind(text) if text else default
    except ValueError:
        raise BadQueryError(f"{key}={text!r} is no number") from None
    if not least <= value <= most:
        raise BadQueryError(f"{key}={text} is not from {least} to {most}")
    return value
