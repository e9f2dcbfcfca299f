"""In a notebook: which cell runs, what it shows, and the runs that earlier cells left open."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from multitrack.trackers.exits import exit_outcome

if TYPE_CHECKING:
    from multitrack.trackers.run import Run

logger = logging.getLogger("multitrack")

_begun: WeakKeyDictionary[Run, int] = WeakKeyDictionary()
"""The runs that cells began, and the execution in which each did."""


def shell() -> Any | None:
    """Return IPython's shell, if a notebook runs in it; nobody sees cells in a terminal."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython else None
    return None if found is None or "terminal" in type(found).__module__ else found


class Shown:
    """HTML below a cell, which may be shown anew in its place.

    Args:
        html: what is shown.
    """

    def __init__(self, html: str) -> None:
        from IPython.display import HTML, display

        self._handle: Any = display(HTML(html), display_id=True)

    def update(self, html: str) -> None:
        """Show something else."""
        from IPython.display import HTML

        if self._handle is not None:
            self._handle.update(HTML(html))


def note(run: Run) -> None:
    """Remember in which execution of a cell a run began."""
    if (execution := _execution()) is not None:
        _begun[run] = execution


def end_earlier() -> None:
    """End the runs that earlier executions of cells began and left open, as one begins.

    A cell that runs again, or another one, begins a run in place of the last; several that one
    execution begins stay side by side. What is logged to a run that ended belongs to it still.
    """
    execution = _execution()
    for run, began in list(_begun.items()) if execution is not None else ():
        if began != execution:
            del _begun[run]
            _end(run)


def _end(run: Run) -> None:
    if run.status != "running":
        return
    status, error = exit_outcome(run.error_before)
    run.finish(status, error, wait=False)
    logger.warning(
        "Run %s of an earlier cell has ended, as %s, because another one begins.", run.id, status
    )


def _execution() -> int | None:
    """Return the number of the execution that is going on, None outside of cells."""
    if threading.current_thread() is not threading.main_thread():
        return None
    found = shell()
    return None if found is None else found.execution_count


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begun.clear)  # they are the notebook's, not the child's
