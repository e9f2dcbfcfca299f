"""Logged values as plain numbers."""

from __future__ import annotations

from typing import Any

from multitrack.trackers.values import as_number


def plain_numbers(values: dict[str, Any]) -> None:
    """Turn the numbers of numpy and torch in a dict into plain ones, in place.

    What is no number stays as it is.
    """
    for name, value in values.items():
        if not isinstance(value, bool | int | float | str):
            try:
                values[name] = as_number(value)
            except (TypeError, ValueError, RuntimeError):
                continue
