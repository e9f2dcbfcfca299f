"""Text files of any usual encoding, line by line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before that of UTF-16, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CHUNK = 1 << 20
LONGEST = 64 << 20
"""Characters that one line may have; a longer one comes in pieces."""


def encoding_of(path: Path) -> str:
    """Return a text file's encoding: by its mark, else UTF-8 if it is that, else latin-1."""
    with path.open("rb") as file:
        chunk = file.read(CHUNK)
        for mark, name in MARKS:
            if chunk.startswith(mark):
                return name
        if unmarked := _unmarked_utf16(chunk):
            return unmarked
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = file.read(CHUNK)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"  # the last character may be cut


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without their ends; a cut last character is left out."""
    with path.open(encoding=encoding_of(path), errors="ignore", newline=None) as file:
        while line := file.readline(LONGEST):
            yield line.rstrip("\n").replace("\0", "")


def head_of(path: Path, size: int = 1 << 16) -> str:
    """Return how a text file begins, for a look at what it is."""
    with path.open("rb") as file:
        chunk = file.read(size)
    name = next((name for mark, name in MARKS if chunk.startswith(mark)), None)
    return chunk.decode(name or _unmarked_utf16(chunk) or "utf-8", errors="replace")


def _unmarked_utf16(chunk: bytes) -> str | None:
    """Return the kind of UTF-16 that every other byte's being zero shows, None if it does not."""
    head = chunk[:1024]
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) > 0.8 * len(zeros):
            return name
    return None
