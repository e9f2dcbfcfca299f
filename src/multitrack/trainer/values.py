"""Logged values as plain numbers."""

from __future__ import annotations

from typing import Any

from multitrack.trackers.texts import Unread, attempt
from multitrack.trackers.values import as_number


def plain_numbers(values: dict[str, Any]) -> None:
    """Turn the numbers of numpy and torch in a dict into plain ones, in place.

    What is no number stays as it is, whatever it does when it is looked at.
    """
    for name, value in values.items():
        if not issubclass(type(value), bool | int | float | str):
            number = attempt(as_number, value)
            if type(number) is not Unread:
                values[name] = number
