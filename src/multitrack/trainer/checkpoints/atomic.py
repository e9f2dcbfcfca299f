"""Folders that appear and disappear as a whole, whenever the process is killed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_WRITING = ".writing-"
_REMOVING = ".removing-"


def begin(folder: Path) -> Path:
    """Return a new, empty folder beside the given one, to be filled and then committed."""
    workplace = workplace_of(folder)
    if workplace.exists():
        shutil.rmtree(workplace)
    workplace.mkdir(parents=True)
    return workplace


def workplace_of(folder: Path) -> Path:
    """Return the folder that `begin` makes for the given one."""
    return folder.with_name(_WRITING + folder.name)


def commit(folder: Path) -> None:
    """Bring what was written to the disk, then give it its name, in place of what had it."""
    workplace = workplace_of(folder)
    _sync_tree(workplace)
    if folder.exists():
        remove(folder)
    workplace.rename(folder)
    _sync(folder.parent)


def remove(folder: Path) -> None:
    """Take a folder's name away first, then delete it: half of it never stands under its name."""
    doomed = folder.with_name(_REMOVING + folder.name)
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Delete what killed processes left of folders that they were writing or removing."""
    for prefix in (_WRITING, _REMOVING):
        for leftover in parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for directory, _, files in os.walk(folder):
        for name in files:
            _sync(Path(directory) / name)
        _sync(Path(directory))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
