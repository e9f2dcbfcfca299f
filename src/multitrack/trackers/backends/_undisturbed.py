"""Start a client without a trace in the process that it may share with a training."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_STARTING = threading.RLock()
"""Held meanwhile: of two at once, the second would give back what the first had set."""


@contextmanager
def undisturbed(variables: Mapping[str, str | None] | None = None) -> Iterator[None]:
    """Give back what clients take when they are imported or started.

    That is Python's global random generator, from which some draw, and ``sys.excepthook``, with
    which some would end the run in their own way when the training fails. Threads take turns, so
    what is done meanwhile must end: see `call_within`.

    Args:
        variables: environment variables to set meanwhile, or to hide where the value is None.

    >>> random.seed(1)
    ... first = random.random()
    ... random.seed(1)
    >>> with undisturbed():
    ...     ignored = random.random()
    >>> random.random() == first
    True
    """
    with _STARTING:
        hook, state = sys.excepthook, random.getstate()
        before = {name: os.environ.get(name) for name in variables or {}}
        _set(variables or {})
        try:
            yield
        finally:
            _set(before)
            random.setstate(state)
            sys.excepthook = hook


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
