"""multitrack in Lightning: a logger for ``Trainer(logger=...)``.

    from multitrack.compat.lightning import MultitrackLogger

    Trainer(logger=MultitrackLogger("digits", report_to=["tensorboard", "wandb"]))

It serves the Trainers of both packages, ``lightning`` and ``pytorch_lightning``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from multitrack.compat._failures import announce_starts
from multitrack.compat._late import LateRun, RunOptions
from multitrack.compat._pictures import taken_apart
from multitrack.compat._refusing import only, refusing
from multitrack.compat._summary_writer import WriterCalls
from multitrack.trackers import registry
from multitrack.trackers.folder import new_run_id
from multitrack.trackers.records import EndStatus
from multitrack.trackers.run import Run
from multitrack.trackers.texts import attempt

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
PACKAGES = ("lightning.pytorch", "pytorch_lightning")
"""Those that have a Trainer."""
POINTER = "multitrack_run_id"
"""The file in a version's folder that tells whose it is."""


class MultitrackLogger(Logger):
    """Record a Lightning training, and deliver it to the trackers of ``report_to``.

    The process with rank 0 records one run; the others do nothing. Names stay as they are
    logged; the epoch that Lightning adds travels with the point. ``fit``, ``validate``,
    ``test`` and ``predict`` of one logger belong to one run, and so does training that is
    resumed, from a checkpoint or with its ``run_id``. Another ``fit`` that begins at step 0, such
    as that of the next fold, is a run of its own, unless ``run_id`` or ``version`` is given; for
    that the Trainer's ``fit`` is wrapped once. A run that raises ends as failed, Ctrl-C and a
    signal that stops training interrupt it.

    Args:
        project: what the run belongs to; also the folder of checkpoints, none if it is empty.
        name: of the run.
        save_dir: the folder of runs, checkpoints and TensorBoard's files; ``.`` if None. Runs are
            recorded in ``dir``, else in ``MULTITRACK_DIR``, else in ``<save_dir>/multitrack``;
            checkpoints lie in ``<save_dir>/<project>/<version>/checkpoints``, unless
            ``ModelCheckpoint`` says; TensorBoard's files in ``<save_dir>/<project>/<version>``,
            unless its settings say, or ``TENSORBOARD_LOGGING_DIR`` where ``save_dir`` is not given.
        version: a number or name, as Lightning's own loggers have it: the folder's. Where it was
            used before, training goes on with the run that it belongs to. The run's id if None.
        prefix: put before the names of metrics, with a ``-``.
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

    LOGGER_JOIN_CHAR = "-"

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        *,
        save_dir: str | os.PathLike[str] | None = None,
        version: int | str | None = None,
        prefix: str = "",
        log_model: Literal["all"] | bool = False,
        **options: Unpack[RunOptions],
    ) -> None:
        super().__init__()
        if log_model not in LOG_MODEL:
            raise ValueError(f"log_model is {log_model!r}; allowed: False, True, 'all'.")
        self._project = project
        self._save_dir = os.fspath(save_dir or ".")
        self._version = version
        self._prefix = f"{prefix}{self.LOGGER_JOIN_CHAR}" if prefix else ""
        self._log_model = log_model
        self._logged: dict[str, float] = {}
        self._waiting: list[Any] = []
        self._has_trained = False
        if not options.get("dir") and not os.environ.get("MULTITRACK_DIR"):
            options["dir"] = Path(self._save_dir) / "multitrack"
        self._is_given = bool(options.get("run_id") or version is not None)
        self._decides = save_dir is not None or not os.environ.get("TENSORBOARD_LOGGING_DIR")
        self._name, self._options = name, options
        self._late = self._make(options.get("run_id") or self._run_of_version())
        for package in PACKAGES:
            if package in sys.modules:
                announce_starts(sys.modules[package].Trainer, "fit", _tell_loggers)

    def _make(self, known: str | None) -> LateRun:
        """Return the run to come, or the one of an id to go on with."""
        options: RunOptions = {**self._options, "run_id": known}
        self._id = known or new_run_id()
        if known and options.get("report_to") is None:
            return LateRun(self._project, self._name, **options)  # what its journal says
        backends = registry.resolve(options.get("report_to"))
        options["run_id"], options["report_to"] = self._id, backends
        if self._decides and "tensorboard" in backends:
            given = options.get("settings") or {}
            place = {"logging_dir": Path(self.log_dir).absolute()}
            options["settings"] = {
                **given,
                "tensorboard": {**place, **given.get("tensorboard", {})},
            }
        return LateRun(self._project, self._name, **options)

    def _run_of_version(self) -> str | None:
        """Return the id of the run that the version's folder belongs to."""
        if self._version is None:
            return None
        found = attempt((Path(self.log_dir) / POINTER).read_text)
        return found if isinstance(found, str) and found else None

    @property
    def run(self) -> Run:
        """The run, which begins now if it has not yet."""
        if self._late.run is None and self._version is not None:
            attempt(_point, Path(self.log_dir), self._id)
        return self._late.begin()

    @property
    @rank_zero_experiment
    def experiment(self) -> WriterCalls:
        """The run, which answers a SummaryWriter's calls as well; begins now if it has not yet.

        In other ranks a thing that does nothing.
        """
        return WriterCalls(self.run, self.log_dir)

    @property
    def name(self) -> str:
        """The project, under which Lightning lays down checkpoints."""
        return FOLDER if self._project is None else self._project

    @property
    def version(self) -> int | str:
        """The version that was given, else the run's id."""
        return self._id if self._version is None else self._version

    @property
    def save_dir(self) -> str:
        """The folder of runs and checkpoints."""
        return self._save_dir

    @property
    def root_dir(self) -> str:
        """The folder of the project's versions."""
        return os.path.join(self._save_dir, self.name)  # noqa: PTH118 - Lightning's are texts

    @property
    def log_dir(self) -> str:
        """The version's folder."""
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        folder = os.path.join(self.root_dir, version)  # noqa: PTH118
        return os.path.expanduser(os.path.expandvars(folder))  # noqa: PTH111

    def begin_fit(self, trainer: Any, checkpoint: Any) -> None:
        """Let another run begin, if a training that is no part of this one begins."""
        is_anew = self._has_trained and checkpoint is None and not trainer.global_step
        if is_anew and not self._is_given:
            self._late.leave()
            self._late, self._has_trained = self._make(None), False
            self._logged, self._waiting = {}, []

    # -- what is logged --------------------------------------------------------------------

    @rank_zero_only
    @refusing
    def log_hyperparams(self, params: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Record hyper-parameters, and single values of the run that go with them."""
        self.run.log_params(params)
        if metrics is not None:
            is_named = isinstance(metrics, Mapping)
            self.run.summary(metrics if is_named else {"hp_metric": metrics})

    @rank_zero_only
    @refusing
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record a row of metrics."""
        row = dict(metrics)
        epoch = row.pop("epoch", None)
        self._has_trained = True
        prefix = self._prefix
        self.run.log({f"{prefix}{name}": row[name] for name in row} if prefix else row, step, epoch)

    @rank_zero_only
    @refusing
    def log_image(self, key: str, images: Any, step: int | None = None, **kwargs: Any) -> None:
        """Record pictures, as ``key/0``, …, or one as ``key``; ``caption=`` is a list, too."""
        for name, image, options in self._each("log_image", key, images, kwargs, ("caption",)):
            self.run.log_image(name, image, step, **options)

    @rank_zero_only
    @refusing
    def log_audio(self, key: str, audios: Any, step: int | None = None, **kwargs: Any) -> None:
        """Record a list of sounds; ``sample_rate=`` and ``caption=`` are lists, too."""
        known = ("sample_rate", "caption")
        for name, audio, options in self._each("log_audio", key, audios, kwargs, known):
            self.run.log_audio(name, audio, step=step, **options)

    @rank_zero_only
    @refusing
    def log_video(self, key: str, videos: Any, step: int | None = None, **kwargs: Any) -> None:
        """Record a list of videos; ``fps=`` and ``caption=`` are lists, too."""
        known = ("fps", "caption")
        for name, video, options in self._each("log_video", key, videos, kwargs, known):
            self.run.log_video(name, video, step=step, **options)

    @rank_zero_only
    @refusing
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
        self.run.log_table(key, rows, columns, step)

    def log_text(self, key: str, *args: Any, **kwargs: Any) -> None:
        """Record texts as a table, with the arguments of `log_table`."""
        self.log_table(key, *args, **kwargs)

    def _each(
        self,
        method: str,
        key: str,
        items: Any,
        options: Mapping[str, Any],
        known: Sequence[str],
    ) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        """Yield each item with its name and its own options.

        Raises:
            ValueError: an option is not given for each item.
        """
        found = taken_apart(items) if method == "log_image" else items
        several = list(found) if isinstance(found, list | tuple) else [found]
        wanted = only(self.run, method, options, known)
        for option, given in wanted.items():
            if not isinstance(given, list | tuple):
                wanted[option] = [given] * len(several)
            elif len(given) != len(several):
                raise ValueError(f"{option} has {len(given)} values for {len(several)} items")
        for number, item in enumerate(several):
            own = {option: given[number] for option, given in wanted.items()}
            yield (f"{key}/{number}" if len(several) > 1 else key), item, own

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
                self.run.log_artifact(
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
            self.run.finish(*self._outcome(status), wait=False)

    def _outcome(self, status: str) -> tuple[EndStatus, str | None]:
        if status == "success":
            return "finished", None
        outcome, error = self._late.outcome()
        # Lightning raises SystemExit when a signal stops it; a requeued job has raised nothing
        return ("interrupted" if outcome == "finished" else outcome), error


def _point(folder: Path, run_id: str) -> None:
    """Write whose a version's folder is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / POINTER).write_text(run_id)


def _tell_loggers(trainer: Any, given: Mapping[str, Any]) -> None:
    """Tell a Trainer's loggers that it begins to fit."""
    for logger in trainer.loggers:
        if isinstance(logger, MultitrackLogger):
            logger.begin_fit(trainer, given.get("ckpt_path"))


def _scores(callback: Any) -> dict[str, Any]:
    """Return the checkpoints that a ``ModelCheckpoint`` keeps, each with its score."""
    return {
        callback.last_model_path: callback.current_score,
        **callback.best_k_models,
        callback.best_model_path: callback.best_model_score,
    }
