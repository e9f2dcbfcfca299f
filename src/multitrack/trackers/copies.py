"""What a copy of a run's folder may say of its run: all that it holds, but no death."""

from __future__ import annotations

import shlex
import time
from contextlib import closing, suppress

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import read_tail
from multitrack.trackers.journal import JournalWriter
from multitrack.trackers.locks import FileLock
from multitrack.trackers.place import is_copy, name_of
from multitrack.trackers.protocol import Parked
from multitrack.trackers.records import End

DECLARED = "declared dead, by multitrack sync --dead"
"""What ended a run of which only a person could say so."""


def is_unsure(run: RunFolder) -> bool:
    """Tell whether a folder cannot know if its run goes on: a copy that holds no outcome."""
    if not is_copy(run):
        return False
    with suppress(OSError):
        return not isinstance(next(reversed(read_tail(run)), None), End)
    return True


def see_that_no_original_delivers(run: RunFolder, place: str | None) -> None:
    """See that an original, which may go on, does not bring its run to a backend itself.

    Args:
        run: the run's folder.
        place: where the courier was at work that knows the run at the backend.

    Raises:
        Parked: it does, as far as this copy can know.
    """
    if place != name_of(run) and is_unsure(run):
        raise Parked(
            "this folder is a copy, and its original, which delivers the run, may still go on",
            how_to_declare(run),
        )


def how_to_declare(run: RunFolder) -> str:
    """Return what a person can type who knows that the run is dead."""
    return f"If the run is dead, type: multitrack sync {shlex.quote(str(run.path))} --dead"


def declare_dead(run: RunFolder) -> bool:
    """Write into a copy, for a person who knows, that its run was killed; tell whether it was due.

    Raises:
        LockedError: a process goes on with the run in this folder.
        OSError: the journal cannot be written.
    """
    if not is_unsure(run):
        return False
    with FileLock(run.writer_lock), closing(JournalWriter(run.journal)) as writer:
        writer.append(End(time=time.time(), status="killed", error=DECLARED))
    return True
