"""Curves for the eye: smoothed over all points, then thinned without losing what stands out."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

FEWEST = 16
"""Points that a curve is thinned to at least."""
BLOCK = 1024
"""Values that are smoothed one after another; blocks are smoothed side by side."""


def thin(values: Floats, most: int) -> Places:
    """Return the places of at most ``most`` values that look like all of them.

    The first and the last value are kept, and of each of many equal parts the lowest and the
    highest finite one. Two kept values that have a value between them that is not finite have
    one in between afterwards, too: a gap stays a gap.

    Args:
        values: in the order in which they are drawn.
        most: at least `FEWEST`.

    Example:
        >>> values = np.zeros(1000)
        >>> values[333] = 7.0
        >>> bool(333 in thin(values, 16))
        True
    """
    if len(values) <= most:
        return np.arange(len(values))
    is_finite = np.isfinite(values)
    finite, gaps = np.flatnonzero(is_finite), np.flatnonzero(~is_finite)
    parts = (most - 3) // 4 if gaps.size else (most - 2) // 2
    ends = np.array([0, len(values) - 1])
    kept = np.unique(np.concatenate([ends, finite[_extremes(values[finite], parts)]]))
    return np.unique(np.concatenate([kept, _between(kept, gaps)])) if gaps.size else kept


def smooth(values: Floats, weight: float) -> Floats:
    """Return the exponential moving average, corrected for its start from nothing.

    What is not finite stays what it is, and the average goes on behind it as if it were not there.

    Args:
        values: in order.
        weight: of what was before, from 0 (no smoothing) to below 1.

    Example:
        >>> smooth(np.array([1.0, 3.0, 3.0]), 0.5).round(3).tolist()
        [1.0, 2.333, 2.714]
    """
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    smoothed: Floats = values.copy()
    if weight and finite.size:
        seen = np.arange(1, len(finite) + 1)
        smoothed[is_finite] = _average(finite, weight) / -np.expm1(seen * np.log(weight))
    return smoothed


def _extremes(values: Floats, parts: int) -> Places:
    """Return the places of the lowest and the highest value of each part."""
    if not values.size:
        return np.empty(0, dtype=np.intp)
    width = -(-len(values) // parts)
    starts = np.arange(0, len(values), width)
    whole = np.pad(values, (0, len(starts) * width - len(values)), mode="edge")
    rows = whole.reshape(len(starts), width)
    places = np.concatenate([starts + rows.argmin(axis=1), starts + rows.argmax(axis=1)])
    found: Places = np.minimum(places, len(values) - 1)
    return found


def _between(kept: Places, gaps: Places) -> Places:
    """Return the first gap behind each kept place that comes before the next one."""
    first = np.searchsorted(gaps, kept[:-1], side="right")
    found: Places = gaps[np.minimum(first, len(gaps) - 1)]
    return found[(found > kept[:-1]) & (found < kept[1:])]


def _average(values: Floats, weight: float) -> Floats:
    """Return ``y[i] = weight * y[i - 1] + (1 - weight) * values[i]``, from ``y[-1] = 0``.

    Blocks are averaged side by side, as if nothing came before each; then what did is added.
    """
    blocks = -(-len(values) // BLOCK)
    table = np.zeros((blocks, BLOCK))
    table.flat[: len(values)] = (1 - weight) * values
    columns = table.T.copy()
    for place in range(1, BLOCK):
        columns[place] += weight * columns[place - 1]
    powers = weight ** np.arange(1, BLOCK + 1)
    carried = np.zeros(blocks)
    for block in range(1, blocks):
        carried[block] = columns[-1, block - 1] + powers[-1] * carried[block - 1]
    columns += powers[:, None] * carried
    averages: Floats = columns.T.reshape(-1)
    return averages[: len(values)]
