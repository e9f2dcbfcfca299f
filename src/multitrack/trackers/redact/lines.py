"""Secrets in what comes line by line, as on a console: a private key has many lines."""

from __future__ import annotations

import io
import threading
from typing import TextIO

from multitrack.trackers.redact import pem
from multitrack.trackers.redact.spans import REDACTED
from multitrack.trackers.redact.text import redact_text

_LONGEST_KEY = 400
"""Lines after which a private key that does not end is taken for none."""


class Lines:
    """Redact lines one by one, those between both ends of a private key included."""

    def __init__(self) -> None:
        self._left = 0

    def redact(self, line: str) -> str:
        """Return a line without its secrets."""
        if self._left:
            self._left -= 1
            if pem.ends(line):
                self._left = 0
                return REDACTED
            if pem.BODY_LINE.fullmatch(line):
                return REDACTED if line.strip() else line
            self._left = 0
        if pem.begins(line):
            self._left = _LONGEST_KEY
        return redact_text(line)


class RedactedStream(io.TextIOBase):
    """A text stream that passes on whole lines, without their secrets.

    Args:
        stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines = Lines()
        self._begun = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Take text; a line is passed on when it is whole."""
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            for line in whole:
                self._stream.write(self._lines.redact(line) + "\n")
        return len(text)

    def flush(self) -> None:
        """Pass on what was begun, too: the process may be about to end."""
        with self._lock:
            if self._begun:
                self._stream.write(self._lines.redact(self._begun))
                self._begun = ""
            self._stream.flush()

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream below."""
        return self._stream.encoding
