"""multitrack in Lightning: a logger for ``Trainer(logger=...)``.

    from multitrack.compat.lightning import MultitrackLogger

    Trainer(logger=MultitrackLogger("digits", report_to=["tensorboard", "wandb"]))

It serves the Trainers of both packages, ``lightning`` and ``pytorch_lightning``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from multitrack.compat._late import LateRun, RunOptions
from multitrack.trackers.records import EndStatus
from multitrack.trackers.run import Run

if TYPE_CHECKING:
    from typing_extensions import Unpack

try:
    from lightning.fabric.loggers.logger import rank_zero_experiment
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.utilities import rank_zero_only
except ModuleNotFoundError:
    from lightning_fabric.loggers.logger import rank_zero_experiment
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.utilities import rank_zero_only

LOG_MODEL = (False, True, "all")
FOLDER = "lightning_logs"
"""Lightning's own name for the folder of checkpoints where a logger has none."""


class MultitrackLogger(Logger):
    """Record a Lightning training, and deliver it to the trackers of ``report_to``.

    The process with rank 0 records one run; the others do nothing. Names stay as they are
    logged; the epoch that Lightning adds travels with the point. ``fit``, ``validate``,
    ``test`` and ``predict`` of one logger belong to one run, and so does training that is
    resumed with its ``run_id``. A run that raises ends as failed, Ctrl-C and a signal that
    stops training interrupt it.

    Args:
        project: what the run belongs to; also the folder of checkpoints.
        name: of the run.
        save_dir: the folder of runs and checkpoints. Runs are recorded in ``dir``, else in
            ``MULTITRACK_DIR``, else in ``<save_dir>/multitrack``; checkpoints lie in
            ``<save_dir>/<project>/<run id>/checkpoints``, unless ``ModelCheckpoint`` says.
        log_model: which of ``ModelCheckpoint``'s files become artifacts: False for none, True
            for those that are there at the end, ``"all"`` for each as it is saved.
        options: ``report_to`` and all else that `multitrack.start_run` takes.

    Raises:
        ValueError: a backend, setting or other option that is not allowed.
        TypeError: same.
        ImportError: a backend's client is not installed; the message has the command.

    Example:
        >>> logger = MultitrackLogger("digits", report_to="mlflow", log_model=True)
        >>> Trainer(logger=logger, max_epochs=3).fit(model)
    """

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        *,
        save_dir: str | os.PathLike[str] = ".",
        log_model: Literal["all"] | bool = False,
        **options: Unpack[RunOptions],
    ) -> None:
        super().__init__()
        if log_model not in LOG_MODEL:
            raise ValueError(f"log_model is {log_model!r}; allowed: False, True, 'all'.")
        if not options.get("dir") and not os.environ.get("MULTITRACK_DIR"):
            options["dir"] = Path(save_dir) / "multitrack"
        self._late = LateRun(project, name, **options)
        self._project = project
        self._save_dir = os.fspath(save_dir)
        self._log_model = log_model
        self._logged: dict[str, float] = {}
        self._waiting: list[Any] = []

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run, which begins now if it has not yet; in other ranks a thing that does nothing."""
        return self._late.begin()

    @property
    def name(self) -> str:
        """The project, under which Lightning lays down checkpoints."""
        return self._project or FOLDER

    @property
    def version(self) -> str:
        """The run's id."""
        return self._late.id

    @property
    def save_dir(self) -> str:
        """The folder of runs and checkpoints."""
        return self._save_dir

    # -- what is logged --------------------------------------------------------------------

    @rank_zero_only
    def log_hyperparams(
        self, params: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Record hyper-parameters, and single values of the run that go with them."""
        self.experiment.log_params(params)
        if metrics:
            self.experiment.summary(metrics)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record a row of metrics."""
        row = dict(metrics)
        epoch = row.pop("epoch", None)
        self.experiment.log(row, step, epoch)

    @rank_zero_only
    def log_image(
        self, key: str, images: Sequence[Any], step: int | None = None, **kwargs: Sequence[Any]
    ) -> None:
        """Record a list of pictures, as ``key/0``, …; ``caption=`` is a list, too."""
        for name, image, options in _each(key, images, kwargs):
            self.experiment.log_image(name, image, step, **options)

    @rank_zero_only
    def log_audio(
        self, key: str, audios: Sequence[Any], step: int | None = None, **kwargs: Sequence[Any]
    ) -> None:
        """Record a list of sounds; ``sample_rate=`` and ``caption=`` are lists, too."""
        for name, audio, options in _each(key, audios, kwargs):
            self.experiment.log_audio(name, audio, step=step, **options)

    @rank_zero_only
    def log_video(
        self, key: str, videos: Sequence[Any], step: int | None = None, **kwargs: Sequence[Any]
    ) -> None:
        """Record a list of videos; ``fps=`` and ``caption=`` are lists, too."""
        for name, video, options in _each(key, videos, kwargs):
            self.experiment.log_video(name, video, step=step, **options)

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record a table: rows with their columns, or a data frame."""
        rows = data if dataframe is None else dataframe
        self.experiment.log_table(key, rows, columns, step)

    def log_text(self, key: str, *args: Any, **kwargs: Any) -> None:
        """Record texts as a table, with the arguments of `log_table`."""
        self.log_table(key, *args, **kwargs)

    # -- checkpoints -----------------------------------------------------------------------

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Keep new checkpoints as artifacts now, or remember to do it at the end."""
        keeps_all = getattr(checkpoint_callback, "save_top_k", None) == -1
        if self._log_model == "all" or (self._log_model and keeps_all):
            self._log_checkpoints(checkpoint_callback)
        elif self._log_model and checkpoint_callback not in self._waiting:
            self._waiting.append(checkpoint_callback)

    @rank_zero_only
    def _log_checkpoints(self, callback: Any) -> None:
        """Log a callback's checkpoints that were not logged yet, or have changed since."""
        scores = _scores(callback)
        saved = {
            path: Path(path).stat().st_mtime for path in scores if path and Path(path).exists()
        }
        for path in sorted(saved, key=lambda path: saved[path]):
            if self._logged.get(path) != saved[path]:
                self._logged[path] = saved[path]
                self.experiment.log_artifact(
                    path,
                    kind="checkpoint",
                    aliases=["best"] if path == callback.best_model_path else [],
                    metadata={"monitor": callback.monitor, "score": scores[path]},
                )

    # -- the end ---------------------------------------------------------------------------

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the outcome; what comes later still belongs to the run.

        Args:
            status: ``"success"``; ``"failed"`` for anything that was raised; ``"finished"``
                when a cluster stops the job, which will start again.
        """
        if status == "success":
            for callback in self._waiting:
                self._log_checkpoints(callback)
        if self._late.run is not None or self._late.is_recorded:  # by a process that was spawned
            self.experiment.finish(*self._outcome(status), wait=False)

    def _outcome(self, status: str) -> tuple[EndStatus, str | None]:
        if status == "success":
            return "finished", None
        outcome, error = self._late.outcome()
        # Lightning raises SystemExit when a signal stops it; a requeued job has raised nothing
        return ("interrupted" if outcome == "finished" else outcome), error


def _each(
    key: str, items: Sequence[Any], options: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield each item of a list with its name and its own options.

    Raises:
        TypeError: it is no list.
        ValueError: an option is not given for each item.
    """
    if not isinstance(items, list | tuple):
        raise TypeError(f"{key} must be a list, not {type(items).__name__}")
    for option, given in options.items():
        if len(given) != len(items):
            raise ValueError(f"{option} has {len(given)} values for {len(items)} items of {key}")
    for number, item in enumerate(items):
        own = {option: given[number] for option, given in options.items()}
        yield (f"{key}/{number}" if len(items) > 1 else key), item, own


def _scores(callback: Any) -> dict[str, Any]:
    """Return the checkpoints that a ``ModelCheckpoint`` keeps, each with its score."""
    return {
        callback.last_model_path: callback.current_score,
        **callback.best_k_models,
        callback.best_model_path: callback.best_model_score,
    }
