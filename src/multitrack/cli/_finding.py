"""What a check of `multitrack doctor` found."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Verdict: TypeAlias = Literal["ok", "fault", "absent"]


class Finding(NamedTuple):
    """What one check found.

    Attributes:
        verdict: ok, a fault, or absent: not there, and nobody asked for it.
        what: what was looked at; of a backend, its name comes first.
        found: one line.
        remedy: what to type or do about a fault or an absence.
    """

    verdict: Verdict
    what: str
    found: str
    remedy: str | None = None
