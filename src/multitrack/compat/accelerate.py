"""multitrack in accelerate: a tracker for ``Accelerator(log_with=...)``.

from multitrack.compat.accelerate import MultitrackTracker

accelerator = Accelerator(
    log_with=MultitrackTracker("digits", report_to=["tensorboard", "wandb"])
)
accelerator.init_trackers("digits", config={"lr": 1e-3})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from accelerate.tracking import GeneralTracker, on_main_process

from multitrack.compat._late import LateRun, RunOptions
from multitrack.trackers.run import Run

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MultitrackTracker(GeneralTracker):
    """Record what an ``Accelerator`` logs, and deliver it to the trackers of ``report_to``.

    The main process records one run; the others do nothing. Names stay as they are logged.
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
    def tracker(self) -> Run | None:
        """The run, which begins now if it has not yet; None where another process records."""
        return self._late.begin() if PartialState().is_main_process else None

    @on_main_process
    def start(self) -> None:
        """Begin the run."""
        self._late.begin()

    @on_main_process
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Record the hyper-parameters that ``init_trackers`` is given."""
        self._late.begin().log_params(values)

    @on_main_process
    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Record numbers, and texts among them, of one step; ``epoch=`` goes with them."""
        run = self._late.begin()
        texts = {key: value for key, value in values.items() if isinstance(value, str)}
        run.log({key: values[key] for key in values if key not in texts}, step, **kwargs)
        for key, text in texts.items():
            run.log_text(key, text, step)

    @on_main_process
    def log_images(
        self, values: Mapping[str, Iterable[Any]], step: int | None = None, **kwargs: Any
    ) -> None:
        """Record pictures: a list or a batch under each name, where they are ``name/0``, …."""
        run = self._late.begin()
        for key, images in values.items():
            for number, image in enumerate(images):
                run.log_image(f"{key}/{number}", image, step, **kwargs)

    @on_main_process
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
        rows = data if dataframe is None else dataframe
        self._late.begin().log_table(table_name, rows, columns, step)

    @on_main_process
    def finish(self) -> None:
        """Write the outcome, and wait for delivery."""
        self._late.finish()
