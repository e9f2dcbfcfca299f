"""multitrack in accelerate: a tracker for ``Accelerator(log_with=...)``.

from multitrack.compat.accelerate import MultitrackTracker

accelerator = Accelerator(
    log_with=MultitrackTracker("digits", report_to=["tensorboard", "wandb"])
)
accelerator.init_trackers("digits", config={"lr": 1e-3})
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from accelerate.tracking import GeneralTracker, on_main_process

from multitrack.compat._late import LateRun, RunOptions
from multitrack.compat._pictures import named
from multitrack.compat._refusing import log_row, only, refusing
from multitrack.trackers.run import Run

if TYPE_CHECKING:
    from typing_extensions import Unpack

ARTIFACT = ("kind", "step", "aliases", "metadata")
"""Options of `Run.log_artifact` that those of the tracker take as well."""


class MultitrackTracker(GeneralTracker):
    """Record what an ``Accelerator`` logs, and deliver it to the trackers of ``report_to``.

    The main process records one run; the others do nothing. Names stay as they are logged. Options
    of accelerate's other trackers, in ``log_kwargs``, are told once and left out. After
    ``end_training``, ``init_trackers`` begins another run, unless ``run_id`` is given.
    ``accelerator.end_training()`` ends the run and waits for delivery. Accelerate has no event
    for training that fails: the run fails if ``end_training`` is called while an exception is
    handled (in a ``finally``, say), or if an exception ends the program.

    Accelerate does not tell a tracker object the project that ``init_trackers`` is given. It does
    tell a class: after ``accelerate.tracking.register_tracker_class(MultitrackTracker)``,
    ``log_with="multitrack"`` makes the tracker, with the options in ``init_kwargs``.

    Args:
        project: what the run belongs to.
        name: of the run.
        options: ``report_to`` and all else that `multitrack.start_run` takes.

    Raises:
        ValueError: a backend, setting or other option that is not allowed.
        TypeError: same.
        ImportError: a backend's client is not installed; the message has the command.

    Example:
        >>> tracker = MultitrackTracker("digits", report_to=["tensorboard", "mlflow"])
        >>> accelerator = Accelerator(log_with=tracker)
    """

    name = "multitrack"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self, project: str | None = None, name: str | None = None, **options: Unpack[RunOptions]
    ) -> None:
        super().__init__()
        self._late = LateRun(project, name, **options)

    @property
    def run(self) -> Run | None:
        """The run; None before it begins, and where another process records."""
        return self._late.run

    @property
    def tracker(self) -> Run | None:
        """The run, which begins now if it has not yet; None where another process records."""
        return self._late.begin() if PartialState().is_main_process else None

    @on_main_process
    def start(self) -> None:
        """Begin the run; one that has ended is followed by another."""
        if self._late.run is not None and self._late.run.status != "running":
            self._late.begin_anew()
        self._late.begin()

    @on_main_process
    @refusing
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Record the hyper-parameters that ``init_trackers`` is given."""
        self._late.begin().log_params(values)

    @on_main_process
    @refusing
    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Record numbers, and texts among them, of one step; ``epoch=`` goes with them."""
        run = self._late.begin()
        options = only(run, "log", kwargs, {"epoch"})
        log_row(run, values, step, **options)

    @on_main_process
    @refusing
    def log_images(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Record pictures: one under each name, or a list or batch, as ``name/0``, …."""
        run = self._late.begin()
        options = only(run, "log_images", kwargs, {"caption"})
        for key, given in values.items():
            for name, image in named(key, given):
                run.log_image(name, image, step, **options)

    @on_main_process
    @refusing
    def log_figure(
        self, figure: Any, artifact_file: str, step: int | None = None, **kwargs: Any
    ) -> None:
        """Record a figure of matplotlib or plotly under the name ``artifact_file``."""
        run = self._late.begin()
        run.log_figure(artifact_file, figure, step, **only(run, "log_figure", kwargs, {"caption"}))

    @on_main_process
    @refusing
    def log_artifact(
        self, local_path: str | os.PathLike[str], artifact_path: str | None = None, **kwargs: Any
    ) -> None:
        """Record a file, in the folder ``artifact_path`` if that is given."""
        run = self._late.begin()
        name = os.path.basename(os.fspath(local_path))  # noqa: PTH119 - of any kind of path
        run.log_artifact(
            local_path,
            f"{artifact_path}/{name}" if artifact_path else None,
            **only(run, "log_artifact", kwargs, ARTIFACT),
        )

    @on_main_process
    @refusing
    def log_artifacts(
        self, local_dir: str | os.PathLike[str], artifact_path: str | None = None, **kwargs: Any
    ) -> None:
        """Record a folder, called ``artifact_path`` if that is given."""
        run = self._late.begin()
        run.log_artifact(local_dir, artifact_path, **only(run, "log_artifacts", kwargs, ARTIFACT))

    @on_main_process
    @refusing
    def log_table(
        self,
        table_name: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Record a table: rows with their columns, or a data frame."""
        run, rows = self._late.begin(), data if dataframe is None else dataframe
        only(run, "log_table", kwargs, ())
        run.log_table(table_name, rows, columns, step)

    @on_main_process
    def finish(self) -> None:
        """Write the outcome, and wait for delivery."""
        self._late.finish()
