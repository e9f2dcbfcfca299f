"""The courier: takes one run's journal to one backend, from its own cursor.

The loop is the same wherever it runs: in a process of its own, in a thread of the trainer, on
the calling thread, or for ``multitrack sync``. What differs is only who sets the event that
says that the trainer is gone.

A record is delivered at least once and in order. The cursor moves when the tracker's `flush`
says that the backend holds everything. Before each batch the courier notes what it is about to
deliver; if the next courier finds that note, this one crashed, and the batch is offered record
by record, so that one that crashes its courier three times is set aside.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from multitrack.trackers import key, registry
from multitrack.trackers.anew import how_to_begin_anew
from multitrack.trackers.batches import Item, chunks, needs_client, points
from multitrack.trackers.copies import is_unsure, see_that_no_original_delivers
from multitrack.trackers.folder import RUN_ID, Attempt, CourierState, Phase, RunFolder
from multitrack.trackers.journal import Corrupt, Entry, JournalReader
from multitrack.trackers.locks import is_locked
from multitrack.trackers.origin import directory_of, read_origin
from multitrack.trackers.place import name_of
from multitrack.trackers.protocol import (
    METHOD_OF,
    Emit,
    Gone,
    Parked,
    Refused,
    Repeat,
    Restart,
    Retry,
    RunInfo,
    Tracker,
    TrackerError,
)
from multitrack.trackers.records import (
    END_STATUSES,
    AnyRecord,
    Artifact,
    End,
    EndStatus,
    Header,
    Metrics,
    Params,
    StagedFile,
    Tags,
    files_of,
)
from multitrack.trackers.refusals import Refusals
from multitrack.trackers.retry_after import LONGEST, asked_wait
from multitrack.trackers.settings import Settings
from multitrack.trackers.whole import see_that_it_is_whole

logger = logging.getLogger("multitrack.courier")

POLL = 0.2
"""Seconds between two looks at a journal that has nothing new."""
BATCH = 1000
"""Most records between two acknowledgements."""
END_GRACE = 10.0
"""Seconds after the run's end in which more may still be logged, if the trainer lives on."""
PARKED_RETRY = 300.0
"""Seconds until a parked backend is tried again while the run goes on."""
LINGER = 600.0
"""Seconds for which delivery goes on after the trainer is gone."""
CRASHES = 3
"""Deaths of a courier on one record after which it is set aside."""
SILENCE = 600.0
"""Seconds without an answer after which a client counts as hanging."""
SLOWEST = 100_000
"""Bytes a second of the slowest upload that is waited for."""

BACKLOG = 64 * 1024
"""Bytes behind the cursor from which on the next batch is not waited for."""

_random = random.Random()  # noqa: S311 - spreads retries; the user's generator stays untouched


class Courier:
    """Deliver a journal to one backend. The caller holds the courier's lock.

    Args:
        run: the run's folder.
        backend: name of the backend.
        settings: of its adapter.
        linger: seconds for which delivery goes on after the trainer is gone.
        emit: how a source puts records into the run.
        directory: where relative paths of the run lead; `directory_of` the run if None.

    Attributes:
        stop: set to leave after the batch in delivery.
        once: set to leave when all that is there is delivered, or the backend does not answer.
        due: reading of the monotonic clock at which a client that has not answered hangs.
    """

    def __init__(
        self,
        run: RunFolder,
        backend: str,
        settings: Settings,
        *,
        linger: float = LINGER,
        emit: Emit | None = None,
        directory: Path | None = None,
    ) -> None:
        self.run_folder = run
        self.folder = run.courier(backend)
        self.folder.create()
        self.state = self.folder.read_state()
        self.state.phase = "starting"
        self.state.pid = os.getpid()
        self.folder.write_state(self.state)
        self.linger = linger
        self.stop = False
        self.once = False
        self.due = math.inf
        self._settings = settings
        self._emit = emit
        self._tracker_type = registry.load(backend)
        self._tracker: Tracker | None = None
        self._reader = JournalReader(run.journal)
        self._see_that_the_cursor_fits()
        self._header = read_header(run)
        self._directory = directory or directory_of(run, self._header.run_id)
        self._is_foreign = read_origin(run, self._header.run_id) is None
        self._attachment = self.state.attachment if self._is_attachment_ours() else None
        self._see_that_a_foreign_run_is_whole()
        self._position = self.state.offset
        self._crashed = self.state.attempt
        self._end: Entry | None = None
        self._gone_at: float | None = None
        self._unacknowledged = 0
        self._bytes = 0
        self._must_flush = False
        self._rings = self.folder.rings()
        self._refusals = Refusals(self.folder, self._position)

    def _see_that_the_cursor_fits(self) -> None:
        """Begin again if a loss of power or a copy left a cursor that is of another journal."""
        offset, mark = self.state.offset, self.state.mark
        fits = self._reader.is_at_line(offset) and mark in {None, self._reader.mark(offset)}
        if not fits:
            logger.warning("the cursor does not fit the journal: begun again")
            self.state.offset = self.state.delivered = 0
            self.state.mark = self.state.attempt = None

    def _is_attachment_ours(self) -> bool:
        parts = _attachment_parts(self.state, self._header.run_id, self.folder.backend)
        return key.is_signed(self.state.seal, *parts)

    def _see_that_a_foreign_run_is_whole(self) -> None:
        """Begin again where somebody else delivered to who knows what, if that does no harm."""
        may_repeat = self._tracker_type.repeat is not Repeat.DUPLICATES
        if self.state.attachment and self._attachment is None and may_repeat:
            self.state.offset = self.state.delivered = 0
            self.state.mark = self.state.attempt = None

    @property
    def tracker(self) -> Tracker | None:
        """The backend's tracker, as long as it is started."""
        return self._tracker

    def run(self, gone: threading.Event) -> None:
        """Deliver until the trainer is gone and the backend knows the run's outcome.

        Args:
            gone: set when no more will be written; until then the courier waits for more.
        """
        try:
            if not self._work(gone):
                self.let_go()
        finally:
            self._reader.close()

    def _work(self, gone: threading.Event) -> bool:
        """Deliver as long as there is a point in it; tell whether the backend has everything."""
        caught_up_at = time.monotonic()
        while not self.stop and self._keep_to_wish(gone):
            is_gone = gone.is_set()  # asked before reading: all that was written is then read
            if is_gone and self._gone_at is None:
                self._gone_at = time.monotonic()
            try:
                if self.deliver_next():
                    caught_up_at = time.monotonic()
                    if is_gone or self.once or self._crashed or self._reader.unread() > BACKLOG:
                        continue
                elif is_gone:
                    return self._conclude_for_good()
                elif self._end and time.monotonic() - caught_up_at > END_GRACE:
                    self.conclude()
                self._note("waiting")
                if self.once:
                    break
                self._pause(POLL, gone)
            except (TrackerError, OSError) as error:
                if not self._wait_after(_answer_of(error), gone):
                    break
        return False

    def deliver_next(self) -> bool:
        """Deliver the next batch and acknowledge it; return False if there is nothing new.

        Raises:
            Retry: the backend did not take it now; the next call goes on where this one stopped.
            Parked: it will not before a person acts.
        """
        entries = self._next_batch()
        if entries:
            if any(map(needs_client, entries)):
                self._started()  # before the note: dying here is no record's fault
            self._note_attempt(entries)
            for chunk in chunks(entries, self._tracker_type.batch_size):
                self._offer(chunk)
        if entries or self._must_flush:
            self._acknowledge()
        return bool(entries)

    def conclude(self) -> None:
        """Tell the backend the run's outcome, if it does not know it yet.

        Raises:
            Retry: the backend did not answer.
            Parked: it will not before a person acts.
        """
        outcome: EndStatus = "killed"
        if self._end and isinstance(self._end.record, End):
            outcome = self._end.record.status
        if self._end or self._tracker or self.state.told not in END_STATUSES:
            tracker = self._started()
            self._expect_answer()
            try:
                tracker.finish(outcome)
            except Exception as error:
                self._refusals.add(self._position, "end", self._refusal(error))
                tracker.abandon()
            self._tracker = None
            self.state.told = outcome
        self._end = None
        self._went_through()
        self._move_cursor(self._position)
        self._note("done")

    def _conclude_for_good(self) -> bool:
        """Tell the outcome, unless the run goes on, in another session or another folder."""
        run = self.run_folder
        goes_on = self._end is None and (_stays_locked(run.writer_lock) or is_unsure(run))
        if not goes_on:
            self.conclude()
        return not goes_on

    def let_go(self) -> None:
        """Leave the client without telling an outcome; what is left is for another courier."""
        if self._tracker:
            self._tracker.abandon()
            self._tracker = None
        self.state.attempt = None
        if self.state.phase in {"starting", "delivering", "waiting"}:
            self.state.phase = "waiting"
        self._save()

    # -- delivering ------------------------------------------------------------------------

    def _next_batch(self) -> list[Item]:
        """Read what comes next; where an earlier courier crashed, record by record."""
        if self._crashed and self._position >= self._crashed.end:
            self._crashed = None
        is_suspect = self._crashed is not None and self._position >= self._crashed.start
        self._reader.offset = self._position
        entries = self._reader.read(1 if is_suspect else BATCH)
        if self._crashed and not is_suspect:
            return [entry for entry in entries if entry.end <= self._crashed.start]
        return entries

    def _note_attempt(self, entries: list[Item]) -> None:
        """Note what is about to be delivered; set aside what crashed its courier too often."""
        start, end, tries = entries[0].start, entries[-1].end, 1
        if self._crashed and self._crashed.start == start:
            tries = self._crashed.tries + 1
        if tries > CRASHES:
            self._refusals.add_record(
                entries[0], Refused(f"its delivery crashed the courier {CRASHES} times")
            )
            entries[:] = [Corrupt(start, end, "")]
        self.state.attempt = Attempt(start, end, tries)
        self._note("delivering")

    def _offer(self, chunk: list[Item]) -> None:
        """Offer a run of metrics, or one record, to the backend, and move on past it."""
        self._expect_answer()
        try:
            self._call(chunk)
        except Exception as error:
            refusal = self._refusal(error)
            if len(chunk) > 1 and not refusal.parts:
                for item in chunk:
                    self._offer([item])
                return
            self._refusals.add_record(chunk[0], refusal)
        self._position = chunk[-1].end
        self._unacknowledged += len(chunk)
        self._must_flush = True

    def _call(self, chunk: Sequence[Item]) -> None:
        first = chunk[0]
        if isinstance(first, Corrupt):
            self._skip(first)
            return
        self._end = None
        record = first.record
        if isinstance(record, End):
            self._end = first
        elif self._tracker_type.placement == "source":
            self._started()
        elif isinstance(record, Metrics):
            self._started().log_metrics(points(chunk))
        elif isinstance(record, Header):
            self._introduce(first, record)
        elif isinstance(record, Artifact) and self.folder.backend in record.withheld_from:
            return  # the journal has it, for other backends
        elif method := METHOD_OF.get(type(record)):
            for file in files_of(record):
                self._check(file)
            getattr(self._started(), method)(record)
        else:  # Resumed: the run goes on, and the backend shall say so
            self._started()

    def _skip(self, line: Corrupt) -> None:
        if line.reason:  # else it was set aside before
            self.state.corrupt += 1
            raise Refused(f"no record: {line.reason}")

    def _introduce(self, entry: Entry, header: Header) -> None:
        """Offer what the header says of the run, each part for itself."""
        self._started()
        parts: list[AnyRecord] = []
        if header.config:
            parts.append(Params(time=header.time, values=header.config))
        if header.tags:
            parts.append(Tags(time=header.time, values=header.tags))
        for part in parts:
            one = entry._replace(record=part)
            try:
                self._call([one])
            except Exception as error:  # a refused config shall not cost the tags
                self._refusals.add_record(one, self._refusal(error))

    def _started(self) -> Tracker:
        if self._tracker is None:
            self._see_that_it_has_an_id()
            if self.state.attachment:
                see_that_no_original_delivers(self.run_folder, self.state.place)
            tracker = self._tracker_type(self._settings)
            run = RunInfo(
                header=self._header,
                folder=self.run_folder.path,
                attachment=self._attachment,
                claimed=self._claimed(),
                directory=self._directory,
                is_foreign=self._is_foreign,
                is_unsure=is_unsure(self.run_folder),
                emit=self._emit,
            )
            try:
                self._attachment = self.state.attachment = tracker.start(run)
            except Exception as error:
                answer = self._cannot_start(tracker, error)
                tracker.abandon()
                raise answer from error
            self._tracker = tracker
            sign_attachment(self.state, self._header.run_id, self.folder.backend)
            self.state.told = "running"
            self.state.place = name_of(self.run_folder)
            self._save()
        return self._tracker

    def _see_that_it_has_an_id(self) -> None:
        """See that the run's id is one that we give: adapters make paths and addresses of it."""
        if not RUN_ID.fullmatch(self._header.run_id):
            raise Parked(f"{self._header.run_id!r} is no run's id", "Nothing: it is no run.")

    def _claimed(self) -> str | None:
        """Return the backend's id of the run as somebody else wrote it."""
        if self._attachment or self.state.attachment is None:
            return None
        return self.state.attachment.id

    def _cannot_start(self, tracker: Tracker, error: Exception) -> TrackerError:
        logger.info("%s could not be started: %s", self.folder.backend, error, exc_info=error)
        if isinstance(error, ImportError):
            return Parked(str(error), registry.install_command(self.folder.backend))
        answer = error if isinstance(error, TrackerError) else tracker.classify(error)
        if isinstance(answer, Refused):
            return Parked(answer.reason, "multitrack doctor")
        return _with_wish(answer, error)

    def _check(self, file: StagedFile) -> None:
        """See that a file is what it was, and give its upload the time that its size takes."""
        see_that_it_is_whole(self.run_folder, file)
        self._bytes += file.size
        self._expect_answer()

    def _classify(self, error: Exception) -> TrackerError:
        """Name an error; if the client is gone, go back to what the backend acknowledged."""
        answer = error
        if not isinstance(answer, TrackerError):
            logger.info("%s raised: %s", self.folder.backend, error, exc_info=error)
            answer = (self._tracker or self._tracker_type(self._settings)).classify(error)
        answer = _with_wish(answer, error)
        if isinstance(answer, Restart):
            self._start_over()
        return answer

    def _refusal(self, error: Exception) -> Refused:
        """Return a refusal; raise any other answer."""
        answer = self._classify(error)
        if not isinstance(answer, Refused):
            raise answer from (error if error is not answer else None)
        return answer

    def _start_over(self) -> None:
        if self._tracker:
            self._tracker.abandon()
            self._tracker = None
        self._position = self.state.offset
        self._unacknowledged = 0
        self._must_flush = False
        self._end = None

    def _acknowledge(self) -> None:
        """Move the cursor, but not past an end that the backend was not told yet."""
        self._expect_answer()
        held = True
        try:
            if self._tracker:
                held = self._tracker.flush()
        except Exception as error:
            self._refusals.add(self.state.offset, "batch", self._refusal(error))
        self._must_flush = False
        self._went_through()
        if held:
            self._move_cursor(self._end.start if self._end else self._position)
        self._save()

    def _went_through(self) -> None:
        self.state.attempt = None
        self.state.failures = 0
        self.state.not_before = 0.0
        self.state.message = self.state.remedy = None

    def _move_cursor(self, offset: int) -> None:
        self.state.offset = offset
        self.state.mark = self._reader.mark(offset)
        self.state.delivered += self._unacknowledged
        self._unacknowledged = self._bytes = 0
        self._refusals.acknowledge()

    # -- what does not go through ------------------------------------------------------------

    def note_trouble(self, answer: TrackerError) -> None:
        """Write down why the backend did not take what it was offered, for all who look."""
        self.state.failures += 1
        self.state.rings = self._rings
        self.state.message = answer.reason
        self.state.remedy = answer.remedy if isinstance(answer, Parked) else self.state.remedy
        if isinstance(answer, Gone) and self.state.attachment:
            self.state.remedy = f"{answer.remedy} {how_to_begin_anew(self.folder)}"
        self.state.attempt = None
        if isinstance(answer, Retry) and answer.after:
            self.state.not_before = time.time() + min(answer.after, LONGEST)
        with contextlib.suppress(OSError):
            self._note("parked" if isinstance(answer, Parked) else "retrying")

    @property
    def asked_wait(self) -> float:
        """Seconds for which the server asked to be left alone; a clock may be set back."""
        return min(self.state.not_before - time.time(), LONGEST)

    def _keep_to_wish(self, gone: threading.Event) -> bool:
        """Wait as long as the server asked to; return False if that is longer than we last."""
        while not self.stop and (left := self.asked_wait) > 0:
            if self.once or self._is_late(left, self.linger):
                self._note("retrying")
                return False
            if self.state.rings != self._rings:
                break  # a person asks for a try, once
            self._pause(left, gone)
            if gone.is_set() and self._gone_at is None:
                self._gone_at = time.monotonic()
        return True

    def _is_late(self, delay: float, limit: float) -> bool:
        """Tell whether the trainer will have been gone for longer than a limit."""
        return self._gone_at is not None and time.monotonic() + delay > self._gone_at + limit

    def _wait_after(self, answer: TrackerError, gone: threading.Event) -> bool:
        """Wait until the next try; return False when there shall be none."""
        self.note_trouble(answer)
        delay, limit = PARKED_RETRY, 0.0
        if not isinstance(answer, Parked):
            delay, limit = max(self.asked_wait, _back_off(self.state.failures)), self.linger
        if self.once or self._is_late(delay, limit):
            return False
        self._pause(delay, gone)
        return True

    def _pause(self, seconds: float, gone: threading.Event) -> None:
        """Wait, until the trainer is gone, if it is not yet, or the bell rings, or for `stop`."""
        was_gone = self._gone_at is not None  # it may have gone since: then there is no waiting
        end = time.monotonic() + seconds
        while not self.stop and gone.is_set() == was_gone and (left := end - time.monotonic()) > 0:
            self._expect_answer()
            (time.sleep if was_gone else gone.wait)(min(POLL, left))
            if self._is_called():
                break

    def _is_called(self) -> bool:
        """Tell whether somebody asked for a try since this was asked last."""
        before, self._rings = self._rings, self.folder.rings()
        return self._rings != before

    def _expect_answer(self) -> None:
        """Give the client its time from now on, and more for files on their way."""
        self.due = time.monotonic() + SILENCE + self._bytes / SLOWEST

    def _save(self) -> None:
        self.state.refused = self._refusals.count
        self.folder.write_state(self.state)

    def _note(self, phase: Phase) -> None:
        if phase == "waiting" and self.state.phase in {"waiting", "done"}:
            return
        self.state.phase = phase
        self._save()


def _with_wish(answer: TrackerError, error: BaseException) -> TrackerError:
    """Add to an answer how long the server asked to wait, if the adapter did not say."""
    if isinstance(answer, Retry) and answer.after is None:
        answer.after = asked_wait(error)
    return answer


def _answer_of(error: TrackerError | OSError) -> TrackerError:
    """Take a full disk, or a file server that is away, for what may pass: no record's fault."""
    return Retry(f"the run's folder: {error}") if isinstance(error, OSError) else error


def _stays_locked(path: Path) -> bool:
    """Tell whether a lock is held, and not only for an instant by a process that is dying."""
    for _ in range(5):
        if not is_locked(path):
            return False
        time.sleep(0.1)
    return True


def sign_attachment(state: CourierState, run_id: str, backend: str) -> None:
    """Sign how a run is found again at a backend, so that later couriers take it from there."""
    state.seal = key.sign(*_attachment_parts(state, run_id, backend))


def _attachment_parts(state: CourierState, run_id: str, backend: str) -> tuple[Any, ...]:
    return ("attachment", run_id, backend, msgspec.to_builtins(state.attachment))


def read_header(run: RunFolder) -> Header:
    """Return a run's header.

    Raises:
        ValueError: the journal does not begin with one.
    """
    reader = JournalReader(run.journal)
    try:
        first = reader.read(1)
    finally:
        reader.close()
    if first and isinstance(first[0], Entry) and isinstance(first[0].record, Header):
        return first[0].record
    raise ValueError(f"{run.journal} does not begin with a run's header")


def _back_off(failures: int) -> float:
    """Return seconds: about 1, 2, 4 … 60, spread so that couriers do not march in step."""
    return min(60.0, 2.0 ** (failures - 1)) * _random.uniform(0.5, 1.0)
