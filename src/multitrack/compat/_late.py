"""LateRun: a run whose options are checked at once, and that begins when something needs it."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from multitrack.trackers import registry
from multitrack.trackers.delivery import Mode
from multitrack.trackers.folder import RunFolder, default_directory, new_run_id
from multitrack.trackers.outcomes import FINISHED, Outcome, outcome_of
from multitrack.trackers.run import Run
from multitrack.trackers.start import check_options, start_run

if TYPE_CHECKING:
    from typing_extensions import Unpack

_CHECKED = (
    *("tags", "notes", "run_id", "delivery", "settings", "finish_timeout"),
    *("system_metrics", "capture_console"),
)


class RunOptions(TypedDict, total=False):
    """What `multitrack.start_run` takes beside project and name."""

    report_to: str | Iterable[str] | None
    config: Any
    tags: str | Iterable[str] | Mapping[str, Any] | None
    notes: str | None
    dir: str | os.PathLike[str] | None
    run_id: str | None
    delivery: Mode | None
    settings: Mapping[str, Mapping[str, Any]] | None
    finish_timeout: float | None
    system_metrics: bool | float | None
    capture_console: bool | None


class LateRun:
    """A run that begins when it is first needed: a host makes its loggers before it trains.

    It travels to a process that the host spawns, which goes on with the run.

    Args:
        project: as in `multitrack.start_run`.
        name: same.
        options: same.

    Attributes:
        id: the run's id, known before it begins.
        run: the run, None until it begins.

    Raises:
        ValueError: a backend, setting or other option that is not allowed.
        TypeError: same, or an option that there is not.
        ImportError: a backend's client is not installed; the message has the command.
    """

    def __init__(
        self, project: str | None, name: str | None, **options: Unpack[RunOptions]
    ) -> None:
        inspect.signature(start_run).bind(project, name, **options)
        checked: dict[str, Any] = {key: options.get(key) for key in _CHECKED}
        if options.get("run_id") and options.get("report_to") is None:
            check_options([], **{**checked, "settings": None})  # the run's journal has the rest
        else:
            check_options(registry.resolve(options.get("report_to")), **checked)
        self._is_given = bool(options.get("run_id"))
        self.id = options.get("run_id") or new_run_id()
        self.run: Run | None = None
        self._arguments: dict[str, Any] = {
            "project": project,
            "name": name,
            **options,
            "run_id": self.id,
        }
        self._handled_before = sys.exc_info()[1]

    def begin(self) -> Run:
        """Return the run, which begins now if it has not yet."""
        if self.run is None:
            self.run = start_run(**self._arguments)
        return self.run

    def begin_anew(self) -> None:
        """Let another run begin next, if this one has begun and was not asked for by its id."""
        if self.run is not None and not self._is_given:
            self.leave()
            self.id = self._arguments["run_id"] = new_run_id()
            self._handled_before = sys.exc_info()[1]

    def leave(self) -> None:
        """Let go of the run, which ends as was said last; its couriers end by themselves."""
        if self.run is not None:
            self.run.finish(timeout=0, quiet=True)
            self.run = None

    @property
    def is_recorded(self) -> bool:
        """Whether the run has begun, in this process or in another."""
        directory = Path(self._arguments.get("dir") or default_directory()).expanduser()
        return RunFolder(directory / self.id).exists

    def finish(self) -> None:
        """Write the outcome of the run, if it has begun, and wait for delivery.

        Where nothing is being handled, an outcome that was written before stands.
        """
        if self.run is not None:
            outcome = self.outcome()
            self.run.finish(*(() if outcome == FINISHED else outcome))

    def outcome(self) -> Outcome:
        """Return how training went: as the exception says that is being handled, if there is one.

        A host ends its loggers in a ``finally`` or an ``except``, and does not say why. What was
        being handled already when this object was made has nothing to do with the run.
        """
        error = sys.exc_info()[1]
        if error is None or error is self._handled_before:
            return FINISHED
        return outcome_of(error)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the run to the process that this object is sent to."""
        self.leave()
        return {**self.__dict__, "_handled_before": None}
