"""Read foreign files: never more at a time than fits, and never a byte written beside them."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from multitrack.migrate.reach import SourceError

MOST = 64 * 1024 * 1024
"""Bytes of the longest line, and of a file that is read in one go."""
SQLITE = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database: a part of it, as long as it was not closed."""


def read_whole(path: Path, most: int = MOST) -> bytes:
    """Return a file's content.

    Raises:
        SourceError: it is too long.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise SourceError(f"{path} is longer than {most:,} bytes")
    return content


def read_lines(path: Path, most: int = MOST) -> Iterator[bytes]:
    """Yield a file's lines, with their ends.

    Raises:
        SourceError: a line is too long.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number in range(1, 1 << 62):
            line = file.readline(most + 1)
            if len(line) > most:
                raise SourceError(f"line {number} of {path} is longer than {most:,} bytes")
            if not line:
                return
            yield line


def tables_of(path: Path) -> frozenset[str]:
    """Return the names of a SQLite database's tables, none if it is no such database.

    Nothing is written, locked or made beside it; what only stands in its log is not looked at.
    """
    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            return frozenset()
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return frozenset(str(name) for (name,) in rows)
    except sqlite3.DatabaseError:
        return frozenset()


@contextmanager
def copied_database(path: Path) -> Iterator[Path]:
    """Give the path of a private copy of a SQLite database, with what stands beside it.

    A reader may have to write (to take back what a crash left, or to make an index of a log):
    it writes to the copy.
    """
    with tempfile.TemporaryDirectory(prefix="multitrack-import-") as folder:
        copy = Path(folder, "copy.db")
        shutil.copyfile(path, copy)
        for end in BESIDE:
            beside = path.with_name(path.name + end)
            if beside.is_file() and not beside.is_symlink():
                shutil.copyfile(beside, copy.with_name(copy.name + end))
        yield copy


@contextmanager
def opened_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to a private copy of a SQLite database; text that is no UTF-8 is mended."""
    with copied_database(path) as copy, closing(sqlite3.connect(copy)) as connection:
        connection.text_factory = lambda content: content.decode(errors="replace")
        yield connection


def content_id(*parts: bytes | str) -> str:
    """Return an id that is made of what a run begins with, such as its heading and first row."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:32]
