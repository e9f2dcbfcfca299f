"""Where an import may read: what a foreign store says is data, and names no place outside of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path


class SourceError(ValueError):
    """A store or a run cannot be read; the message says what would help."""


class OutOfReachError(SourceError):
    """A store names a file that lies where nobody said that it may be read."""


class Reach:
    """The places that the user named; links are resolved, so that none leads out.

    Args:
        roots: folders, files, or addresses with a scheme.

    Attributes:
        roots: the same, resolved.

    Example:
        >>> reach = Reach(["/data/mlruns"])
        >>> reach.allows("/data/mlruns/1/artifacts"), reach.allows("/data/mlruns/../../etc/passwd")
        (True, False)
    """

    def __init__(self, roots: Iterable[str | Path]) -> None:
        named = [str(root) for root in roots]
        self._addresses = tuple(f"{name.rstrip('/')}/" for name in named if "://" in name)
        self._roots = tuple(_resolved(Path(name)) for name in named if "://" not in name)
        self.roots: tuple[str | Path, ...] = (*self._addresses, *self._roots)

    def and_below(self, *more: str | Path | Reach) -> Reach:
        """Return a reach that has these places, too: a source knows what belongs to a store."""
        places = [one.roots if isinstance(one, Reach) else (one,) for one in more]
        return Reach([*self.roots, *chain.from_iterable(places)])

    def allows(self, path: str | Path) -> bool:
        """Tell whether a path lies in one of the places, or an address below one."""
        if "://" in str(path):
            return f"{path}/".startswith(self._addresses)
        real = _resolved(Path(path))
        return any(real.is_relative_to(root) for root in self._roots)

    def name(self, path: str | Path) -> str:
        """Return how a person calls a store: its path below what they named, else its name."""
        real = _resolved(Path(path))
        for root in self._roots:
            if real != root and real.is_relative_to(root):
                return real.relative_to(root).as_posix()
        return real.name

    def file(self, path: str | Path) -> Path:
        """Return where a file really lies.

        Raises:
            OutOfReachError: outside of the places; the message says how to name another.
            OSError: there is none, or it is a folder, a pipe or a device.
        """
        real = self.place(path)
        if not stat.S_ISREG(real.stat().st_mode):
            raise OSError(f"{path} is no plain file")
        return real

    def place(self, path: str | Path) -> Path:
        """Return where a file or a folder really lies, whether it is there or not.

        Raises:
            OutOfReachError: outside of the places; the message says how to name another.
        """
        real = _resolved(Path(str(path).replace("\0", "")))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise OutOfReachError(
                f"{path} lies outside of what was named and is not read; if it is yours: "
                f"--also {real.parent}"
            )
        return real

    def files_below(self, folder: Path) -> Iterator[Path]:
        """Yield the plain files in a folder that is in reach, and below it; links are passed by."""
        for parent, folders, names in os.walk(self.place(folder)):
            folders.sort()
            for name in sorted(names):
                path = Path(parent, name)
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path.expanduser()))
