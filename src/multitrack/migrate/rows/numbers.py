"""Numbers as text files spell them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeAlias

Cell: TypeAlias = bool | int | float | str

MOST_PLACES = 6
"""Decimal places that steps have."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
_BOOLEANS = {"true": True, "false": False}


def cell_of(text: str, *, comma: bool = False) -> Cell | None:
    """Return what a cell says: a number, a boolean, else its text; None if it is empty.

    Args:
        text: the cell's.
        comma: whether numbers have a decimal comma.

    >>> cell_of(" 3 "), cell_of("1e-3"), cell_of("-inf"), cell_of("0,5", comma=True), cell_of("1_0")
    (3, 0.001, -inf, 0.5, '1_0')
    """
    bare = text.strip()
    if not bare:
        return None
    spelled = bare.replace(",", ".") if comma and bare.count(",") == 1 else bare
    if found := _NUMBER.fullmatch(spelled):
        is_whole = found[1].isdigit() and not found[2] and len(spelled) < 20  # noqa: PLR2004 - int64
        return int(spelled) if is_whole else float(spelled)
    if bare.lower() in _WORDS:
        return float(bare)
    return _BOOLEANS.get(bare.lower(), text)


def places_of(number: float) -> int:
    """Return how many decimal places a number has, up to the most that count.

    >>> places_of(3.0), places_of(0.5), places_of(1 / 3)
    (0, 1, 6)
    """
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return min(MOST_PLACES, max(0, -exponent)) if isinstance(exponent, int) else 0
