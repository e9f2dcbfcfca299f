"""A journal, read on from where it was last read."""

from __future__ import annotations

import math
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from multitrack.trackers.history import UnreadableRunError
from multitrack.trackers.journal import Corrupt, Entry, JournalReader

BATCH = 2000
"""Records that are read in one go, whatever the time: a few milliseconds."""
FOREVER = math.inf
"""A time by which everything is read."""


class Batch(NamedTuple):
    """Some lines of a journal.

    Attributes:
        is_first: whether the journal begins with them: what was known of it no longer counts.
        entries: the lines, in order.
    """

    is_first: bool
    entries: list[Entry | Corrupt]


class Follower:
    """A place in a journal that grows.

    Attributes:
        offset: bytes that were read.
        is_at_end: whether there was nothing behind them when it was last read.

    Args:
        journal: the file.
    """

    def __init__(self, journal: Path) -> None:
        self.offset = 0
        self.is_at_end = False
        self._journal = journal
        self._mark = 0

    def batches(self, until: float = FOREVER) -> Iterator[Batch]:
        """Yield what came since; from the start, if it is another journal by now.

        Args:
            until: when to stop, on the clock of `time.monotonic`; one batch is read whatever
                the time.

        Raises:
            UnreadableRunError: the journal is no file of its own.
            OSError: it cannot be read.
        """
        require_own_file(self._journal)
        with closing(JournalReader(self._journal, self.offset)) as reader:
            if reader.mark(self.offset) != self._mark:
                reader.offset = self.offset = 0
            self.is_at_end = False
            while entries := reader.read(BATCH):
                yield Batch(self.offset == 0, entries)
                self.offset, self._mark = reader.offset, reader.mark(reader.offset)
                if time.monotonic() >= until:
                    return
            self.is_at_end = True


def require_own_file(path: Path) -> None:
    """See that a run's file is a plain one: a link may lead anywhere, a pipe has no end.

    Raises:
        UnreadableRunError: it is not.
        OSError: there is none.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise UnreadableRunError(f"{path} is a link or no file: it is not read.")
