"""Give the user's random numbers back after a client took some."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_random() -> Iterator[None]:
    """Leave Python's global random generator as it was.

    Some clients draw from it when they are imported or started, and so change what a seeded
    training does when they live in its process.

    >>> random.seed(1)
    ... first = random.random()
    ... random.seed(1)
    >>> with kept_random():
    ...     ignored = random.random()
    >>> random.random() == first
    True
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
