"""Neptune's rules: paths of attributes, and what an attribute can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from multitrack.trackers.names import escape
from multitrack.trackers.records import Metrics, Scalar, spell

LONGEST_STRING = 16384
"""Characters that a text attribute keeps."""
LONGEST_LINE = 1000
"""Characters that a line of a text series keeps."""
LONGEST_PATH = 160
"""Bytes of a path of which the client makes the name of a file, with a time behind it."""
LARGEST_IMAGE = 32 * 1024 * 1024
"""Bytes that a picture of a series may have."""
INT32 = range(-(2**31), 2**31)
_EMPTY_NAME = re.compile(r"^/|/$|(?<=/)/")


class Paths:
    """Paths of attributes: one that holds something is no namespace, and lies below none."""

    def __init__(self) -> None:
        self._attributes: set[str] = set()
        self._namespaces: set[str] = set()

    def place(self, root: str, name: str) -> str:
        """Return the path of a name; where it would clash, more of it is escaped.

        Args:
            root: namespace, with slashes.
            name: what the user logged.

        >>> paths = Paths()
        >>> paths.place("metrics", "loss"), paths.place("metrics", "loss/ce")
        ('metrics/loss', 'metrics/loss_x2f_ce')
        """
        distinct = f"_x{ord(name[0]):x}_{flat(name[1:])}"  # which no other name can become
        for last in (nested(name), flat(name), distinct):
            path = f"{root}/{last}"
            above = {path[: slash.start()] for slash in re.finditer("/", path)}
            if path not in self._namespaces and not above & self._attributes:
                break
        self._attributes.add(path)
        self._namespaces |= above
        return path


def nested(name: str) -> str:
    """Return a name whose slashes make namespaces; the client would drop empty ones.

    >>> nested("a//b"), nested("/lead")
    ('a/_x2f_b', '_x2f_lead')
    """
    return _EMPTY_NAME.sub("_x2f_", escape(name, lambda c: c >= " "))


def flat(name: str) -> str:
    """Return a name as one part of a path."""
    return escape(name, lambda c: c >= " " and c != "/")


def attribute(value: Scalar) -> Scalar:
    """Return a value that the client keeps: it skips NaN and integers beyond 32 bits."""
    if isinstance(value, float):
        return spell(value)
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT32:
        return float(value) if int(float(value)) == value else str(value)
    return value


def series_of(points: Sequence[Metrics]) -> dict[tuple[str, str], list[tuple[Any, int, float]]]:
    """Return points by root and name: value, step and time of each, in order.

    Numbers that a series cannot hold get one of text, under the root ``non_finite``.
    """
    series: dict[tuple[str, str], list[tuple[Any, int, float]]] = {}
    for point in points:
        epoch = {} if point.epoch is None else {"epoch": point.epoch}
        for name, value in (epoch | point.values).items():
            number = float(value)
            root = "metrics" if math.isfinite(number) else "non_finite"
            row = (spell(number), point.step, point.time)
            series.setdefault((root, name), []).append(row)
    return series
