r"""Private keys in a frame of ``-----BEGIN … PRIVATE KEY-----`` and ``-----END …-----``.

The lines of one may be broken by ``\n`` in two characters, as inside JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from multitrack.trackers.redact.spans import Span

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"(?:\\{1,4}[nrt]|[A-Za-z0-9+/=\s\\:,\-])*")
BODY_LINE = re.compile(
    r"[\s>|#*]*[A-Za-z0-9+/=\\\-]{1,200}[\s\"',]*|[A-Za-z\-]{1,40}: .{0,200}|\s*"
)
"""A line between both ends of a frame."""


def find_keys(text: str) -> Iterator[Span]:
    """Yield the frames of private keys with all that is in them; one that is cut has no end."""
    at = text.find("-----BEGIN ")
    while at >= 0:
        begin = _BEGIN.match(text, at)
        if begin:
            end = _end_of(text, begin.end())
            yield at, end
            at = text.find("-----BEGIN ", end)
        else:
            at = text.find("-----BEGIN ", at + 1)


def begins(line: str) -> bool:
    """Tell whether a line begins a frame and does not end it."""
    after = [begin.end() for begin in _BEGIN.finditer(line)]
    return bool(after) and _END.search(line, after[-1]) is None


def ends(line: str) -> bool:
    """Tell whether a line ends a frame."""
    return _END.search(line) is not None


def _end_of(text: str, start: int) -> int:
    following = text.find("-----BEGIN ", start)  # no further: else each would be read to the end
    end = _END.search(text, start, following if following >= 0 else len(text))
    if end:
        return end.end()
    body = _BODY.match(text, start)
    return body.end() if body else start
