"""How long a server asked to be left alone: the ``Retry-After`` of the answer behind an error.

Clients show it in different places, if at all: as the error's own response, as that of its cause,
or not, but the response is at hand where the error was raised.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from traceback import walk_tb
from typing import Any

LONGEST = 3600.0
"""Seconds for which a server's wish is kept to."""
HEADER = "retry-after"
MOST_LINKS = 10
ATTRIBUTES = ("response", "resp", "http_response")
VARIABLES = (*ATTRIBUTES, "r", "res")
"""What a response is called, where an error holds it and where one is raised."""
WRAPPED = ("exc", "__cause__", "__context__")
"""Where an error keeps the one that it was made of."""


def asked_wait(error: BaseException) -> float | None:
    """Return for how many seconds the server asked to wait, None if it did not."""
    for link in _chain(error):
        for response in _responses(link):
            if (seconds := _seconds(_header(response))) is not None:
                return seconds
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    links = [error]
    for link in links:
        yield link
        made_of = (getattr(link, name, None) for name in WRAPPED)
        new = [one for one in made_of if isinstance(one, BaseException) and one not in links]
        links += new[: MOST_LINKS - len(links)]


def _responses(error: BaseException) -> Iterator[Any]:
    yield from (getattr(error, name, None) for name in ATTRIBUTES)
    for frame, _ in walk_tb(error.__traceback__):
        yield from (frame.f_locals.get(name) for name in VARIABLES)


def _header(response: Any) -> str | None:
    headers = getattr(response, "headers", None)
    if not isinstance(headers, Mapping):
        return None
    found = (value for name, value in headers.items() if str(name).lower() == HEADER)
    return next((value for value in found if isinstance(value, str)), None)


def _seconds(text: str | None) -> float | None:
    """Return a number of seconds, or the time until a date, as HTTP spells both."""
    if text is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        if text.strip().isascii() and text.strip().isdecimal():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return None
