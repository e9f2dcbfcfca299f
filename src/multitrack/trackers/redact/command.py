"""Secrets on command lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from multitrack.trackers.redact.names import Kind, is_plain_value, kind_of
from multitrack.trackers.redact.spans import REDACTED
from multitrack.trackers.redact.text import redact_text

_OPTION = re.compile(r"[-+~/]{0,2}[\w.\-@/]+")
_USER_OPTIONS = {"-u", "--user", "--proxy-user"}
"""Those of curl and others that take ``user:password``."""
_LONG = 16
"""Characters from which on a word that begins with one dash is no option."""


def redact_command(command: Iterable[str]) -> list[str]:
    """Return a command line without its secrets: ``--api-key X`` and ``--api-key=X`` alike."""
    words: list[str] = []
    awaited = Kind.PLAIN
    before = ""
    for word in command:
        if before in _USER_OPTIONS and ":" in word:
            words.append(f"{word.partition(':')[0]}:{REDACTED}")
            before = ""
            continue
        before = word
        if awaited and not _is_option(word):
            words.append(_value(word, awaited))
            awaited = Kind.PLAIN
            continue
        name, equals, value = word.partition("=")
        kind = kind_of(name) if _OPTION.fullmatch(name) else Kind.PLAIN
        is_set = equals and kind >= Kind.LOOSE
        words.append(f"{name}={_value(value, kind)}" if is_set else redact_text(word))
        awaited = kind if word.startswith("-") and not equals else Kind.PLAIN
    return words


def _value(word: str, kind: Kind) -> str:
    return redact_text(word) if is_plain_value(word, kind) else REDACTED


def _is_option(word: str) -> bool:
    return word.startswith("--") or (word.startswith("-") and len(word) < _LONG)
