"""How this process leaves: Python tells nobody with what code ``sys.exit`` was called.

An uncaught exception is found in ``sys.last_value`` when the interpreter shuts down; an uncaught
`SystemExit` is found nowhere. From Python 3.12 on the interpreter tells of exceptions that leave a
frame, so that one can see which leaves the last. Before, all that Python does with such an
exception is to read its ``code``, from no frame at all: so that attribute looks who reads it.
"""

from __future__ import annotations

import ctypes
import gc
import inspect
import sys
import threading
from types import CodeType, FrameType
from typing import Any, NoReturn

from multitrack.trackers.outcomes import FINISHED, Outcome, ending_of

TOOLS = (4, 3)
"""Numbers of monitoring tools that no other tool claims as its own."""

CALLS_TARGET = "_bootstrap"
"""The function of multiprocessing that calls a child's target; later exit hooks see no error."""

_left: list[Outcome] = []
_is_watched = threading.Event()


def watch_exit() -> None:
    """From now on, learn how the interpreter is left; more than one call does nothing more."""
    if not _is_watched.is_set():
        _is_watched.set()
        if sys.version_info >= (3, 12):
            _watch_frames()
        elif sys.implementation.name == "cpython":
            _watch_readers_of_code()


def exit_outcome(error_before: BaseException | None) -> Outcome:
    """Return how the process ends, as far as Python tells at exit.

    Args:
        error_before: the last uncaught exception when the run started.
    """
    error = getattr(sys, "last_value", None)
    if error is not None and error is not error_before:
        return ending_of(error)
    return left_with()


def left_with() -> Outcome:
    """Return what the interpreter, or the target of this child, was left with."""
    return _left[0] if _left else FINISHED


def _leave(error: BaseException) -> None:
    """Note an exit that nobody has caught; a thread that exits ends itself alone."""
    if not _left and threading.current_thread() is threading.main_thread():
        _left.append(ending_of(error))


def _watch_frames() -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    for tool in TOOLS:
        if monitoring.get_tool(tool) is None:
            monitoring.use_tool_id(tool, "multitrack")
            monitoring.register_callback(tool, monitoring.events.PY_UNWIND, _frame_is_left)
            monitoring.set_events(tool, monitoring.events.PY_UNWIND)
            return


def _frame_is_left(_code: CodeType, _offset: int, error: BaseException) -> None:
    here = inspect.currentframe()
    frame = here and here.f_back
    if frame is None:
        return
    if frame.f_back is None:
        if isinstance(error, SystemExit):
            _leave(error)
    elif frame.f_back.f_code.co_name == CALLS_TARGET and _is_of_process(frame.f_back):
        _leave(error)


def _is_of_process(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") == "multiprocessing.process"


def _watch_readers_of_code() -> None:
    """Put a property in place of the attribute; it answers as the attribute did.

    ``sys.exit`` is told in Python what it does in C: there it makes no exception that has a code
    before somebody catches it.
    """
    (attributes,) = gc.get_referents(SystemExit.__dict__)
    member = attributes["code"]

    def read(error: SystemExit) -> object:
        frame = inspect.currentframe()
        if frame and frame.f_back is None:
            _leave(error)
        return member.__get__(error)

    attributes["code"] = property(read, member.__set__, member.__delete__, member.__doc__)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(SystemExit))
    sys.exit = _exit


def _exit(status: Any = None, /) -> NoReturn:
    raise SystemExit(status)


_exit.__doc__ = sys.exit.__doc__
