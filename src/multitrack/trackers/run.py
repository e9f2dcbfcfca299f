"""Run: what users hold. Logging appends a record and returns; couriers deliver behind."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from multitrack.trackers import fitting, media, staging, unfinished, values
from multitrack.trackers.delivery import Report
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.observers import Observing
from multitrack.trackers.outcomes import outcome_of
from multitrack.trackers.protocol import Emit
from multitrack.trackers.reception import Reception, because, checked_key, never_raises
from multitrack.trackers.records import (
    END_STATUSES,
    AnyRecord,
    Artifact,
    Audio,
    EndStatus,
    Figure,
    Histogram,
    Image,
    Metrics,
    Params,
    Refused,
    Scalar,
    StagedFile,
    Status,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.redact import redact_table, redact_text
from multitrack.trackers.session import Session
from multitrack.trackers.shown import ShowsItself
from multitrack.trackers.texts import (
    ENDING,
    attempt,
    shorten,
    text_of,
)
from multitrack.trackers.watch import Watch, What

if TYPE_CHECKING:
    from torch.nn import Module

logger = logging.getLogger("multitrack")

LONGEST_REFUSED = 1_000
"""Characters of a refused name that are kept."""
FINISH_TIMEOUT = 60.0
"""Seconds for which `Run.finish` waits for delivery when nobody says otherwise."""
NATIVE_TIMEOUT = 60.0
"""Seconds for which `Run.native` waits for a client to start, when nobody says otherwise."""


class Run(ShowsItself):
    """One training run. `start_run` makes it.

    No method that logs raises or waits for a backend: what cannot be logged is refused by
    name, with a warning the first time and a count. Each returns when its record is in the
    kernel, and survives from then on whatever happens to this process. All methods may be
    called from any thread.

    Steps: a record gets the step that the caller gives. Without one, metrics get the step after
    the last, and everything else belongs to the last. Steps may repeat and may go back; nothing
    is merged or reordered in the journal.

    Attributes:
        id: unique, and sorting by time.
        folder: where the run is recorded.
        error_before: the last uncaught exception when the run started: not the run's.
    """

    def __init__(
        self,
        folder: RunFolder,
        open_session: Callable[[Emit], Session],
        finish_timeout: float,
        last_step: int | None = None,
        observing: Observing = Observing(),  # noqa: B008 - it cannot change
    ) -> None:
        self.id = folder.run_id
        self.folder = folder
        self._open_session = open_session
        self._finish_timeout = finish_timeout
        self._lock = threading.RLock()  # a signal handler may log, too
        self.error_before = getattr(sys, "last_value", None)
        self._refused: Counter[str] = Counter()
        self._takes = Reception(self.refuse, self._keep)
        self._step = last_step
        self._watches: dict[int, Watch] = {}
        with self._lock:  # a source may emit at once
            self._session = self._open()
        self._observers = observing.make(folder.path, self._emit, self.log_artifact)
        self._is_observed = False
        self._observe()

    @property
    def status(self) -> Status:
        """``"running"``, or how the run ended."""
        return self._session.status

    # -- scalars ---------------------------------------------------------------------------

    def log(
        self, metrics: Mapping[str, Any], step: int | None = None, epoch: float | None = None
    ) -> None:
        """Log scalars of one step.

        Args:
            metrics: numbers by name; a nested dict is flattened with ``/``. Takes int, float,
                bool, and numpy or torch values of one element. NaN and infinities are kept.
            step: any whole number; the one after the last if None.
            epoch: the epoch that the step belongs to, whole or fractional.

        Example:
            >>> run.log({"train/loss": 0.5, "eval": {"accuracy": 0.9}}, step=10)
        """
        try:
            points, refused = values.take_metrics(metrics)
            if points:
                if epoch is not None and type(epoch) is not float:
                    epoch = self._takes.epoch(epoch)
                with self._lock:
                    step = self._step_of(step, advance=True)
                    record = Metrics(time=time.time(), step=step, epoch=epoch, values=points)
                    self._live().append(record)
                    self._step = step
            if refused:
                self._takes.refuse_all(refused)
        except ENDING:
            raise
        except BaseException as error:  # what a user's class raises may be of any kind
            self.refuse("log", because(error))

    @never_raises
    def log_params(self, params: Any) -> None:
        """Log hyper-parameters: a dict, a dataclass, a namespace, or what has ``to_dict()``.

        Nested names stay nested; values under a name that looks secret are redacted.

        Example:
            >>> run.log_params({"optimizer": {"name": "adamw", "lr": 1e-3}})
        """
        tree, refused = values.take_tree(params, "params")
        if tree:
            self._append_all(Params, tree, "params")
        self._takes.refuse_all(refused)

    @never_raises
    def set_tags(self, tags: str | Iterable[str] | Mapping[str, Any]) -> None:
        """Add tags: a name, a list of names, or a mapping from name to value.

        Example:
            >>> run.set_tags(["baseline"])
            >>> run.set_tags({"team": "vision"})
        """
        taken, refused = values.take_tags(tags)
        if taken:
            self._append_all(Tags, taken, "tags")
        self._takes.refuse_all(refused)

    @never_raises
    def summary(self, results: Mapping[str, Any]) -> None:
        """Set single values of the whole run, numbers or text; a later one wins.

        Example:
            >>> run.summary({"best/accuracy": 0.97, "best/checkpoint": "checkpoint-300"})
        """
        taken, refused = values.take_metrics(results, with_texts=True)
        if taken:
            self._append_all(Summary, taken, "summary")
        self._takes.refuse_all(refused)

    # -- media -----------------------------------------------------------------------------

    @never_raises
    def log_text(self, key: str, text: str, step: int | None = None) -> None:
        """Log a text under a name.

        Example:
            >>> run.log_text("samples/answer", "Paris is the capital of France.", step=10)
        """
        shown, whole = fitting.fit_text(text_of(text), text_of(key))
        self._write(Text, step, key=key, text=shown)
        if whole:
            self._keep(whole)

    @never_raises
    def log_image(
        self, key: str, image: Any, step: int | None = None, caption: str | None = None
    ) -> None:
        """Log a picture; `multitrack.trackers.media.encode_image` says what is one.

        Example:
            >>> run.log_image("samples/digit", numpy.random.rand(28, 28), step=10)
        """
        file = self._stage(key, media.encode_image(image))
        self._write(Image, step, key=key, file=file, caption=caption)

    @never_raises
    def log_figure(
        self, key: str, figure: Any, step: int | None = None, caption: str | None = None
    ) -> None:
        """Log a matplotlib figure (as PNG) or a plotly figure (as HTML).

        Example:
            >>> run.log_figure("confusion", matplotlib_figure, step=10)
        """
        file = self._stage(key, media.encode_figure(figure))
        self._write(Figure, step, key=key, file=file, caption=caption)

    @never_raises
    def log_histogram(self, key: str, data: Any, step: int | None = None, bins: int = 64) -> None:
        """Log the distribution of numbers, or a pair ``(counts, edges)``.

        Example:
            >>> run.log_histogram("weights/fc1", model.fc1.weight, step=10)
        """
        edges, counts, total, squares = media.make_histogram(data, bins)
        self._write(
            Histogram, step, key=key, edges=edges, counts=counts, total=total, squares=squares
        )

    @never_raises
    def log_table(
        self,
        key: str,
        data: Any,
        columns: Sequence[str] | None = None,
        step: int | None = None,
    ) -> None:
        """Log a table: a data frame, a mapping from column to values, or a list of rows.

        Example:
            >>> run.log_table("errors", [["3", "5"], ["7", "1"]], columns=["label", "guess"])
        """
        grid = media.Grid(*redact_table(*media.make_table(data, columns)))
        file = self._stage(key, media.encode_table(grid))
        self._write(Table, step, key=key, file=file, columns=grid.columns, rows=len(grid.rows))

    @never_raises
    def log_audio(
        self,
        key: str,
        audio: Any,
        sample_rate: int | None = None,
        step: int | None = None,
        caption: str | None = None,
    ) -> None:
        """Log a sound: a file, or samples with their rate in samples a second.

        Example:
            >>> run.log_audio("samples/voice", waveform, sample_rate=16_000, step=10)
        """
        file = self._stage(key, media.encode_audio(audio, sample_rate))
        rate = self._takes.rate(key, sample_rate)
        self._write(Audio, step, key=key, file=file, sample_rate=rate, caption=caption)

    @never_raises
    def log_video(
        self,
        key: str,
        video: Any,
        fps: float = 4,
        step: int | None = None,
        caption: str | None = None,
    ) -> None:
        """Log a video: a file, or frames, which become an animated GIF.

        Example:
            >>> run.log_video("rollout", frames, fps=30, step=10)
        """
        file = self._stage(key, media.encode_video(video, fps))
        self._write(Video, step, key=key, file=file, caption=caption)

    @never_raises
    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        kind: str = "file",
        step: int | None = None,
        aliases: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        withhold_from: Iterable[str] = (),
    ) -> None:
        """Log a file or a folder as it is now, whatever happens to it afterwards.

        Args:
            path: the file or folder.
            name: of the artifact; the file's or folder's own if None.
            kind: ``"file"``, ``"checkpoint"``, ``"model"``, ``"dataset"``, or any word.
            step: the step that it belongs to; the last one if None.
            aliases: names of this version, such as ``"best"``.
            metadata: anything that JSON can hold.
            withhold_from: backends of the run that shall not get it.

        Example:
            >>> run.log_artifact("out/checkpoint-300", kind="checkpoint", aliases=["best"])
        """
        source = Path(path).expanduser()
        name = staging.safe_name(text_of(source.resolve().name if name is None else name))
        self._write(
            Artifact,
            step,
            name=name,
            kind=text_of(kind),
            aliases=self._takes.names(f"{name}/aliases", aliases),
            metadata=self._takes.metadata(f"{name}/metadata", metadata),
            folder=source.is_dir(),
            files=staging.stage_path(
                self.folder, source, lambda file, why: self.refuse(f"{name}/{file}", why)
            ),
            withheld_from=self._takes.names(f"{name}/withhold_from", withhold_from),
        )

    def refuse(self, name: str, reason: str) -> None:
        """Note that a value could not be logged: a warning the first time, and a count."""
        name = shorten(redact_text(text_of(name)), LONGEST_REFUSED)
        reason = redact_text(text_of(reason))
        self._refused[name] += 1
        if self._refused[name] == 1:
            logger.warning("not logged: %s: %s (said once, then counted)", name, reason)
            record = Refused(time=time.time(), key=name, reason=reason)
            failed = attempt(self._append, record)
            if failed:  # a full process table, another writer: training goes on
                logger.warning("the refusal of %s was not recorded: %s", name, failed.error)

    def native(self, backend: str, timeout: float = NATIVE_TIMEOUT) -> Any:
        """Return a client's own object of this run, to log by hand beside what the run logs.

        For scripts that already call a tracker by hand; the guide "Logging by hand" tells what
        each backend hands out, and what to mind. Only for couriers in this process: with
        ``delivery="thread"`` or ``"inline"``. What is logged through it is not in the journal: it
        may block or raise, is lost if the client is, and reaches no other backend. Ask again
        rather than keep it for long: a client that was restarted has another one.

        Args:
            backend: its name, as in ``report_to``.
            timeout: seconds for which a client that is starting is waited for.

        Raises:
            ValueError: the run does not report to this backend.
            RuntimeError: its client is in another process, waits for a person, or measures only;
                or the run has ended.
            TimeoutError: its client has not started in time; it goes on trying.
            NotImplementedError: its adapter hands out no object.

        Example:
            >>> run = start_run(report_to="wandb", delivery="thread")
            >>> run.native("wandb").log({"by_hand": 1})
        """
        with self._lock:
            session = self._session
            session.catch_up()
        return session.native(backend, timeout)

    # -- what observes ---------------------------------------------------------------------

    def watch(
        self,
        model: Module,
        log: What = "gradients",
        every: int = 100,
        bins: int = 64,
        name: str = "",
    ) -> None:
        """Log how a torch model's gradients and parameters are distributed, until the run ends.

        Looks at what an optimizer is about to change: at its first step, and at every
        ``every``-th from there. Frozen parameters are left out, and so are gradients of those
        that were not used. Histograms are named as the parameters are, as in
        ``gradients/fc1.weight``; NaN and infinities have no place in them and are counted, as
        metrics such as ``gradients/fc1.weight/non_finite``. All belong to the run's last step.

        Args:
            model: what is trained; one that is watched already is watched anew.
            log: ``"gradients"``, ``"parameters"`` or ``"all"``.
            every: optimizer steps from one look to the next.
            bins: of each histogram.
            name: put before the parameters' names, where there are several models.

        Raises:
            TypeError: the model is none of torch.
            ValueError: another argument is not allowed.

        Example:
            >>> run.watch(model, log="all", every=500)
        """
        watch = Watch(
            model,
            log=log,
            every=every,
            bins=bins,
            name=name,
            write=self._write,
            emit=self._emit,
        )
        self.unwatch(model)
        self._watches[id(model)] = watch

    def unwatch(self, model: Module | None = None) -> None:
        """No longer watch a model; None stands for all that are watched."""
        for key in list(self._watches) if model is None else [id(model)]:
            if watch := self._watches.pop(key, None):
                watch.stop()

    # -- the end ---------------------------------------------------------------------------

    def finish(
        self,
        status: EndStatus | None = None,
        error: str | None = None,
        *,
        wait: bool = True,
        timeout: float | None = None,
        quiet: bool = False,
    ) -> list[Report]:
        """Write the outcome, and wait for delivery.

        Prints one line per backend to standard error: delivered or what is pending, where to
        look, and the command that delivers the rest.

        Args:
            status: ``"finished"``, ``"failed"``, ``"interrupted"`` or ``"killed"``; what is said
                last counts. None: finished, unless an outcome was said already.
            error: what ended the run, as one line.
            wait: False writes the outcome and returns at once, unless the run delivers inline.
                Delivery goes on, what is logged afterwards still belongs to the run, and the
                wait comes at exit, for what is not delivered by then.
            timeout: seconds to wait at most; the run's ``finish_timeout`` if None.
            quiet: whether to print nothing.

        Returns:
            How far delivery to each backend is; empty if it was not waited for.

        Raises:
            ValueError: the status is none of these.
        """
        if status is not None and status not in END_STATUSES:
            raise ValueError(f"status is {status!r}; allowed: {', '.join(END_STATUSES)}.")
        timeout = self._finish_timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        self.unwatch()
        self._stop_observers()
        self._session.stop_sources(timeout)  # without the lock, which their last words need
        with self._lock:
            session = self._end(status, error)
            if not ((wait or session.is_inline) and session.close(deadline - time.monotonic())):
                session.when_delivered(self._retire)
                return []
            unfinished.discard(self)
        reports = session.wait(max(0.0, deadline - time.monotonic()))
        if not quiet:
            unfinished.print_reports(reports)
        return reports

    def reset_after_fork(self) -> None:
        """Make the run usable in a forked child, whatever its threads were doing."""
        self._lock = threading.RLock()
        self._observers = []

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Say what to do instead of sending a run to another process."""
        unfinished.stay(self)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish(*(outcome_of(error) if error else ()))

    # -- within ----------------------------------------------------------------------------

    def _write(self, record: Callable[..., AnyRecord], step: Any, **fields: Any) -> None:
        """Append a record of a step; what has a key must have one that names it."""
        if "key" in fields:
            fields["key"] = checked_key(fields["key"])
        if fields.get("caption") is not None:
            fields["caption"] = text_of(fields["caption"])
        with self._lock:
            known = self._step_of(step, advance=False)
            self._live().append(record(time=time.time(), step=known, **fields))
            if step is not None:
                self._step = known

    def _step_of(self, step: Any, *, advance: bool) -> int:
        """Return the step given; without one, the last, or the one after it.

        What is no step is refused by that name, and what was logged at it is kept.
        """
        if step is not None:
            if type(step) is int and step in values.INT64:
                return step
            if (known := self._takes.step(step)) is not None:
                return known
        if self._step is None:
            return 0
        return self._step + advance

    def _append(self, record: AnyRecord) -> None:
        with self._lock:
            self._live().append(record)

    def _append_all(
        self, kind: type[Params | Summary | Tags], values: dict[str, Any], what: str
    ) -> None:
        """Append values in as many records as they take, and keep whole what was cut of them."""
        fitted = fitting.fit(values, what)
        for part in fitted.parts:
            self._append(kind(time=time.time(), values=part))
        for whole in fitted.wholes:
            self._keep(whole)

    def _keep(self, whole: fitting.Whole) -> None:
        name = staging.safe_name(whole.name)
        file = staging.stage_bytes(self.folder, whole.content, name.rsplit("/", 1)[-1])
        self._write(Artifact, None, name=name, kind="value", files=[file])

    def _emit(self, kind: type[Metrics | Summary], values: dict[str, Scalar]) -> None:
        """Append what a source measured, at the last step, unless the outcome is written."""
        try:
            with self._lock:
                step = {} if kind is Summary else {"step": self._step_of(None, advance=False)}
                if self._session.status == "running":
                    self._session.append(kind(time=time.time(), values=values, **step))
        except Exception as error:
            logger.warning("what a source measured was not recorded: %s", error)

    def _live(self) -> Session:
        """Return the session; one that was closed is opened again, and the run goes on."""
        if self._session.is_closed:
            self._session = self._open()
        self._observe()
        return self._session

    def _observe(self) -> None:
        """Let observers begin, if they rest."""
        if not self._is_observed:
            self._is_observed = True
            self._tell_observers("start")

    def _stop_observers(self) -> None:
        """Let observers say their last; without the lock, which that needs."""
        if self._is_observed:
            self._tell_observers("stop")
            self._is_observed = False

    def _tell_observers(self, what: Literal["start", "stop"]) -> None:
        for observer in self._observers:
            try:
                observer.start() if what == "start" else observer.stop()
            except Exception as error:  # noqa: PERF203 - training goes on without it
                logger.warning("what was observed is incomplete: %s", error)

    def _open(self) -> Session:
        session = self._open_session(self._emit)
        unfinished.add(self)
        return session

    def _end(self, status: EndStatus | None, error: str | None) -> Session:
        """Write the outcome, and return the session; one that is closed hears what is new."""
        if self._session.is_closed and status not in {None, self.status}:
            self._session = self._open()
        if not self._session.is_closed:
            line = None if error is None else redact_text(str(error))
            self._session.end(status, line, self._refused)
        return self._session

    def _retire(self, session: Session) -> bool:
        """Let go of a session whose outcome is delivered, unless the run goes on."""
        with self._lock:
            if session.status == "running" or not session.close():
                return False
            unfinished.retire(self, session.reports())
        session.wait(FINISH_TIMEOUT)
        return True

    def _stage(self, key: str, encoded: media.Encoded) -> StagedFile:
        name = f"{staging.short_name(key)}{encoded.suffix}"
        return staging.stage_bytes(self.folder, encoded.content, name)
