"""Calls that may hang: given up after a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def call_within(seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns, or raise what it raises, if it ends in time.

    The call runs in a daemon thread. One that is given up goes on there, but keeps neither the
    caller nor the end of the process waiting.

    Args:
        seconds: the longest wait.
        function: what to call.
        *args: passed on.
        **kwargs: passed on.

    Raises:
        TimeoutError: it did not end in time.

    >>> call_within(5, max, 1, 2)
    2
    """
    results: queue.SimpleQueue[tuple[bool, T | BaseException]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((True, function(*args, **kwargs)))
        except BaseException as error:  # the caller's to handle
            results.put((False, error))

    name = getattr(function, "__qualname__", repr(function))
    threading.Thread(target=work, name=f"multitrack-{name}", daemon=True).start()
    try:
        has_returned, result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"{name} did not end within {seconds:g} seconds") from None
    if has_returned:
        return result  # type: ignore[return-value]
    raise result  # type: ignore[misc]
