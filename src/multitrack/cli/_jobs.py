"""Deliveries of `multitrack sync`: a bounded number of courier processes, and how far each is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from multitrack.trackers import registry
from multitrack.trackers.courier import SILENCE, read_header
from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.history import UnreadableRunError, glance
from multitrack.trackers.kept import is_own, kept_settings
from multitrack.trackers.locks import is_served
from multitrack.trackers.process import spawn
from multitrack.trackers.protocol import Parked
from multitrack.trackers.standing import Standing, standing, sync_command

STOP_PATIENCE = 10.0
"""Seconds that a courier gets to stop when it is told to."""
STUCK = ("parked", "retrying")
"""What a courier says after a try that failed."""
ANSWER_PATIENCE = 60.0
"""Seconds for which the try is waited for that a courier was asked for."""
SIGHT_PATIENCE = 1.0
"""Seconds after which a courier that waits for records has seen those that were there."""


class Job:
    """One run to one backend.

    A courier that is at work already, such as that of the run's trainer, holds the lock: then
    the job asks it to try at once, and follows it, up to the records that were there when it
    looked first. If it leaves before, the job delivers the rest itself.

    Args:
        folder: the run's folder.
        backend: name of the backend.
        goal: bytes of the journal that are to be delivered.
        watch: whether to go on as long as the run does.
        named: whether a person named the backend; else only the run's folder does.

    Attributes:
        accepted: places that somebody else's folder names and a person has agreed to.
    """

    def __init__(
        self,
        folder: RunFolder,
        backend: str,
        goal: int,
        *,
        watch: bool = False,
        named: bool = True,
    ) -> None:
        self.folder = folder
        self.backend = backend
        self.error: str | None = None
        self.accepted: list[str] = []
        self._is_named = named
        self.goal = goal
        self.is_followed = False
        self.is_watched = watch
        self._rings = 0
        self._followed_at = 0.0
        self._heard_of = self._heard_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> CourierState:
        """What the courier wrote last."""
        return self.folder.courier(self.backend).read_state()

    def start(self) -> None:
        """Start a courier, or call the one at work; what prevents it is kept as the error."""
        try:
            if self._is_served():
                self._follow()
                return
            self.see_that_it_is_trusted()
            registry.require(self.backend)
            self._process = spawn(
                self.folder, self.backend, watch=self.is_watched, accepted=self.accepted
            )
        except Parked as answer:
            self.error = f"{answer.reason}\n    {answer.remedy}"
        except (ImportError, ValueError, TypeError, OSError) as error:
            self.error = str(error)

    def see_that_it_is_trusted(self) -> None:
        """See that only what this user named, or wrote, decides where the run goes.

        Raises:
            Parked: something else does.
            ImportError: the backend's adapter, a third party's, cannot be loaded.
            ValueError: there is no such backend, or a variable holds what it may not.
            TypeError: an entry point gives no adapter.
        """
        run_id = read_header(self.folder).run_id
        if not (
            self._is_named
            or registry.is_built_in(self.backend)
            or not registry.is_known(self.backend)
            or is_own(self.folder, run_id, self.backend)
        ):
            raise Parked(
                f"only a folder that somebody else wrote names {self.backend}, a third party's",
                f"To run it, type: {sync_command(self.folder, self.backend)}",
            )
        kept_settings(self.folder, run_id, self.backend, self.accepted)

    def is_over(self) -> bool:
        """Tell whether nothing more happens; take over from a courier that left something."""
        if self._process:
            return self._process.poll() is not None
        if self.is_followed and self._is_served():
            return self._was_answered()
        was_followed, self.is_followed = self.is_followed, False
        if was_followed and not self.standing().is_complete:
            self.start()
        return not (self._process or self.is_followed)

    def stop(self) -> None:
        """Tell the courier to stop after its batch."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def await_stop(self) -> None:
        """See that the courier stops, which was told to."""
        if not self._process:
            return
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def standing(self) -> Standing:
        """Return how far the backend is with what the journal held when the job was made."""
        try:
            status = glance(self.folder).status
        except (OSError, UnreadableRunError) as error:  # removed since it was found, say
            self.error, status = str(error), "killed"
        return standing(self.folder, self.backend, self.state, size=self.goal, status=status)

    def _is_served(self) -> bool:
        """Tell whether a courier is at work."""
        return is_served(self.folder.courier(self.backend))

    def _follow(self) -> None:
        if not self.is_watched:  # who watches has time
            self._rings = self.folder.courier(self.backend).ring()
        self._followed_at = time.monotonic()
        self.is_followed = True

    def _was_answered(self) -> bool:
        """Tell whether the courier that is followed did what it can for now."""
        state, waited = self.state, time.monotonic() - self._followed_at
        if state.phase in STUCK:
            return state.rings >= self._rings or waited > ANSWER_PATIENCE
        if self.is_watched or state.offset >= self.goal:
            return not self.is_watched
        is_idle = state.phase == "waiting" and waited > SIGHT_PATIENCE
        return (is_idle and self._goes_on()) or self._is_silent(state)

    def _goes_on(self) -> bool:
        """Tell whether the run does: then its courier tells more at the end."""
        with suppress(OSError, UnreadableRunError):
            return glance(self.folder).status == "running"
        return False

    def _is_silent(self, state: CourierState) -> bool:
        """Tell whether the courier is stopped, or works for a trainer that logs no more."""
        now = time.monotonic()
        if state.updated != self._heard_of:
            self._heard_of, self._heard_at = state.updated, now
        return now - max(self._heard_at, self._followed_at) > SILENCE


def find_jobs(
    folders: Sequence[RunFolder], to: Sequence[str] | None, *, watch: bool = False
) -> Iterator[Job]:
    """Yield what is to be delivered: to the backends of each run, or to those that are named."""
    for folder in folders:
        with suppress(FileNotFoundError, UnreadableRunError):
            seen = glance(folder)
            for backend in to or seen.couriers:
                state = seen.couriers.get(backend) or folder.courier(backend).read_state()
                one = standing(folder, backend, state, size=seen.size, status=seen.status)
                if not one.is_complete:
                    yield Job(folder, backend, seen.size, watch=watch, named=bool(to))


class Crew:
    """Work through jobs, a few at a time.

    Args:
        size: how many couriers work at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting: list[Job] = []
        self.working: list[Job] = []

    def add(self, job: Job) -> None:
        """Queue a job."""
        self.waiting.append(job)

    def step(self) -> list[Job]:
        """Start what can start; return the jobs that are over."""
        over = [job for job in self.working if job.is_over()]
        self.working = [job for job in self.working if job not in over]
        while self.waiting and len(self.working) < self.size:
            job = self.waiting.pop(0)
            job.start()
            self.working.append(job)
        return over

    def has(self, folder: RunFolder, backend: str) -> bool:
        """Tell whether a job for this run and backend is queued or at work."""
        jobs = [*self.waiting, *self.working]
        return any(job.folder.path == folder.path and job.backend == backend for job in jobs)

    def stop(self) -> None:
        """Stop all couriers."""
        for job in self.working:
            job.stop()
        for job in self.working:
            job.await_stop()
