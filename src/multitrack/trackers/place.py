"""Which folder a run is written in: ``place.json`` tells the original from a copy of it.

The lock of the run's writer is made once and never changed, so the file system's number and date
of change of that file are those of the original alone: no copy can be given that date. They are
the same wherever a shared file system is seen from, in a container, and after a move within the
file system. Where somebody changes the owner of all files, the device tells.
"""

from __future__ import annotations

import platform

import msgspec

from multitrack.trackers.folder import RunFolder, read_file, replace_file


class Place(msgspec.Struct, frozen=True):
    """What the file system says of the writer's lock.

    Attributes:
        inode: its number.
        changed: when it was changed last, in nanoseconds.
        device: the number of the file system.
        machine: the name of the machine for which the device has this number.
    """

    inode: int
    changed: int
    device: int
    machine: str


def note_place(run: RunFolder) -> None:
    """Note that a run is written in this folder, whose writer's lock the caller holds.

    Raises:
        OSError: the run's folder cannot be written.
    """
    replace_file(run.place, msgspec.json.encode(_look(run)))


def note_elsewhere(run: RunFolder) -> None:
    """Note that a run is written somewhere else: here nobody can know whether it goes on.

    Raises:
        OSError: the run's folder cannot be written.
    """
    replace_file(run.place, msgspec.json.encode(Place(0, 0, 0, "")))


def is_copy(run: RunFolder) -> bool:
    """Tell whether a run was written in another folder than this; an old one does not tell."""
    try:
        noted = msgspec.json.decode(read_file(run.place), type=Place)
    except FileNotFoundError:
        return False
    except (OSError, msgspec.DecodeError):
        return True
    try:
        found = _look(run)
    except OSError:
        return True
    is_same_device = (noted.device, noted.machine) == (found.device, found.machine)
    return noted.inode != found.inode or not (is_same_device or noted.changed == found.changed)


def name_of(run: RunFolder) -> str:
    """Return what tells this folder from all others, however its files are replaced."""
    found = run.path.stat()
    return f"{platform.node()}:{found.st_dev}:{found.st_ino}"


def _look(run: RunFolder) -> Place:
    found = run.writer_lock.lstat()
    return Place(found.st_ino, found.st_ctime_ns, found.st_dev, platform.node())
