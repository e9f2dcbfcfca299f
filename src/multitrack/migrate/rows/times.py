"""Moments as files spell them; seconds since a program's start are none."""

from __future__ import annotations

import re
from datetime import datetime, timezone

EARLIEST, LATEST = 946_684_800.0, 4_102_444_800.0
"""The years 2000 and 2100: Unix times outside are something else."""
UNITS = (1.0, 1e3, 1e6, 1e9)
"""How often seconds, milli-, micro- and nanoseconds are in one second."""
_DATE = re.compile(
    r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)"
    r"(?:[T ]+(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    r"\s*(Z|UTC|[+-]\d\d:?\d\d)?",
    re.IGNORECASE | re.ASCII,
)


def moment_of(cell: object) -> float | None:
    """Return the Unix time, in seconds, that a number or a date tells; None if it tells none.

    A date without a zone is one of UTC.

    >>> moment_of(1700000000250), moment_of("2023-11-14T22:13:20.25Z"), moment_of(12.5)
    (1700000000.25, 1700000000.25, None)
    """
    if isinstance(cell, datetime):
        return _plausible(_seconds(cell))
    if isinstance(cell, str):
        return _moment_of_date(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    found = (cell / unit for unit in UNITS if EARLIEST <= cell / unit < LATEST)
    return next(found, None)


def _moment_of_date(text: str) -> float | None:
    found = _DATE.fullmatch(text.strip())
    if not found:
        return None
    *parts, fraction, zone = found.groups()
    zone = "+00:00" if not zone or zone.upper() in {"Z", "UTC"} else zone
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    try:
        offset = datetime.strptime(zone, "%z").tzinfo
        moment = datetime(year, month, day, hour, minute, second, tzinfo=offset)
    except ValueError:
        return None
    return _plausible(moment.timestamp() + float(f"0.{fraction or 0}"))


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _plausible(moment: float) -> float | None:
    return moment if EARLIEST <= moment < LATEST else None
