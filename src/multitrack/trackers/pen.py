"""Write lines to a file without waiting for other threads' Python.

``os.write`` lets go of the interpreter, and gets it back when another thread that computes in
Python lets go of it in turn: milliseconds later, for a write of two microseconds. The same call
through ``ctypes.PyDLL`` keeps the interpreter, and costs a microsecond more. So the pen writes
the usual way until a write was slow, then holds on for a while; and where it is the disk that is
slow, others shall run meanwhile, and the pen lets go again.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from time import perf_counter

SLOW = 0.001
"""Seconds from which on a write waited for something."""
WHILE = 1000
"""Lines for which the pen holds on to the interpreter."""


class Pen:
    """Write to a descriptor, whatever other threads do."""

    def __init__(self) -> None:
        self._write_holding = _find_holding_write()
        self._holds_for = 0

    def write(self, descriptor: int, line: bytes) -> int:
        """Write a line, and return how many of its bytes were taken.

        Raises:
            OSError: as ``os.write`` does.
        """
        start = perf_counter()
        if self._holds_for:
            self._holds_for -= 1
            written = self._write_holding(descriptor, line, len(line))
            if written < 0:  # a signal, or an error that Python shall name
                written = os.write(descriptor, line)
        else:
            written = os.write(descriptor, line)
        if perf_counter() - start > SLOW:
            self._holds_for = 0 if self._holds_for else WHILE
        return written


def _find_holding_write() -> Callable[[int, bytes, int], int]:
    """Return ``write`` of the C library, which keeps the interpreter when called so."""
    write: Callable[[int, bytes, int], int] = ctypes.PyDLL(None).write
    write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)  # type: ignore[attr-defined]
    write.restype = ctypes.c_ssize_t  # type: ignore[attr-defined]
    return write
