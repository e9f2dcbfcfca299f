"""Numbers and steps, as users pass them in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from multitrack.trackers.records import Number
from multitrack.trackers.texts import kind_of, text_of

INT64 = range(-(2**63), 2**63)
MOST_AXES = 64
"""Axes that an array has at most; numpy's have so many."""
LONGEST_QUOTE = 60
"""Characters of a value that a message repeats."""


def as_number(value: Any) -> Number:
    """Return a metric's value as a Python number.

    Takes int, float, bool, and whatever holds exactly one number and says so with ``item()``:
    numpy scalars, torch tensors (on any device), and arrays of one element.

    Raises:
        TypeError: it is not one number; the message says what it is and what to call instead.
    """
    kind = type(value)
    if kind is bool:
        return bool(value)
    if issubclass(kind, int):
        number = int.__index__(value)  # a range looks for what only derives from int one by one
        return number if number in INT64 else float(number)
    if issubclass(kind, float):
        return float.__float__(value)
    one = value.item() if element_count(value) == 1 and hasattr(value, "item") else value
    if one is not value and issubclass(type(one), bool | int | float):
        return as_number(one)
    if hasattr(one, "__float__") and not isinstance(one, str) and element_count(one) in {None, 1}:
        return float(one)
    raise TypeError(f"{_described(value)} is not one number; {_advice(value)}")


def as_step(step: Any) -> int:
    """Return a step as an int: any whole number, numpy's and torch's included.

    Raises:
        TypeError: it is not a whole number that fits 64 bits.
    """
    try:
        number = as_number(step)
    except Exception:  # whatever a user's class raises
        number = False
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number not in INT64:
        raise TypeError(f"step must be a whole number, not {quoted(step)}")
    return number


def quoted(value: Any) -> str:
    """Return a value as a message repeats it: text in quotes, nothing at length."""
    text = repr(str.__str__(value)) if issubclass(type(value), str) else text_of(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"


def element_count(value: Any) -> int | None:
    """Return how many elements an array-like has, None if it is none."""
    if callable(getattr(value, "numel", None)):
        return int(value.numel())
    size = getattr(value, "size", None)
    return size if isinstance(size, int) else None


def shape_of(value: Any) -> tuple[Any, ...] | None:
    """Return an array's shape, None if it has none; one that never ends is none."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, Iterable):
        return None
    axes = tuple(islice(shape, MOST_AXES + 1))
    return axes if len(axes) <= MOST_AXES else None


def _described(value: Any) -> str:
    if (shape := shape_of(value)) is not None:
        return f"{kind_of(value)} of shape {shape}"
    return kind_of(value)


def _advice(value: Any) -> str:
    if isinstance(value, str):
        return "use log_text() or summary() for text"
    if shape_of(value) is not None:
        return "reduce it, or use log_histogram(), log_image() or log_table()"
    if value is None:
        return "leave it out"
    return "use log_table(), log_text() or log_params()"
