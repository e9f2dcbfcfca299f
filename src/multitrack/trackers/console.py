r"""Console capture: what a run prints, as a log that its trackers keep.

The ``write`` of ``sys.stdout`` and ``sys.stderr`` is wrapped, not the streams: the terminal gets
what it always got, and so does whoever took hold of a stream earlier, such as a logging handler
or a progress bar. Whoever prints only leaves a copy. A thread draws it on a small model of a
screen, which lets what is drawn over itself, with ``\r`` or by moving the cursor up, leave one
line: the last.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from multitrack.trackers.folder import FILE_MODE
from multitrack.trackers.redact import Lines

logger = logging.getLogger("multitrack")

NAME = "console.log"
LIMIT = 16 * 2**20
"""Bytes of the log's beginning that are kept in any case."""
TAIL = 2**20
"""Characters of its end that are kept beyond the limit."""
ROWS = 32
"""Lines above the cursor that may still be drawn over."""
INTERVAL = 0.5
"""Seconds between two looks at what was printed."""
WIDTH = 64 * 1024
"""Characters after which a line is broken."""
CELL_BEGINS = "pre_run_cell"

_PIECE = re.compile(
    r"(\n|\r|\x1b\[\d*A|\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\))"
)
_UP = re.compile(r"\x1b\[(\d*)A")


class Screen:
    r"""The last lines of a terminal, as far as they can still change.

    Args:
        settle: gets each line that cannot change any more.

    >>> screen = Screen(print)
    >>> screen.write("10 %\r50 %\r100 %\ndone\n")
    >>> screen.settle_all()
    100 %
    done
    """

    def __init__(self, settle: Callable[[str], None]) -> None:
        self._settle = settle
        self._rows = [""]
        self._row = 0
        self._is_returned = False  # to the line's beginning, with nothing written over it yet

    def write(self, text: str) -> None:
        """Draw text as a terminal does, colours aside."""
        for piece in _PIECE.split(text):
            if piece == "\n":
                self._feed()
            elif piece == "\r":
                self._is_returned = True
            elif up := _UP.fullmatch(piece):
                self._row = max(0, self._row - int(up[1] or 1))
            elif piece and not piece.startswith("\x1b"):
                self._put(piece)

    def settle_all(self) -> None:
        """Hand over all lines, and begin anew."""
        for row in self._rows if self._rows[-1] else self._rows[:-1]:
            self._settle(row.rstrip())
        self._rows, self._row, self._is_returned = [""], 0, False

    def _feed(self) -> None:
        self._is_returned = False
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append("")
        if len(self._rows) > ROWS:
            self._settle(self._rows.pop(0).rstrip())
            self._row -= 1

    def _put(self, text: str) -> None:
        before = "" if self._is_returned else self._rows[self._row]
        self._is_returned = False
        self._rows[self._row] = before + text
        while len(self._rows[self._row]) > WIDTH:
            rest = self._rows[self._row][WIDTH:]
            self._rows[self._row] = self._rows[self._row][:WIDTH]
            self._feed()
            self._rows[self._row] = rest


class LogFile:
    """A log that keeps its beginning and its end, without secrets.

    Args:
        path: of the file; one that is there is gone on with.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size if path.exists() else 0
        self._unwritten = bytearray()
        self._lines = Lines()
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._left_out = 0

    def add(self, line: str) -> None:
        """Add a line; it is in the file after `flush`, as long as that is within its limit."""
        text = self._lines.redact(line) + "\n"
        if self._size < LIMIT:
            self._append(text)
            return
        self._tail.append(text)
        self._tail_size += len(text)
        while self._tail_size > TAIL:
            self._tail_size -= len(self._tail.popleft())
            self._left_out += 1

    def flush(self) -> None:
        """Write what was added."""
        if not self._unwritten:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        with os.fdopen(descriptor, "ab") as file:
            file.write(self._unwritten)
        self._unwritten.clear()

    def close(self) -> None:
        """Write the end that was kept, and how much is missing before it."""
        if self._left_out:
            self._append(f"... {self._left_out:,} lines are left out ...\n")
        self._append("".join(self._tail))
        self._tail.clear()
        self._tail_size = self._left_out = 0
        self.flush()

    def _append(self, text: str) -> None:
        content = text.encode("utf-8", "backslashreplace")
        self._unwritten += content
        self._size += len(content)


class Console:
    """Keep what this process prints while the run goes on.

    Args:
        folder: of the run; the log lies there.
        keep: logs an artifact, by path, name and kind.
    """

    def __init__(self, folder: Path, keep: Callable[[Path, str, str], None]) -> None:
        self._path = folder / NAME
        self._keep = keep
        self._lock = threading.RLock()  # a signal handler may end the run, too
        self._owner = os.getpid()
        self._heard: deque[str] = deque()

    def start(self) -> None:
        """Listen from now on."""
        self._file = LogFile(self._path)
        self._screen = Screen(self._file.add)
        self._stop = threading.Event()
        threading.Thread(
            target=self._keep_drawing, args=(self._stop,), name="multitrack-console", daemon=True
        ).start()
        self._listen()
        if events := _events_of_cells():
            events.register(CELL_BEGINS, self._listen)

    def stop(self) -> None:
        """Listen no more, and log what was heard, with the exception that is being handled."""
        self._stop.set()
        if events := _events_of_cells():
            with suppress(ValueError):  # it was made, or replaced, after we began
                events.unregister(CELL_BEGINS, self._listen)
        for stream in list(_taps):
            _leave(stream, self._hear)
        with self._lock:
            self._draw()
            self._screen.settle_all()
            if sys.exc_info()[0] is not None:
                for line in traceback.format_exc().splitlines():
                    self._file.add(line)
            self._file.close()
        if self._path.exists() and self._path.stat().st_size:
            self._keep(self._path, NAME, "log")

    def _listen(self, _cell: Any = None) -> None:
        for stream in {id(s): s for s in (sys.stdout, sys.stderr) if s is not None}.values():
            _listen(stream, self._hear)

    def _hear(self, text: str) -> None:
        if os.getpid() == self._owner:  # a forked child has nobody who draws
            self._heard.append(text)

    def _keep_drawing(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(INTERVAL):
                self._draw()
        except Exception as error:  # e.g. a full disk
            logger.warning("the console is no longer captured: %s", error)
            for stream in list(_taps):
                _leave(stream, self._hear)

    def _draw(self) -> None:
        """Bring what was heard to the log, as far as it cannot change any more."""
        with self._lock:
            heard = [self._heard.popleft() for _ in range(len(self._heard))]
            self._screen.write("".join(heard))
            self._file.flush()


class Tap:
    """A stream's ``write``, wrapped.

    Args:
        stream: it goes on to get everything, first.
        hearers: who gets a copy of each text.

    Raises:
        AttributeError: the stream lets nobody wrap its ``write``.
    """

    def __init__(self, stream: Any, hearers: Iterable[Callable[[str], None]]) -> None:
        self.hearers = list(hearers)
        self._stream = stream
        self._is_called = False
        self._own = vars(stream).get("write")
        self._plain = stream.write
        self._write = self.write
        stream.write = self._write

    def write(self, text: Any) -> Any:
        """Write, and leave a copy with whoever listens."""
        result = self._plain(text)
        self._is_called = True
        if isinstance(text, str):
            for hear in list(self.hearers):
                hear(text)
        return result

    def is_in_place(self) -> bool:
        """Tell whether the stream still calls us: others may have put back what they found."""
        self._is_called = False
        self._stream.write("")
        return self._is_called

    def remove(self) -> bool:
        """Give the stream its own ``write`` back, unless somebody wrapped it once more."""
        if vars(self._stream).get("write") is not self._write:
            return False
        if self._own is None:
            del self._stream.write
        else:
            self._stream.write = self._own
        return True


_taps: dict[Any, Tap] = {}
"""By stream: several runs may listen to one, and end in any order."""


def _listen(stream: Any, hear: Callable[[str], None]) -> None:
    """Tap a stream, unless it is tapped, and let somebody hear."""
    tap = _taps.get(stream)
    try:
        if tap is None or not tap.is_in_place():
            tap = _taps[stream] = Tap(stream, tap.hearers if tap else ())
    except (AttributeError, TypeError):
        logger.warning("%s cannot be captured", type(stream).__name__)
        return
    if hear not in tap.hearers:
        tap.hearers.append(hear)


def _leave(stream: Any, hear: Callable[[str], None]) -> None:
    """Listen no more; the last to leave removes the tap."""
    tap = _taps[stream]
    if hear in tap.hearers:
        tap.hearers.remove(hear)
    if not tap.hearers and tap.remove():
        del _taps[stream]


def _events_of_cells() -> Any:
    """Return IPython's events, None elsewhere: it puts streams back after each cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell.events if shell else None
