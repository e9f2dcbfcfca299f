"""Secrets in a text."""

from __future__ import annotations

from multitrack.trackers.redact.formats import find_formats
from multitrack.trackers.redact.own import find_own
from multitrack.trackers.redact.pairs import find_pairs
from multitrack.trackers.redact.pem import find_keys
from multitrack.trackers.redact.spans import cut
from multitrack.trackers.redact.urls import find_passwords

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
    spans = [*find_formats(text), *find_pairs(text), *find_own(text)]
    if "://" in text:
        spans += find_passwords(text)
    if "-----BEGIN " in text:
        spans += find_keys(text)
    return cut(text, spans) if spans else text
