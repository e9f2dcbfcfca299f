"""Passwords, and keys in the place of a user or path, in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from multitrack.trackers.redact.names import looks_random
from multitrack.trackers.redact.spans import Span

_END = re.compile(r"[\s\"'<>`]|\\[\"'n]|$")
_PORT = re.compile(r"(?:[^/\s:@]*|\[[0-9a-fA-F:.]+\]):\d{1,5}[/?#]|\[|[^:@]*[/?#]")
"""A host and its port, which are no user and password, or a host without either."""
_HOOK = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows)|discord(?:app)?\.com/api/webhooks"
    r"|[\w.\-]{1,100}\.webhook\.office\.com/webhookb2|outlook\.office\.com/webhook)/([\w\-./@]+)"
)


def find_passwords(text: str) -> Iterator[Span]:
    """Yield the users with passwords, and the secret paths, of a text's URLs.

    A password may hold ``/`` and ``@``: it ends at the last ``@`` of the URL.

    >>> list(find_passwords("postgres://me:hunter2@db/x"))
    [(11, 21)]
    """
    end = last_at = done = 0
    at = text.find("://")
    while at >= 0:
        start = at + 3
        if start > end:  # the next word, looked at once whatever it holds
            found = _END.search(text, start)
            end = found.start() if found else len(text)
            last_at = text.rfind("@", start, end)
        if start >= done:
            span = _password(text, start, last_at) or _hook(text, start, end)
            if span:
                yield span
                done = span[1]
        at = text.find("://", max(start, done))


def _password(text: str, start: int, last_at: int) -> Span | None:
    if last_at < start or _PORT.match(text, start, last_at):
        return None
    first_at = text.find("@", start, last_at + 1)
    colon = text.find(":", start, last_at)
    if 0 <= colon < first_at or (colon >= 0 and not _PORT.match(text, first_at + 1, last_at)):
        return start, last_at
    return (start, first_at) if looks_random(text[start:first_at]) else None


def _hook(text: str, start: int, end: int) -> Span | None:
    found = _HOOK.match(text, start, end)
    return found.span(1) if found else None
