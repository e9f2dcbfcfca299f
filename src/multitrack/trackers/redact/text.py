"""Secrets in a text."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from multitrack.trackers.redact.formats import find_formats
from multitrack.trackers.redact.own import find_own
from multitrack.trackers.redact.pairs import find_pairs
from multitrack.trackers.redact.pem import find_keys
from multitrack.trackers.redact.spans import Span, cut
from multitrack.trackers.redact.urls import find_passwords

_SHORT = 64
_HINT = re.compile(r"[=:_\-.AJ ]|dapi")
"""One of these is in every short text that holds a secret."""
SHORTEST = 5
"""Characters of the shortest text that can hold a secret beside what announces it."""


def redact_text(text: str) -> str:
    """Return the text without its secrets.

    Replaced are keys in published formats, private keys, passwords in URLs, what stands under the
    name of a secret (``NAME=value``, ``"name": "value"``, ``--name value``), and what this
    process's environment holds under one.

    >>> redact_text("postgres://me:hunter2@db/x")
    'postgres://<redacted>@db/x'
    """
    if len(text) < SHORTEST:
        return text
    spans = (*_seen(text), *find_own(text))
    return cut(text, spans) if spans else text


def _seen(text: str) -> Sequence[Span]:
    if len(text) > _SHORT:
        return _look(text)
    return _look_again(text) if _HINT.search(text) else ()


def _look(text: str) -> Sequence[Span]:
    spans = [*find_formats(text), *find_pairs(text)]
    if "://" in text:
        spans += find_passwords(text)
    if "-----BEGIN " in text:
        spans += find_keys(text)
    return spans


_look_again = functools.lru_cache(maxsize=8192)(_look)
"""Short texts are names and words, which come again and again."""
