"""How processes and tasks of multiprocessing end, which call no exit hooks of Python.

A child process leaves through ``os._exit``; before, it calls what `multiprocessing.util.Finalize`
was given, while the exception that ended its target is being handled. A worker of a pool ends when
its pool does, mostly by a signal: there it is the task that a run belongs to. A task is over when
its frame is gone, and failed when its exception is wrapped up for the parent.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from multitrack.trackers.exits import left_with
from multitrack.trackers.outcomes import FINISHED, Outcome, ending_of, outcome_of

logger = logging.getLogger("multitrack")

Finish: TypeAlias = Callable[[Outcome], object]

WORKERS = {
    ("multiprocessing.pool", "worker"): "ExceptionWithTraceback",
    ("concurrent.futures.process", "_process_worker"): "_ExceptionWithTraceback",
    ("joblib.externals.loky.process_executor", "_process_worker"): "_ExceptionWithTraceback",
}
"""Functions that call tasks, by module and name, and what they wrap a task's exception with."""

_watched: set[int] = set()


def watch_process(finish: Finish) -> None:
    """If this is a child of multiprocessing, call ``finish`` when it ends; once a process."""
    if _is_child() and os.getpid() not in _watched:
        _watched.add(os.getpid())
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, _end_process, args=(finish,), exitpriority=0)


def watch_task(finish: Finish) -> None:
    """If this is called by the task of a pool, call ``finish`` when the task ends."""
    below = inspect.currentframe()
    while _is_child() and below and (frame := below.f_back):
        module = str(frame.f_globals.get("__name__"))
        if wrapper := WORKERS.get((module, frame.f_code.co_name)):
            _learn_of_failures(sys.modules[module], wrapper)
            if below.f_trace is None:
                below.f_trace = _Task()
            if isinstance(below.f_trace, _Task):
                below.f_trace.runs.append(finish)
            return
        below = frame


class _Task:
    """Held by a task's frame in place of a function that traces it; it dies with the frame."""

    def __init__(self) -> None:
        self.runs: list[Finish] = []
        _tasks.add(self)

    def __call__(self, *_: object) -> _Task:
        """Trace nothing, if somebody turns tracing on."""
        return self

    def end(self, outcome: Outcome) -> None:
        """Finish the task's runs, once."""
        runs, self.runs = self.runs, []
        for finish in runs:
            try:
                finish(outcome)
            except Exception:  # noqa: PERF203 - the task's result shall reach its pool
                logger.exception("a run could not be finished")

    def __del__(self) -> None:
        self.end(FINISHED)


_tasks: weakref.WeakSet[_Task] = weakref.WeakSet()


def _is_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _end_process(finish: Finish) -> None:
    error = sys.exc_info()[1]
    finish(ending_of(error) if error else left_with())


def _learn_of_failures(module: Any, name: str) -> None:
    wrap = getattr(module, name)
    if hasattr(wrap, "__wrapped__"):
        return

    @functools.wraps(wrap)
    def telling(error: BaseException, *args: Any) -> Any:
        for task in list(_tasks):
            task.end(outcome_of(error))
        return wrap(error, *args)

    setattr(module, name, telling)
