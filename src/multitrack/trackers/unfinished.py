"""The runs that this process writes, and their end when nobody finishes them."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from multitrack.trackers import children
from multitrack.trackers.delivery import Report
from multitrack.trackers.exits import exit_outcome, watch_exit
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import Outcome

if TYPE_CHECKING:
    from multitrack.trackers.run import Run

logger = logging.getLogger("multitrack")

_unfinished: set[Run] = set()
"""Runs that this process writes; holding them here keeps a forgotten one from vanishing."""
_retired: dict[Path, list[Report]] = {}
"""What is said at exit of runs that were delivered before."""


def add(run: Run) -> None:
    """See that a run gets its outcome, however this process ends."""
    _unfinished.add(run)
    _retired.pop(run.folder.path, None)
    watch_exit()
    children.watch_process(_finish_all)
    children.watch_task(lambda outcome: finish(run, outcome))


def discard(run: Run) -> None:
    """Leave a run alone, which is finished and waited for."""
    _unfinished.discard(run)


def retire(run: Run, reports: list[Report]) -> None:
    """Leave a run alone that is finished and delivered; what is to be said is said at exit."""
    _unfinished.discard(run)
    _retired[run.folder.path] = reports


def finish(run: Run, outcome: Outcome) -> None:
    """Finish a run that nobody waited for, with an outcome unless it has one."""
    if run in _unfinished:
        run.finish(*(outcome if run.status == "running" else ()))


def stay(run: Run) -> NoReturn:
    """Refuse to be sent to another process, and say what to do there.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        f"run {run.id} is written by the process that started it, and cannot be pickled or copied. "
        f"Return values to that process and log them there, or start a run in the other process: "
        f"multitrack.start_run(...)."
    )


def hand_over(folder: RunFolder) -> None:
    """Let a new session of this process have a run; what its old object has logged is kept."""
    for run in list(_unfinished):
        if run.folder.path == folder.path:
            run.finish(timeout=0, quiet=True)


def print_reports(reports: Iterable[Report]) -> None:
    """Write one line for each backend to standard error, which may be closed already."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        for report in reports:
            print(f"multitrack: {report}", file=sys.stderr)  # noqa: T201 - the user's last word


def _finish_all(outcome: Outcome) -> None:
    for run in list(_unfinished):
        _guarded(run, lambda run: finish(run, outcome))


def _finish_at_exit() -> None:
    for run in list(_unfinished):
        _guarded(run, lambda run: finish(run, exit_outcome(run.error_before)))
    for reports in _retired.values():
        print_reports(reports)


def _guarded(run: Run, finish: Callable[[Run], None]) -> None:
    """Finish a run; what prevents it shall not keep others from their end."""
    try:
        finish(run)
    except Exception:
        logger.exception("run %s could not be finished", run.id)


def _reset_in_child() -> None:
    _retired.clear()
    for run in _unfinished:
        run.reset_after_fork()


atexit.register(_finish_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
