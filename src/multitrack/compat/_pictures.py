"""What hosts call pictures: one, a list, or a batch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import Any

from multitrack.trackers.scalars import shape_of

CHANNELS = (1, 3, 4)
MOST = 100_000
"""Pictures that are taken of one call: what gives them may never end."""


def named(key: str, given: Any) -> list[tuple[str, Any]]:
    """Return each picture with its name: ``key`` for one, ``key/0``, … for several.

    >>> named("digit", ["a.png", "b.png"]), named("digit", "a.png")
    ([('digit/0', 'a.png'), ('digit/1', 'b.png')], [('digit', 'a.png')])
    """
    found = taken_apart(given)
    if not isinstance(found, list):
        return [(key, found)]
    return [(f"{key}/{number}", item) for number, item in enumerate(found)]


def taken_apart(given: Any) -> Any:
    """Return the pictures of a list or of a batch, as a list; one picture as it is.

    Args:
        given: a picture; several; or an array, whose first axis is that of a batch if it has four
            axes, or three of which neither the first nor the last is one of channels. Nested
            lists of numbers are read as an array.
    """
    if isinstance(given, str | bytes | os.PathLike) or hasattr(given, "save"):
        return given
    if hasattr(given, "shape"):
        return list(given) if _is_batch(shape_of(given) or (0,)) else given
    items = list(islice(given, MOST + 1)) if isinstance(given, Iterable) else given
    if isinstance(items, list) and len(items) > MOST:
        raise ValueError(f"one call takes at most {MOST:,} pictures")
    if isinstance(items, list) and items and isinstance(items[0], list | tuple):
        import numpy as np

        return taken_apart(np.asarray(items))
    return items


def _is_batch(shape: tuple[int, ...]) -> bool:
    has_channels = shape[0] in CHANNELS or shape[-1] in CHANNELS
    return len(shape) == 4 or (len(shape) == 3 and not has_channels)  # noqa: PLR2004
