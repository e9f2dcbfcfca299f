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

import logging
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from multitrack.trackers import registry
from multitrack.trackers.folder import Attempt, Phase, Refusal, RunFolder
from multitrack.trackers.journal import Corrupt, Entry, JournalReader
from multitrack.trackers.protocol import (
    Parked,
    Refused,
    Restart,
    Retry,
    RunInfo,
    Tracker,
    TrackerError,
)
from multitrack.trackers.records import (
    END_STATUSES,
    Artifact,
    Audio,
    End,
    EndStatus,
    Figure,
    Header,
    Histogram,
    Image,
    Metrics,
    Params,
    Record,
    StagedFile,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Settings
from multitrack.trackers.staging import was_overwritten

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

BACKLOG = 64 * 1024
"""Bytes behind the cursor from which on the next batch is not waited for."""

Item: TypeAlias = Entry | Corrupt

_random = random.Random()  # noqa: S311 - spreads retries; the user's generator stays untouched

_METHODS = {
    Params: "log_params",
    Tags: "set_tags",
    Summary: "log_summary",
    Text: "log_text",
    Image: "log_image",
    Figure: "log_figure",
    Histogram: "log_histogram",
    Table: "log_table",
    Audio: "log_audio",
    Video: "log_video",
    Artifact: "log_artifact",
}


class Courier:
    """Deliver a journal to one backend. The caller holds the courier's lock.

    Args:
        run: the run's folder.
        backend: name of the backend.
        settings: of its adapter.
        linger: seconds for which delivery goes on after the trainer is gone.
    """

    def __init__(
        self, run: RunFolder, backend: str, settings: Settings, *, linger: float = LINGER
    ) -> None:
        self.run_folder = run
        self.folder = run.courier(backend)
        self.folder.create()
        self.state = self.folder.read_state()
        self.state.phase = "starting"
        self.state.pid = os.getpid()
        self.folder.write_state(self.state)
        self.linger = linger
        self.hurry = False
        self._settings = settings
        self._tracker_type = registry.load(backend)
        self._tracker: Tracker | None = None
        self._reader = JournalReader(run.journal, self.state.offset)
        self._header = read_header(run)
        self._position = self.state.offset
        self._crashed = self.state.attempt
        self._end: Entry | None = None
        self._unacknowledged = 0

    def run(self, gone: threading.Event) -> None:
        """Deliver until the trainer is gone and the backend knows the run's outcome.

        Args:
            gone: set when no more will be written; until then the courier waits for more.
        """
        caught_up_at = time.monotonic()
        deadline: float | None = None
        while True:
            is_gone = gone.is_set()  # asked before reading: all that was written is then read
            if is_gone and deadline is None:
                deadline = time.monotonic() + self.linger
            try:
                if self.deliver_next():
                    caught_up_at = time.monotonic()
                    if is_gone or self._crashed or self._reader.unread() > BACKLOG:
                        continue
                elif is_gone or (self._end and time.monotonic() - caught_up_at > END_GRACE):
                    self.conclude()
                    if is_gone:
                        return
                self._note("waiting")
                if self.hurry and not gone.is_set():
                    break
                gone.wait(POLL)
            except TrackerError as answer:
                if not self._wait_after(answer, gone, deadline):
                    break
        self.let_go()

    def deliver_next(self) -> bool:
        """Deliver the next batch and acknowledge it; return False if there is nothing new.

        Raises:
            Retry: the backend did not take it now; the next call goes on where this one stopped.
            Parked: it will not before a person acts.
        """
        entries = self._next_batch()
        if not entries:
            return False
        self._note_attempt(entries)
        for chunk in _chunks(entries, self._tracker_type.batch_size):
            self._offer(chunk)
            self._position = chunk[-1].end
            self._unacknowledged += len(chunk)
        self._acknowledge()
        return True

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
            try:
                tracker.finish(outcome)
            except Exception as error:
                raise self._classify(error) from error
            self._tracker = None
            self.state.told = outcome
        self._end = None
        self.state.attempt = None
        self.state.failures = 0
        self.state.message = self.state.remedy = None
        self._move_cursor(self._position)
        self._note("done")

    def let_go(self) -> None:
        """Leave the client without telling an outcome; what is left is for another courier."""
        if self._tracker:
            self._tracker.abandon()
            self._tracker = None
        self.state.attempt = None
        if self.state.phase in {"starting", "delivering", "waiting"}:
            self.state.phase = "waiting"
        self.folder.write_state(self.state)

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
            self._refuse(entries[0], f"its delivery crashed the courier {CRASHES} times")
            entries[:] = [Corrupt(start, end, "")]
        self.state.attempt = Attempt(start, end, tries)
        self._note("delivering")

    def _offer(self, chunk: list[Item]) -> None:
        """Offer a run of metrics, or one record, to the backend."""
        first = chunk[0]
        if isinstance(first, Corrupt):
            if first.reason:
                self.state.corrupt += 1
                self._refuse(first, f"no record: {first.reason}")
            return
        try:
            self._call([entry for entry in chunk if isinstance(entry, Entry)])
        except Exception as error:
            answer = self._classify(error)
            if not isinstance(answer, Refused):
                raise answer from error
            self._set_aside(chunk, answer)

    def _call(self, chunk: list[Entry]) -> None:
        record = chunk[0].record
        self._end = None
        if isinstance(record, End):
            self._end = chunk[0]
        elif isinstance(record, Metrics):
            self._started().log_metrics([e.record for e in chunk if isinstance(e.record, Metrics)])
        elif isinstance(record, Header):
            self._introduce(record)
        elif method := _METHODS.get(type(record)):
            for file in _files(record):
                self._check(file)
            getattr(self._started(), method)(record)
        else:  # Resumed: the run goes on, and the backend shall say so
            self._started()

    def _introduce(self, header: Header) -> None:
        tracker = self._started()
        if header.config:
            tracker.log_params(Params(time=header.time, values=header.config))
        if header.tags:
            tracker.set_tags(Tags(time=header.time, values=header.tags))

    def _started(self) -> Tracker:
        if self._tracker is None:
            tracker = self._tracker_type(self._settings)
            run = RunInfo(
                header=self._header,
                folder=self.run_folder.path,
                attachment=self.state.attachment,
            )
            try:
                self.state.attachment = tracker.start(run)
            except Exception as error:
                answer = self._cannot_start(tracker, error)
                tracker.abandon()
                raise answer from error
            self._tracker = tracker
            self.state.told = "running"
            self.folder.write_state(self.state)
        return self._tracker

    def _cannot_start(self, tracker: Tracker, error: Exception) -> TrackerError:
        logger.info("%s could not be started: %s", self.folder.backend, error, exc_info=error)
        if isinstance(error, ImportError):
            return Parked(str(error), registry.install_command(self.folder.backend))
        answer = error if isinstance(error, TrackerError) else tracker.classify(error)
        if isinstance(answer, Refused):
            return Parked(answer.reason, "multitrack doctor")
        return answer

    def _check(self, file: StagedFile) -> None:
        if was_overwritten(self.run_folder, file):
            raise Refused(f"{file.name} was overwritten in place after it was logged")

    def _classify(self, error: Exception) -> TrackerError:
        """Name an error; if the client is gone, go back to what the backend acknowledged."""
        answer = error
        if not isinstance(answer, TrackerError):
            logger.info("%s raised: %s", self.folder.backend, error, exc_info=error)
            answer = (self._tracker or self._tracker_type(self._settings)).classify(error)
        if isinstance(answer, Restart):
            self._start_over()
        return answer

    def _start_over(self) -> None:
        if self._tracker:
            self._tracker.abandon()
            self._tracker = None
        self._position = self.state.offset
        self._unacknowledged = 0
        self._end = None

    def _acknowledge(self) -> None:
        """Move the cursor, but not past an end that the backend was not told yet."""
        try:
            held = self._tracker is None or self._tracker.flush()
        except Exception as error:
            raise self._classify(error) from error
        self.state.attempt = None
        self.state.failures = 0
        self.state.message = self.state.remedy = None
        if held:
            self._move_cursor(self._end.start if self._end else self._position)
        self.folder.write_state(self.state)

    def _move_cursor(self, offset: int) -> None:
        self.state.offset = offset
        self.state.delivered += self._unacknowledged
        self._unacknowledged = 0

    # -- what does not go through ------------------------------------------------------------

    def _set_aside(self, chunk: list[Item], answer: Refused) -> None:
        if answer.parts:
            for key, reason in answer.parts.items():
                self._refuse(chunk[0], reason, key)
        elif len(chunk) == 1:
            self._refuse(chunk[0], answer.reason)
        else:
            for entry in chunk:
                self._offer([entry])

    def _refuse(self, entry: Item, reason: str, key: str | None = None) -> None:
        record = entry.record if isinstance(entry, Entry) else None
        log = logger.info if self.state.refused else logger.warning  # one line, never a flood
        self.state.refused += 1
        self.folder.set_aside(
            Refusal(
                time=time.time(),
                offset=entry.start,
                record=type(record).__name__.lower() if record else "line",
                key=key or getattr(record, "key", None) or getattr(record, "name", None),
                reason=reason,
            )
        )
        log("%s refused %s: %s", self.folder.backend, key or "a record", reason)

    def _wait_after(
        self, answer: TrackerError, gone: threading.Event, deadline: float | None
    ) -> bool:
        """Wait until the next try; return False when there shall be none."""
        self.state.failures += 1
        self.state.message = answer.reason
        self.state.attempt = None
        if isinstance(answer, Parked):
            self.state.remedy = answer.remedy
            self._note("parked")
            return not (self.hurry or gone.is_set() or gone.wait(PARKED_RETRY))
        delay = answer.after if isinstance(answer, Retry) and answer.after else 0.0
        delay = max(delay, _back_off(self.state.failures))
        self._note("retrying")
        if self.hurry or (deadline is not None and time.monotonic() + delay > deadline):
            return False
        if deadline is None:
            gone.wait(delay)
        else:
            time.sleep(delay)
        return True

    def _note(self, phase: Phase) -> None:
        if phase == "waiting" and self.state.phase in {"waiting", "done"}:
            return
        self.state.phase = phase
        self.folder.write_state(self.state)


def _chunks(entries: Iterable[Item], limit: int) -> Iterator[list[Item]]:
    """Yield runs of consecutive metrics, at most ``limit`` each, and all else one by one."""
    chunk: list[Item] = []
    for entry in entries:
        if not (isinstance(entry, Entry) and isinstance(entry.record, Metrics)):
            if chunk:
                yield chunk
            yield [entry]
            chunk = []
            continue
        chunk.append(entry)
        if len(chunk) >= limit:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _files(record: Record) -> list[StagedFile]:
    if isinstance(record, Artifact):
        return record.files
    file = getattr(record, "file", None)
    return [file] if isinstance(file, StagedFile) else []


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
