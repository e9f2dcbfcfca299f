"""How a run's couriers are kept at work from the trainer's side, and what they report."""

from __future__ import annotations

import contextvars
import logging
import math
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

from multitrack.trackers import registry
from multitrack.trackers.courier import END_GRACE, Courier, read_header
from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.kept import keep_settings
from multitrack.trackers.locks import FileLock, LockedError
from multitrack.trackers.process import EXIT_CODES, secret_variables, spawn
from multitrack.trackers.protocol import Emit, Parked, TrackerError
from multitrack.trackers.settings import Settings

logger = logging.getLogger("multitrack")

Mode: TypeAlias = Literal["process", "thread", "inline", "later"]
MODES: tuple[Mode, ...] = get_args(Mode)
CHECK_INTERVAL = 0.5
"""Seconds between two looks at whether a courier lives."""
MAX_RESTART_DELAY = 60.0
LOOK_INTERVAL = 0.02
"""Seconds between two looks at whether what is waited for has come."""
HERE = (
    "Start the run with delivery='thread', or set MULTITRACK_DELIVERY=thread, to have its client "
    "in this process."
)
SOURCE_PATIENCE = 5.0
"""Seconds for which the run's outcome waits for the last words of a source."""


class Report(NamedTuple):
    """How far delivery to one backend is.

    Attributes:
        backend: its name.
        delivered: whether it holds everything, the outcome included.
        pending: records that it does not hold yet.
        refused: what it did not take; ``couriers/<backend>/refused.jsonl`` says why.
        url: where to look at the run.
        message: why something is pending.
        command: what to type to deliver the rest.
        lost: records that the disk did not take, and that no backend will ever have.
    """

    backend: str
    delivered: bool
    pending: int
    refused: int
    url: str | None
    message: str | None
    command: str
    lost: int = 0

    def __str__(self) -> str:
        refused = f", {self.refused:,} refused" if self.refused else ""
        if self.delivered:
            where = f": {self.url}" if self.url else ""
            return f"{self.backend}: delivered{refused}{where}"
        why = f" ({self.message})" if self.message else ""
        what = f"{self.pending:,} records pending" if self.pending else "outcome pending"
        if self.lost:
            rest = f"{what}, " if self.pending else ""
            what = f"{rest}{self.lost:,} records lost, as the disk took nothing more"
        return f"{self.backend}: {what}{refused}{why}; deliver with: {self.command}"


class Assignment(NamedTuple):
    """One backend of a run, with its settings and those given in code."""

    run: RunFolder
    backend: str
    settings: Settings
    arguments: Mapping[str, Any]


class Worker(Protocol):
    """One courier at work for this process."""

    def check(self) -> None:
        """See that it is at work; start it again if it died."""

    def release(self) -> None:
        """Let it know that nothing more comes."""

    def is_done(self) -> bool:
        """Tell whether it stopped working."""

    def is_parked(self) -> bool:
        """Tell whether it, not one before it, waits for a person."""

    def after_append(self) -> None:
        """Let it know that a record was written."""

    def native(self, timeout: float) -> Any:
        """Return the client's object, as soon as the client has started; see `Delivery.native`."""

    def leave_in_child(self) -> None:
        """Let go of it in a forked child."""


class Restarts:
    """When a courier that died is started again: after 1, 2, 4 … 60 seconds."""

    def __init__(self) -> None:
        self._deaths = 0
        self._due = 0.0

    def is_due(self) -> bool:
        """Tell whether to start it now; the first call after a death begins the delay."""
        if not self._due:
            self._deaths += 1
            self._due = time.monotonic() + min(2.0 ** (self._deaths - 1), MAX_RESTART_DELAY)
        if time.monotonic() < self._due:
            return False
        self._due = 0.0
        return True


class ProcessWorker:
    """A courier process, started again with growing delay when it dies."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._restarts = Restarts()
        self._released = False
        self._followed = False
        self._spawn()

    @property
    def pid(self) -> int:
        """The courier's process."""
        return self._process.pid

    def check(self) -> None:
        """Start the courier again if it died, not too often."""
        if not self._released and self._process.poll() is not None and self._restarts.is_due():
            os.close(self._pipe)
            self._spawn()

    def release(self) -> None:
        """Close the pipe: the courier sees its end of file and finishes."""
        if not self._released:
            self._released = True
            os.close(self._pipe)

    def is_done(self) -> bool:
        """Tell whether the process ended; one that was killed is followed by one more."""
        code = self._process.poll()
        if code is None:
            return False
        if self._released and code not in EXIT_CODES and not self._followed:
            self._followed = True
            self._spawn()
            os.close(self._pipe)
            return False
        return True

    def is_parked(self) -> bool:
        """Look at what it wrote last."""
        run, backend, *_ = self._assignment
        state = run.courier(backend).read_state()
        return state.phase == "parked" and state.pid == self.pid

    def after_append(self) -> None:
        """Nothing: the courier looks for itself."""

    def native(self, timeout: float) -> Any:
        """Say that the object is elsewhere."""
        backend = self._assignment.backend
        raise RuntimeError(f"{backend} is delivered to by a process of its own. {HERE}")

    def leave_in_child(self) -> None:
        """Close the child's copy of the pipe, which would hide the trainer's end."""
        if not self._released:
            self._released = True
            os.close(self._pipe)

    def _spawn(self) -> None:
        run, backend, settings, arguments = self._assignment
        read_end, self._pipe = os.pipe()
        try:
            self._process: subprocess.Popen[bytes] = spawn(
                run, backend, pipe=read_end, secrets=secret_variables(settings, arguments)
            )
        finally:
            os.close(read_end)


class ThreadWorker:
    """A courier in a thread of the trainer's process, in the context of who started the run.

    A client that must live there may find its surroundings, such as a task of Flyte, by a context
    variable, which a new thread does not have.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._context = contextvars.copy_context()
        self._restarts = Restarts()
        self._gone = threading.Event()
        self._courier: Courier | None = None
        self._thread = self._start()

    def check(self) -> None:
        """Start the thread again if it died, not too often."""
        is_dead = not self._thread.is_alive() and not self._gone.is_set()
        if is_dead and self._restarts.is_due():
            self._thread = self._start()

    def release(self) -> None:
        """Set the event that the courier waits on."""
        self._gone.set()

    def is_done(self) -> bool:
        """Tell whether the thread ended."""
        return not self._thread.is_alive()

    def is_parked(self) -> bool:
        """Look at the thread's courier, if it has begun, and whether others can read why.

        One that was released tries once more, in this process: it is done after that.
        """
        is_free = self._gone.is_set()
        if is_free or self._courier is None or self._courier.state.phase != "parked":
            return False
        return self._courier.folder.read_state().phase == "parked"

    def after_append(self) -> None:
        """Nothing: the courier looks for itself."""

    def native(self, timeout: float) -> Any:
        """Wait until the thread's courier has started its client, or says that it cannot."""
        deadline = time.monotonic() + timeout
        backend = self._assignment.backend
        while not self.is_parked():
            if self._courier and (tracker := self._courier.tracker):
                return tracker.native()
            if time.monotonic() > deadline:
                why = self._why_not_started() or "it is still starting"
                raise TimeoutError(f"{backend} has not started within {timeout:g} seconds: {why}")
            time.sleep(LOOK_INTERVAL)
        raise RuntimeError(f"{backend} waits for a person: {self._why_not_started()}")

    def _why_not_started(self) -> str:
        state = self._courier.state if self._courier else None
        return "; ".join(filter(None, (state.message, state.remedy))) if state else ""

    def leave_in_child(self) -> None:
        """Nothing: a forked child has no copy of the thread."""

    def _start(self) -> threading.Thread:
        name = f"multitrack-{self._assignment.backend}"
        thread = threading.Thread(
            target=self._context.run, args=(self._work,), name=name, daemon=True
        )
        thread.start()
        return thread

    def _work(self) -> None:
        run, backend, *_ = self._assignment
        try:
            with FileLock(run.courier(backend).lock, timeout=math.inf):
                self._deliver()
        except (Exception, SystemExit):  # a client may call sys.exit()
            logger.exception("the %s courier stopped", backend)

    def _deliver(self) -> None:
        run, backend, settings, _ = self._assignment
        self._courier = Courier(run, backend, settings)
        self._courier.run(self._gone)


class SourceWorker(ThreadWorker):
    """A source in a thread: it measures as long as the run has no outcome."""

    def __init__(self, assignment: Assignment, emit: Emit) -> None:
        self._emit = emit
        self._stop = threading.Event()
        self.is_silent = threading.Event()
        super().__init__(assignment)

    def stop(self) -> None:
        """Tell it to emit its last; `is_silent` is set when it did."""
        self._stop.set()
        if self._courier:
            self._courier.stop = True

    def native(self, timeout: float) -> Any:
        """Say that a source takes nothing."""
        backend = self._assignment.backend
        raise RuntimeError(f"{backend} measures the run: there is nothing to log there by hand")

    def resume(self) -> None:
        """Let it measure again: the run goes on after its outcome."""
        self._stop.clear()

    def _deliver(self) -> None:
        while True:
            if not self._stop.is_set():
                self._measure()
            self.is_silent.set()
            if self._gone.wait(CHECK_INTERVAL):
                break
        if not self._waits_for_a_person():  # else that is what the user shall hear
            super()._deliver()

    def _waits_for_a_person(self) -> bool:
        return self._courier is not None and self._courier.state.phase == "parked"

    def _measure(self) -> None:
        run, backend, settings, _ = self._assignment
        self.is_silent.clear()
        try:
            self._courier = Courier(run, backend, settings, emit=self._emit)
            self._courier.stop = self._stop.is_set()
            self._courier.run(self._stop)
        finally:
            self.is_silent.set()


class InlineWorker:
    """A courier on the calling thread: each record is delivered before the call returns."""

    def __init__(self, assignment: Assignment) -> None:
        run, backend, settings, _ = assignment
        self._lock = FileLock(run.courier(backend).lock)
        self._courier: Courier | None = None
        self._assignment = assignment
        self._is_busy = False
        self._trouble = "another courier delivers this run already"
        try:
            self._lock.acquire()
        except LockedError:
            logger.warning("%s: %s", backend, self._trouble)
            return
        self._courier = Courier(run, backend, settings, linger=0)

    def check(self) -> None:
        """Nothing: it works when it is told to."""

    def after_append(self) -> None:
        """Deliver what was written; what fails is left for the next call."""
        if self._courier is None or self._is_busy:  # busy: a signal handler logs in between
            return
        if self._courier.asked_wait > 0:
            return
        self._is_busy = True
        try:
            while self._courier.deliver_next():
                self._trouble = ""
        except TrackerError as answer:
            self._courier.note_trouble(answer)
            remedy = answer.remedy if isinstance(answer, Parked) else None
            self._warn("; ".join(filter(None, (answer.reason, remedy))))
        except SystemExit as error:  # the client's: training goes on
            self._warn(f"the client called sys.exit({error.code!r})")
        finally:
            self._is_busy = False

    def _warn(self, trouble: str) -> None:
        """Tell of trouble once, not at every call until it is over."""
        if trouble != self._trouble:
            logger.warning("%s: %s", self._assignment.backend, trouble)
        self._trouble = trouble

    def native(self, timeout: float) -> Any:
        """Return the object, if what was delivered last started the client."""
        if self._courier is None or self._courier.tracker is None:
            raise RuntimeError(f"{self._assignment.backend} has not started: {self._trouble}")
        return self._courier.tracker.native()

    def release(self) -> None:
        """Deliver the rest and the outcome."""
        if self._courier is None:
            return
        gone = threading.Event()
        gone.set()
        try:
            self._courier.run(gone)
        finally:
            self._courier = None
            self._lock.release()

    def is_done(self) -> bool:
        """Tell whether it was released."""
        return self._courier is None

    def is_parked(self) -> bool:
        """Tell nothing: it never waits."""
        return False

    def leave_in_child(self) -> None:
        """Leave delivery to the parent."""
        self._courier = None


class Delivery:
    """All couriers of a run that this process keeps at work.

    Args:
        assignments: the run's backends.
        mode: where couriers work. A backend that must live in the trainer's process gets a
            thread where others get a process; a source works in every mode.
        emit: how sources put records into the run.
    """

    def __init__(self, assignments: Sequence[Assignment], mode: Mode, emit: Emit) -> None:
        self.is_inline = mode == "inline"
        self._assignments = assignments
        self._stop = threading.Event()
        for run, backend, settings, arguments in assignments:
            run_id = read_header(run).run_id
            run.courier(backend).create()
            keep_settings(run, run_id, backend, settings, arguments)
        workers = ((a.backend, _worker(a, mode, emit)) for a in assignments)
        self._workers = {backend: worker for backend, worker in workers if worker}
        self._retire: Callable[[], bool] | None = None
        self._retire_from = 0.0
        self._watcher = threading.Thread(target=self._watch, name="multitrack-watch", daemon=True)
        if self._workers:
            self._watcher.start()

    def after_append(self) -> None:
        """Let the couriers know that a record was written."""
        for worker in self._workers.values():
            try:
                worker.after_append()
            except Exception:  # noqa: PERF203 - nothing of a backend may reach the training
                logger.exception("a courier failed")

    def stop_sources(self, timeout: float) -> None:
        """Let sources emit their last, and wait for that at most ``timeout`` seconds."""
        deadline = time.monotonic() + min(timeout, SOURCE_PATIENCE)
        for source in self._sources():
            source.stop()
        for source in self._sources():
            source.is_silent.wait(max(0.0, deadline - time.monotonic()))

    def resume_sources(self) -> None:
        """Let sources measure again."""
        for source in self._sources():
            source.resume()

    def native(self, backend: str, timeout: float) -> Any:
        """Return the client's object of the run at one backend.

        Args:
            backend: its name, or an alias.
            timeout: seconds for which a client that is starting is waited for.

        Raises:
            ValueError: the run does not report to it.
            RuntimeError: its client is not in this process, or waits for a person.
            TimeoutError: its client has not started in time.
            NotImplementedError: its adapter hands out none.
        """
        name = registry.canonical(backend)
        backends = [assignment.backend for assignment in self._assignments]
        if name not in backends:
            among = ", ".join(backends) or "nothing"
            raise ValueError(f"{backend!r} is none of the backends of this run: {among}.")
        if name not in self._workers:
            raise RuntimeError(f"no client of {name} is started by this process. {HERE}")
        return self._workers[name].native(timeout)

    def finish(self, timeout: float) -> list[Report]:
        """Let the couriers end, wait for them at most ``timeout`` seconds, and report."""
        deadline = time.monotonic() + timeout
        self._stop.set()
        if self._watcher.ident and self._watcher is not threading.current_thread():
            self._watcher.join()  # it may be starting a courier again
        for worker in self._workers.values():
            try:
                worker.release()
            except Exception:  # noqa: PERF203 - nothing of a backend may reach the training
                logger.exception("a courier failed")
        while not self._is_over() and time.monotonic() < deadline:
            time.sleep(LOOK_INTERVAL)
        return self.reports()

    def reports(self) -> list[Report]:
        """Report how far delivery is."""
        return [report(a.run, a.backend) for a in self._assignments]

    def when_over(self, retire: Callable[[], bool]) -> None:
        """Call ``retire`` on a thread, until it returns True, when all that is there is delivered.

        Not at once: more may still be logged, as an evaluation after training is.
        """
        self._retire_from = time.monotonic() + END_GRACE
        self._retire = retire
        if not self._watcher.ident:
            self._watcher.start()

    def leave_in_child(self) -> None:
        """Let go of all couriers in a forked child."""
        for worker in self._workers.values():
            worker.leave_in_child()
        self._workers = {}

    def _sources(self) -> list[SourceWorker]:
        return [w for w in self._workers.values() if isinstance(w, SourceWorker)]

    def _is_over(self) -> bool:
        """Tell whether all couriers stopped, or those that work on wait for a person."""
        return all(worker.is_done() or worker.is_parked() for worker in self._workers.values())

    def _watch(self) -> None:
        while not self._stop.wait(CHECK_INTERVAL):
            for worker in self._workers.values():
                try:
                    worker.check()
                except OSError as error:  # noqa: PERF203 - e.g. no memory for a new process
                    logger.warning("a courier could not be started again: %s", error)
            if self._retire and self._has_all() and self._retire():
                return

    def _has_all(self) -> bool:
        """Tell whether the run's end is a while ago, and every backend knows it."""
        return time.monotonic() > self._retire_from and all(
            worker.is_silent.is_set()
            if isinstance(worker, SourceWorker)
            else report(a.run, a.backend).delivered
            for a in self._assignments
            if (worker := self._workers.get(a.backend))
        )


def report(run: RunFolder, backend: str) -> Report:
    """Return how far delivery to a backend is, as its courier wrote it last."""
    state = run.courier(backend).read_state()
    pending = _count_lines(run, state.offset)
    return Report(
        backend=backend,
        delivered=state.phase == "done" and not pending,
        pending=pending,
        refused=state.refused,
        url=state.attachment.url if state.attachment else None,
        message=_why_pending(state),
        command=f"multitrack sync {run.path} --to {backend}",
    )


def _why_pending(state: CourierState) -> str | None:
    """Return why something is pending: the last trouble, else what was being done last."""
    since = f"for {max(0.0, time.time() - state.updated):,.0f} s"
    doing = {
        "starting": f"its client has been starting {since}",
        "delivering": f"the backend has not answered {since}",
    }
    what = doing.get(state.phase) if state.updated else None  # else nothing has begun
    facts = [state.message or what, state.remedy]
    if (left := state.not_before - time.time()) > 0:
        facts.insert(1, f"the server asked to be left alone for {left:,.0f} s more")
    if state.failures > 1 and state.phase == "retrying":
        facts.insert(1, f"{state.failures} attempts failed")
    return "; ".join(fact for fact in facts if fact) or None


def _worker(assignment: Assignment, mode: Mode, emit: Emit) -> Worker | None:
    placement = registry.load(assignment.backend).placement
    if placement == "source":
        return SourceWorker(assignment, emit)
    if mode == "later":
        return None
    if mode == "inline":
        return InlineWorker(assignment)
    if mode == "thread" or placement == "trainer":
        return ThreadWorker(assignment)
    return ProcessWorker(assignment)


def _count_lines(run: RunFolder, offset: int) -> int:
    count = 0
    with run.journal.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(1024 * 1024):
            count += chunk.count(b"\n")
    return count
