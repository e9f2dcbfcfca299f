"""Deliver a run to a new one at its backend, where the old one is gone."""

from __future__ import annotations

import shlex

from multitrack.trackers.folder import CourierFolder, CourierState
from multitrack.trackers.locks import FileLock


def how_to_begin_anew(folder: CourierFolder) -> str:
    """Return what a person can type whose run is gone from a backend."""
    run = shlex.quote(str(folder.path.parent.parent))
    return (
        f"If it is gone for good, a new run gets all of it: "
        f"multitrack sync {run} --to {folder.backend} --anew"
    )


def begin_anew(folder: CourierFolder) -> None:
    """Forget which run a backend has, and how far it is.

    Raises:
        LockedError: a courier is at work.
        OSError: the folder cannot be written.
    """
    folder.create()
    with FileLock(folder.lock):
        folder.write_state(CourierState())
