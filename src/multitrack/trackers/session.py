"""A session: one process's turn at writing a run, from opening the journal to its end."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from multitrack.trackers import surroundings
from multitrack.trackers.courier import read_header
from multitrack.trackers.delivery import Assignment, Delivery, Mode, Report
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import Entry, JournalReader, JournalWriter
from multitrack.trackers.locks import FileLock, LockedError, is_locked
from multitrack.trackers.origin import write_origin
from multitrack.trackers.place import note_place
from multitrack.trackers.protocol import Emit
from multitrack.trackers.records import AnyRecord, End, EndStatus, Header, Resumed, Status, Stepped
from multitrack.trackers.redact import Redactor

_open: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """The journal's writer, the run's lock and its couriers, as long as this process writes.

    Args:
        run: the run's folder; it exists.
        assignments: the backends to deliver to.
        mode: where couriers work.
        header: the journal's first record, for a new run. None: the run goes on.
        emit: how sources put records into the run.

    Attributes:
        status: ``"running"``, or the outcome that was written.
        is_closed: whether this process's turn is over.

    Raises:
        RuntimeError: another process writes to this run.
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        run: RunFolder,
        assignments: Sequence[Assignment],
        mode: Mode,
        header: Header | None,
        emit: Emit,
    ) -> None:
        self.status: Status = "running"
        self.is_closed = False
        self._owner = os.getpid()
        self._is_child = False
        self._run = run
        self._lock = _acquire(run)
        try:
            self._writer = JournalWriter(run.journal)
            self._redactor = Redactor()
            self._write(header or _resumed([a.backend for a in assignments]))
            note_place(run)
            write_origin(run, (header or read_header(run)).run_id)
            self._delivery = Delivery(assignments, mode, emit)
        except BaseException:
            self._lock.release()
            raise
        self._after_append = self._delivery.after_append if self._delivery.is_inline else None
        _open.add(self)

    def append(self, record: AnyRecord) -> None:
        """Write a record; after the run's end, the run goes on.

        Raises:
            ValueError: the record is too long for a line.
            RuntimeError: this is a forked child, and the run ended in its own process.
        """
        if self._is_child and not is_locked(self._run.writer_lock):
            raise RuntimeError("the run has ended in the process that it belongs to")
        self._write(record)
        if self.status != "running":
            self.status = "running"
            self._delivery.resume_sources()
        self.catch_up()

    def _write(self, record: AnyRecord) -> None:
        self._writer.append(self._redactor.redact(record))

    def catch_up(self) -> None:
        """Let couriers on the calling thread deliver; others look for themselves."""
        if self._after_append:
            self._after_append()

    def native(self, backend: str, timeout: float) -> Any:
        """Return the client's object at one backend, as `Delivery.native` does.

        Raises:
            RuntimeError: also if the run has ended.
        """
        if self.status != "running":
            raise RuntimeError(
                f"run {self._run.run_id} has ended, and its clients with it; "
                f"log something with the run first, and it goes on"
            )
        return self._delivery.native(backend, timeout)

    def stop_sources(self, timeout: float) -> None:
        """Let sources emit their last, before the outcome, in at most ``timeout`` seconds."""
        if self.status == "running" and os.getpid() == self._owner:
            self._delivery.stop_sources(timeout)

    def end(self, status: EndStatus | None, error: str | None, refused: Mapping[str, int]) -> None:
        """Write the outcome, unless it is written already, or a forked child asks.

        Args:
            status: None: finished, if no other is written.
            error: what ended the run, as one line.
            refused: how often each name was refused.
        """
        is_news = self.status == "running" or status not in {None, self.status}
        if is_news and os.getpid() == self._owner:
            said: EndStatus = status or "finished"
            counts = dict(refused)
            self._write(End(time=time.time(), status=said, error=error, refused=counts))
            self.status = said
            self.catch_up()

    def close(self, patience: float = 0.0) -> bool:
        """Close the journal and let go of the run; tell whether this process's turn ends now.

        Args:
            patience: seconds to wait for a disk that takes nothing now.
        """
        if self.is_closed or os.getpid() != self._owner:
            return False
        self.is_closed = True
        _open.discard(self)
        self._writer.close(patience)
        self._lock.release()
        return True

    def wait(self, timeout: float) -> list[Report]:
        """Wait for delivery at most ``timeout`` seconds, and report."""
        return self._with_losses(self._delivery.finish(timeout))

    def reports(self) -> list[Report]:
        """Report how far delivery is."""
        return self._with_losses(self._delivery.reports())

    def _with_losses(self, reports: list[Report]) -> list[Report]:
        """Add what the disk did not take: no backend will ever have it."""
        if not (lost := self._writer.lost):
            return reports
        return [one._replace(lost=lost, delivered=False) for one in reports]

    @property
    def is_inline(self) -> bool:
        """Whether what is written is delivered on the calling thread."""
        return self._delivery.is_inline

    def when_delivered(self, retire: Callable[[Session], bool]) -> None:
        """Call ``retire`` on another thread, until it returns True, when all is delivered."""
        if os.getpid() == self._owner:
            self._delivery.when_over(lambda: retire(self))

    def leave_in_child(self) -> None:
        """In a forked child: records may still be written, the rest is the parent's."""
        self._is_child = True
        self._writer.reset_after_fork()
        self._delivery.leave_in_child()
        self._after_append = None


def _acquire(run: RunFolder) -> FileLock:
    lock = FileLock(run.writer_lock)
    try:
        lock.acquire()
    except LockedError:
        raise RuntimeError(
            f"run {run.run_id} is being written by another process; "
            f"give a run_id of its own to each process, or wait for that one"
        ) from None
    return lock


def _resumed(backends: list[str]) -> Resumed:
    return Resumed(
        time=time.time(),
        host=surroundings.describe_host(),
        report_to=backends,
        command=surroundings.describe_command(),
    )


class Standing(NamedTuple):
    """Where a run stands: what it reported to last, and its last step."""

    report_to: list[str]
    step: int | None


def read_standing(run: RunFolder) -> Standing:
    """Read where a run stands that goes on.

    Raises:
        ValueError: its journal does not begin with a header.
    """
    report_to, step = read_header(run).report_to, None
    with closing(JournalReader(run.journal)) as reader:
        while entries := reader.read():
            for entry in entries:
                record = entry.record if isinstance(entry, Entry) else None
                if isinstance(record, Stepped):
                    step = record.step
                elif isinstance(record, Resumed):
                    report_to = record.report_to
    return Standing(report_to, step)


def _leave_in_child() -> None:
    for session in list(_open):
        session.leave_in_child()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_in_child)
