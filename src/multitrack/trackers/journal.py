"""The journal: append a record with one write; read records from a cursor while it grows.

One process writes a journal. Each record is one line, appended by a single ``write`` to a file
opened with ``O_APPEND``: once `JournalWriter.append` has returned, the record is in the kernel
and survives the death of the process. ``fdatasync``, which guards against power loss, is
grouped about once a second on a thread of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from multitrack.trackers.folder import FILE_MODE, open_journal
from multitrack.trackers.pen import Pen
from multitrack.trackers.records import AnyRecord, Codec, Metrics

logger = logging.getLogger("multitrack")

MAX_LINE = 64 * 1024 * 1024
"""Bytes of the longest line that is written or read."""
MAX_PENDING = 64 * 1024 * 1024
"""Bytes kept in memory while the disk takes nothing."""
SYNC_INTERVAL = 1.0
"""Seconds between two calls of ``fdatasync``."""
DISK_INTERVAL = 0.1
"""Seconds between two tries to write the last of a journal to a disk that takes nothing."""
CHUNK = 1024 * 1024
MARK = 256
"""Bytes before a cursor by which its journal is known again: some lines, with their times."""
TAIL = 16 * 1024
"""Bytes of a journal's end that are looked at in one go."""

_fdatasync = getattr(os, "fdatasync", os.fsync)


class Entry(NamedTuple):
    """A record and where its line lies in the journal, in bytes."""

    record: AnyRecord
    start: int
    end: int


class Corrupt(NamedTuple):
    """A line that is no record, where it lies, and why."""

    start: int
    end: int
    reason: str


class JournalWriter:
    """Append records to a journal; the caller holds the run's writer lock.

    A torn last line, left by a writer that was killed, is cut when the journal is opened.
    When the disk is full, lines are kept in memory and written as soon as there is room.

    Args:
        path: the journal; created with mode 0600 if it is not there.

    Attributes:
        lost: records that the disk did not take, and memory could not hold until it did.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
        self._pen = Pen()
        self._pending = bytearray()
        self.lost = 0
        self._lost = 0
        self._dirty = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.RLock()  # a signal handler may log, too
        _cut_torn_tail(self._descriptor)
        self._syncer = threading.Thread(target=self._sync_loop, name="multitrack-sync", daemon=True)
        self._syncer.start()

    def append(self, record: AnyRecord) -> None:
        """Write one record. Of several threads, one at a time may call this.

        Raises:
            ValueError: its line would be longer than `MAX_LINE`.
            TypeError: a value has no JSON form, or not its field's type.
        """
        try:
            line = Codec.encode(record)
        except UnicodeEncodeError:
            line = Codec.encode_escaped(record)
        if type(record) is not Metrics:  # whose values were looked at one by one
            _check(line)
        if len(line) > MAX_LINE:
            raise ValueError(f"a record of {len(line)} bytes is longer than {MAX_LINE} bytes")
        if self._pending:
            with self._lock:
                self._keep(line)
                self._write_pending()
        else:
            self._write(line)
        if not self._dirty:
            self._dirty = True
            self._wake.set()

    def reset_after_fork(self) -> None:
        """Make the writer usable in a forked child, whatever its threads were doing."""
        self._lock = threading.RLock()
        self._pending.clear()  # the parent still has these, and writes them
        self._dirty = True  # nobody syncs here, and the event may be locked for ever

    def close(self, patience: float = 0.0) -> None:
        """Write what is pending, sync to the disk and close the file.

        Args:
            patience: seconds to wait for a disk that takes nothing now.
        """
        self._closing.set()
        self._wake.set()
        self._syncer.join()
        deadline = time.monotonic() + patience
        with self._lock:
            self._write_pending()
            while self._pending and time.monotonic() < deadline:
                time.sleep(DISK_INTERVAL)
                self._write_pending()
            self._give_up()
        with contextlib.suppress(OSError):
            _fdatasync(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1  # the number may soon be another file's
        os.close(descriptor)

    def _give_up(self) -> None:
        """Say how many records are lost which the disk does not take any more."""
        if self._pending or self._lost:
            self.lost += self._pending.count(b"\n") + self._lost
            logger.error("the disk took no more: the last %d records are lost", self.lost)

    def _write(self, line: bytes) -> None:
        try:
            written = self._pen.write(self._descriptor, line)
        except OSError as error:
            logger.warning("the journal cannot be written, keeping records in memory: %s", error)
            written = 0
        if written != len(line):
            with self._lock:
                self._keep(line[written:])

    def _keep(self, line: bytes) -> None:
        if len(self._pending) + len(line) <= MAX_PENDING:
            self._pending += line
            return
        if not self._lost:
            logger.error("the disk takes nothing and the memory kept for it is full")
        self._lost += 1

    def _write_pending(self) -> None:
        try:
            while self._pending:
                written = os.write(self._descriptor, self._pending[:CHUNK])
                del self._pending[:written]
        except OSError:
            return
        if self._lost:
            logger.error("the journal can be written again; %d records were lost", self._lost)
            self.lost += self._lost
            self._lost = 0

    def _sync_loop(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(SYNC_INTERVAL)
            self._wake.clear()
            self._dirty = False
            if self._lock.acquire(blocking=False):  # never held up by a writer who waits for us
                self._write_pending()
                self._lock.release()
            retry = bool(self._pending)
            try:
                _fdatasync(self._descriptor)
            except OSError as error:
                logger.warning("the journal could not be synced to the disk: %s", error)
            if retry:
                self._wake.set()


class JournalReader:
    """Read a journal from a cursor, while it grows.

    Args:
        path: the journal.
        offset: the cursor: bytes already consumed, the end of a line.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.offset = offset
        self._descriptor = open_journal(path)

    def read(self, max_records: int = 1000) -> list[Entry | Corrupt]:
        """Return the next whole lines, at most ``max_records``, and move the cursor past them.

        An empty list says that there are none yet. A last line without its newline is not
        returned: it is still being written, or torn.
        """
        entries: list[Entry | Corrupt] = []
        start = self.offset
        for line in self._lines(max_records):
            end = start + len(line) + 1
            entries.append(_decode(line, start, end))
            start = end
        if not entries and (skipped := self._skip_long_line()):
            entries.append(skipped)
            start = skipped.end
        self.offset = start
        return entries

    def is_at_line(self, offset: int) -> bool:
        """Tell whether a line begins, or is to begin, at an offset."""
        return offset == 0 or (offset > 0 and os.pread(self._descriptor, 1, offset - 1) == b"\n")

    def mark(self, offset: int) -> int:
        """Return a checksum of what stands before an offset: it tells one journal from another."""
        start = max(0, offset - MARK)
        return zlib.crc32(os.pread(self._descriptor, offset - start, start))

    def unread(self) -> int:
        """Return how many bytes lie behind the cursor, a torn last line included."""
        return max(0, os.fstat(self._descriptor).st_size - self.offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _lines(self, limit: int) -> list[bytes]:
        size = CHUNK
        while True:
            data = os.pread(self._descriptor, size, self.offset)
            whole = data.rfind(b"\n") + 1
            if whole:
                return data[: whole - 1].split(b"\n", limit)[:limit]
            if len(data) < size or size >= MAX_LINE:
                return []
            size = min(size * 8, MAX_LINE)

    def _skip_long_line(self) -> Corrupt | None:
        if self.unread() <= MAX_LINE:
            return None
        position = self.offset
        while data := os.pread(self._descriptor, CHUNK, position):
            if (newline := data.find(b"\n")) >= 0:
                end = position + newline + 1
                return Corrupt(self.offset, end, f"a line of {end - self.offset} bytes")
            position += len(data)
        return None


def _decode(line: bytes, start: int, end: int) -> Entry | Corrupt:
    try:
        return Entry(Codec.decode(line), start, end)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Corrupt(start, end, str(error))


def _check(line: bytes) -> None:
    """See that a line can be read back."""
    try:
        Codec.decode(line)
    except msgspec.DecodeError as error:
        raise TypeError(str(error)) from None


def whole_size(descriptor: int) -> int:
    """Return the bytes of a journal's whole lines: a torn last line is none that will be read."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - TAIL)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return end


def _cut_torn_tail(descriptor: int) -> None:
    end = whole_size(descriptor)
    if end != os.fstat(descriptor).st_size:
        os.ftruncate(descriptor, end)
