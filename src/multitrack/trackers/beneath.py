"""Files written and removed below one folder, wherever links in it would lead.

A store is chosen by the person who delivers; what lies in it may have been brought by somebody
else: a link in the place of a folder or of a file would take what is written somewhere else.
So each path is resolved before it is used, and files are put in place as a whole, which replaces
a link, or one of several hard links, instead of writing through it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from multitrack.trackers.protocol import Parked, Refused


class OutsideError(Refused):
    """A path leads out of the folder that all of it shall stay in."""


def beneath(root: Path, place: PurePath | str) -> Path:
    """Return the path of a place below a folder.

    Args:
        root: the folder; it may itself be reached by a link.
        place: relative to it, or an absolute path in it.

    Raises:
        OutsideError: the place, its links resolved, is not below the folder.

    Example:
        >>> beneath(Path("/srv/runs"), "a/events")
        PosixPath('/srv/runs/a/events')
    """
    path = root / place
    if not is_beneath(root, path):
        raise OutsideError(f"{path} leads out of {root}")
    return path


def make_folder(root: Path, place: PurePath | str) -> Path:
    """Make a folder below another, with its missing parents, and return its path.

    Raises:
        OutsideError: it would not be below it.
    """
    path = beneath(root, place)
    path.mkdir(parents=True, exist_ok=True)
    return path


def copy_file(source: Path, root: Path, place: PurePath | str) -> Path:
    """Copy a file to a place below a folder, and return its path.

    Raises:
        OutsideError: the place is not below it.
    """
    with _replaced(root, place) as unfinished:
        shutil.copyfile(source, unfinished)
    return root / place


def write_file(content: bytes, root: Path, place: PurePath | str) -> Path:
    """Write a file at a place below a folder, and return its path.

    Raises:
        OutsideError: the place is not below it.
    """
    with _replaced(root, place) as unfinished:
        unfinished.write_bytes(content)
    return root / place


def remove(root: Path, place: PurePath | str) -> None:
    """Remove a file or a folder below another, if it is there; of a link, only itself.

    Raises:
        OutsideError: it is not below it.
    """
    path = _target(root, PurePath(place))
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def see_that_all_stays(root: Path) -> None:
    """See that no link below a folder leads out of it, where a client will write into it.

    Raises:
        Parked: one does, or there is a pipe or a device, which a client would wait for.
    """
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not is_beneath(root, path):
                raise Parked(f"{path} is a link that leads out of {root}", "Remove that link.")
            if not (path.is_symlink() or path.is_file() or path.is_dir()):
                raise Parked(f"{path} is no plain file", "Remove it.")


def is_beneath(root: Path, path: Path) -> bool:
    """Tell whether a path, its links resolved, is a folder or lies below it."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _target(root: Path, place: PurePath) -> Path:
    """Return the path of something below a folder that is replaced or removed itself."""
    if ".." in place.parts or not place.name or root == root / place:
        raise OutsideError(f"{root / place} is not below {root}")
    return beneath(root, place.parent) / place.name


@contextmanager
def _replaced(root: Path, place: PurePath | str) -> Iterator[Path]:
    """Give a new file beside a place, and put it there when it is written."""
    target = _target(root, PurePath(place))
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{os.getpid()}.{secrets.token_hex(4)}")
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
