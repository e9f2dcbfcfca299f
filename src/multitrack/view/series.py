"""Curves of metrics, as far as a chart can show them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from multitrack.view.curves import FEWEST, Floats, Numbers, smooth, thin
from multitrack.view.index import Columns, Recorded

Axis: TypeAlias = Literal["step", "time", "epoch"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How a curve is to be drawn.

    Attributes:
        axis: what lies below it: the step, the seconds since the run's start, or the epoch.
        points: how many it has at most.
        start: where it begins on that axis.
        end: where it ends.
        weight: how much it is smoothed, from 0 to below 1.
    """

    axis: Axis = "step"
    points: int = 800
    start: float = -np.inf
    end: float = np.inf
    weight: float = 0.0


def curve(recorded: Recorded, name: str, wanted: Wanted) -> dict[str, Any]:
    """Return a metric's curve: ``x``, ``y``, and ``raw`` where it is smoothed."""
    columns = recorded.columns(name)
    x = _axis(columns, wanted.axis, recorded.header.time)
    order = _order(x)
    x, raw = x[order], columns.values[order]
    y = smooth(raw, wanted.weight)
    shown = _window(x, wanted)
    x, y, raw = x[shown], y[shown], raw[shown]
    kept = _thin(y, raw, wanted)
    drawn = {"x": x[kept].tolist(), "y": y[kept].tolist()}
    return drawn | ({"raw": raw[kept].tolist()} if wanted.weight else {})


def _axis(columns: Columns, axis: Axis, start: float) -> Numbers:
    if axis == "step":
        return columns.steps
    return columns.times - start if axis == "time" else columns.epochs


def _order(x: Numbers) -> Numbers:
    """Return the places of what is on the axis, from left to right: a resumed run goes back."""
    places = np.arange(len(x))
    if x.dtype.kind == "f":
        places = np.flatnonzero(np.isfinite(x))
    found = x[places]
    is_sorted = bool(np.all(found[1:] >= found[:-1]))
    return places if is_sorted else places[np.argsort(found, kind="stable")]


def _window(x: Numbers, wanted: Wanted) -> slice:
    """Return what is between two places of the axis, with a neighbour on each side."""
    first = int(np.searchsorted(x, wanted.start, side="left"))
    last = int(np.searchsorted(x, wanted.end, side="right"))
    return slice(max(0, first - 1), last + 1)


def _thin(y: Floats, raw: Floats, wanted: Wanted) -> Numbers:
    """Return the places to draw; under a smoothed curve, the raw one has its extremes too."""
    if not wanted.weight or len(y) <= wanted.points:
        return thin(y, wanted.points)
    half = max(FEWEST, wanted.points // 2)
    return np.union1d(thin(y, half), thin(raw, half))
