"""The secrets of this process: what its environment holds under the names of secrets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from multitrack.trackers.redact.names import Kind, is_plain_value, kind_of
from multitrack.trackers.redact.spans import Span

SHORTEST = 8
"""Characters of the shortest value that is looked for: a shorter one may stand anywhere."""
_WORD = re.compile(r"[a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,14}|[\d.,:_\-]{1,11}")
"""A word or a number, which texts may hold for another reason."""
_FOLDER = re.compile(r"(?:~|\.{0,2})/")


class Environment:
    """The environment's secrets, read again only when the environment is another one."""

    def __init__(self) -> None:
        self._seen: Mapping[Any, Any] = {}
        self._secrets: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets, in all the forms in which a text may hold them, the longest first."""
        now = _raw()
        if now != self._seen:
            self._seen = dict(now)
            found = {form for value in _values(os.environ) for form in _forms(value)}
            self._secrets = tuple(sorted(found, key=len, reverse=True))
        return self._secrets


def _raw() -> Mapping[Any, Any]:
    """Return what ``os.environ`` keeps: to compare that is a matter of a microsecond."""
    raw = getattr(os.environ, "_data", None)
    return raw if isinstance(raw, dict) else dict(os.environ)


def _values(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        kind = kind_of(name)
        if kind >= Kind.LOOSE and len(value) >= SHORTEST and not is_plain_value(value, kind):
            is_place = _FOLDER.match(value) and (kind is Kind.LOOSE or _is_there(value))
            if not (_WORD.fullmatch(value) or is_place):
                yield value


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # it is too long, or has no home
        return False


def _forms(value: str) -> Iterator[str]:
    yield value
    yield value.strip()
    yield quote(value)
    yield quote(value, safe="")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]


environment = Environment()


def find_own(text: str) -> Iterator[Span]:
    """Yield where a text holds a secret of this process."""
    for secret in environment.secrets():
        at = text.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = text.find(secret, at + len(secret))
