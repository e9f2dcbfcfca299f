"""Files of an archive, or of the folder that it was made of: read one by one, never unpacked."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import IO

from multitrack.migrate.reach import Reach, SourceError
from multitrack.migrate.reading import MOST

LARGEST = 4 * 2**30
"""Bytes to which a file of an archive may unfold."""


class Archive:
    """A zip file or a folder.

    Args:
        path: where it is.
        reach: where files may be read.
    """

    def __init__(self, path: Path, reach: Reach) -> None:
        self._path = path
        self._reach = reach
        self._zip = None if path.is_dir() else zipfile.ZipFile(reach.file(path))

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            SourceError: there is none of this name, or it is too long.
        """
        with self._open(name) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise SourceError(f"{name} in {self._path.name} unfolds to more than {LARGEST:,} bytes")
        return content

    def lines(self, name: str) -> Iterator[str]:
        """Yield a file's lines; none if there is no such file.

        Raises:
            SourceError: a line is too long.
        """
        if name not in self:
            return
        with self._open(name) as file:
            while line := file.readline(MOST + 1):
                if len(line) > MOST:
                    raise SourceError(f"a line of {name} is longer than {MOST:,} bytes")
                yield line.decode(errors="replace")

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        if self._zip:
            return name in self._zip.NameToInfo
        return (self._path / name).is_file()

    def close(self) -> None:
        """Close the file."""
        if self._zip:
            self._zip.close()

    def _open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        if ".." in PurePosixPath(name).parts or name not in self:
            raise SourceError(f"there is no file {name!r} in {self._path.name}")
        if self._zip:
            if self._zip.getinfo(name).file_size > LARGEST:
                raise SourceError(
                    f"{name} in {self._path.name} unfolds to more than {LARGEST:,} bytes"
                )
            return self._zip.open(name)
        return self._reach.file(self._path / name).open("rb")


def holds(path: Path, *names: str) -> bool:
    """Tell whether a file is an archive that has files of these names."""
    if path.suffix.lower() != ".zip" or not stat.S_ISREG(path.stat().st_mode):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return set(names) <= set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
