"""Parts of a text, and how they are replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

REDACTED = "<redacted>"

Span: TypeAlias = tuple[int, int]
"""Where a part of a text begins, and where it has ended."""


def cut(text: str, spans: Iterable[Span]) -> str:
    """Return a text with parts of it replaced; parts that overlap are one.

    >>> cut("user:pass@host", [(5, 9)])
    'user:<redacted>@host'
    """
    kept, done = [], 0
    for start, end in sorted(spans):
        if end <= done:
            continue
        if start >= done:
            kept += [text[done:start], REDACTED]
        done = end
    return "".join([*kept, text[done:]])
