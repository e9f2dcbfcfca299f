"""`multitrack sync`: deliver what is left, or play a run to a tracker that it never knew."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from multitrack.cli._commands import UsageError
from multitrack.cli._jobs import Crew, Job, find_jobs
from multitrack.cli._output import console, plural
from multitrack.cli._select import find_targets, short_id
from multitrack.trackers import registry
from multitrack.trackers.anew import begin_anew
from multitrack.trackers.copies import declare_dead, how_to_declare, is_unsure
from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.kept import UntrustedError
from multitrack.trackers.locks import LockedError
from multitrack.trackers.protocol import Parked

POLL = 0.1
"""Seconds between two looks at the couriers."""
SCAN = 2.0
"""Seconds between two looks for new runs, when watching."""
RETRY = 60.0
"""Seconds until what was left is tried again, when watching."""
LEFT = 1
"""Exit code when something is left."""


def deliver(
    target: Annotated[
        str | None,
        typer.Argument(metavar="RUN|DIR", help="A run, or a directory of runs; all, if none."),
    ] = None,
    *,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="NAME", help="Only there; any backend, also a new one."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, with new records and new runs, until Ctrl-C.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Couriers at once.")] = 4,
    dead: Annotated[
        bool,
        typer.Option("--dead", help="Say that RUN, of which this is a copy, goes on nowhere."),
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Deliver all of RUN to a new run of the one --to names.")
    ] = False,
) -> None:
    """Deliver what is left. The exit code is 1 if something still is."""
    names = [_known(name) for name in to or []]
    out = console()
    if dead:
        _declare_dead(out, target)
    if anew:
        _begin_anew(target, names)
    sync = Sync(out, jobs)
    with _sigterm_as_ctrl_c():
        try:
            left = sync.watch(target, names) if watch else sync.once(target, names)
        finally:
            sync.crew.stop()
    if left:
        raise typer.Exit(LEFT)


def _declare_dead(out: Console, target: str | None) -> None:
    if target is None:
        raise UsageError("--dead needs to be told of which run: multitrack sync RUN --dead")
    try:
        for folder in find_targets(target):
            if declare_dead(folder):
                out.print(f"{short_id(folder.run_id)} counts as killed from now on")
    except (LockedError, OSError) as error:
        raise UsageError(str(error)) from None


def _begin_anew(target: str | None, names: list[str]) -> None:
    if target is None or not names:
        raise UsageError("--anew needs to be told of what: multitrack sync RUN --to NAME --anew")
    try:
        for folder in find_targets(target):
            for name in names:
                begin_anew(folder.courier(name))
    except (LockedError, OSError) as error:
        raise UsageError(f"{error}; end the run first") from None


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let a scheduler or a service manager stop this, and its couriers, as a person does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Sync:
    """One call of the command.

    Args:
        out: where to report.
        jobs: how many couriers work at once.
    """

    def __init__(self, out: Console, jobs: int) -> None:
        self.crew = Crew(jobs)
        self._out = out
        self._left = 0
        self._bars: dict[Job, TaskID] = {}
        self._tried: dict[tuple[str, str], float] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=out,
            transient=True,
        )

    def once(self, target: str | None, names: list[str]) -> int:
        """Deliver what is there now; return how many deliveries are left."""
        folders = find_targets(target)
        found = list(find_jobs(folders, names))
        for job in found:
            self._ask(job)
            self.crew.add(job)
        if not found:
            self._out.print("Everything is delivered.")
        self._tell_of_copies(folders, {job.folder.path for job in found})
        with self._drawn():
            while self.crew.waiting or self.crew.working:
                self._step()
        return self._left

    def _ask(self, job: Job) -> None:
        """Show where somebody else's folder would go, and ask, if there is somebody to answer."""
        if not (self._out.is_terminal and sys.stdin.isatty()):
            return
        try:
            job.see_that_it_is_trusted()
        except UntrustedError as answer:
            self._out.print(f"{answer.reason}.", soft_wrap=True)
            if typer.confirm("Deliver there?", default=False):
                job.accepted = answer.places
        except (Parked, ImportError, ValueError, TypeError, OSError):
            return  # told when the job starts

    def watch(self, target: str | None, names: list[str]) -> int:
        """Deliver what is there and what comes, until Ctrl-C; return how many are left then."""
        self._out.print("Watching; Ctrl-C stops.", style="dim")
        next_scan = 0.0
        with self._drawn():
            try:
                while True:
                    if time.monotonic() >= next_scan:
                        self._add_new(target, names)
                        next_scan = time.monotonic() + SCAN
                    self._step()
            except KeyboardInterrupt:
                self.crew.stop()
        return len(list(find_jobs(find_targets(target), names)))

    def _tell_of_copies(self, folders: Iterable[RunFolder], at_work: set[Path]) -> None:
        """Say of which runs it is not known whether they are over, though all is delivered."""
        for folder in folders:
            if folder.path not in at_work and is_unsure(folder):
                line = f"{short_id(folder.run_id)} may go on: this is a copy of it"
                self._out.print(f"{line}\n    {how_to_declare(folder)}", soft_wrap=True)

    def _drawn(self) -> AbstractContextManager[object]:
        """Draw the bars while the context lasts, if there is a terminal to draw on."""
        return self._progress if self._out.is_terminal else nullcontext()

    def _add_new(self, target: str | None, names: list[str]) -> None:
        """Queue what is not at work and was not tried a moment ago."""
        now = time.monotonic()
        for job in find_jobs(find_targets(target), names, watch=True):
            last = self._tried.get((job.folder.run_id, job.backend), -RETRY)
            if now - last >= RETRY and not self.crew.has(job.folder, job.backend):
                self.crew.add(job)

    def _step(self) -> None:
        for job in self.crew.step():
            self._conclude(job)
        for job in self.crew.working:
            self._show(job)
        time.sleep(POLL)

    def _show(self, job: Job) -> None:
        state = job.state
        bar = self._bars.get(job)
        if bar is None:
            if job.is_followed:
                self._tell_who_is_followed(job)
            label = f"{short_id(job.folder.run_id)} {job.backend}"
            bar = self._bars[job] = self._progress.add_task(label, total=job.goal, note="")
        note = state.message or state.phase
        self._progress.update(bar, completed=state.offset, note=note)

    def _tell_who_is_followed(self, job: Job) -> None:
        what = "is at work on it" if job.is_watched else "was told to try at once; waiting for it"
        line = _line(job, f"its courier (process {job.state.pid}) {what}", "dim")
        self._progress.console.print(line, soft_wrap=True)

    def _conclude(self, job: Job) -> None:
        if (bar := self._bars.pop(job, None)) is not None:
            self._progress.remove_task(bar)
        self._tried[job.folder.run_id, job.backend] = time.monotonic()
        one = job.standing()
        self._left += not one.is_complete
        line = _line(job, one.word, one.style)
        for note in _notes(job, is_complete=one.is_complete):
            line.append(f"\n    {note}")
        self._progress.console.print(line, soft_wrap=True)


def _line(job: Job, words: str, style: str) -> Text:
    return Text.assemble(
        f"{short_id(job.folder.run_id)} ", (f"{job.backend} ", "bold"), (words, style)
    )


def _notes(job: Job, *, is_complete: bool) -> list[str]:
    """Return what a person should know: where to look, or why something is left."""
    state = job.state
    notes = [f"{plural(state.refused, 'record')} refused: see multitrack show"]
    notes = notes if state.refused else []
    if is_complete:
        url = state.attachment.url if state.attachment else None
        notes += [f"a copy: {how_to_declare(job.folder)}"] if is_unsure(job.folder) else []
        return [url, *notes] if url else notes
    if job.error:
        return [job.error]
    if job.is_followed:
        notes.append(_what_its_courier_does(state))
    log = job.folder.courier(job.backend).log
    return [note for note in (state.message, state.remedy) if note] + notes or [f"see {log}"]


def _what_its_courier_does(state: CourierState) -> str:
    """Say what goes on without us, and that a parked courier knows no variables of today."""
    does = f"its courier (process {state.pid}) goes on with it"
    is_parked = state.phase == "parked"
    return f"{does}, with the environment that the run was started in" if is_parked else does


def _known(name: str) -> str:
    try:
        return registry.load(name).name
    except (ImportError, ValueError, TypeError) as error:
        raise UsageError(str(error)) from None
