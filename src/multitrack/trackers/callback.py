"""TrackingCallback: one callback that takes a training loop's events to every tracker.

It follows the callback contract of Hugging Face's Trainer by its method names alone, so that it
works in the reference Trainer and in transformers' without importing either.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from multitrack.trackers import registry
from multitrack.trackers.configuration import ConfigNames
from multitrack.trackers.configuration import configuration as _configuration
from multitrack.trackers.delivery import Mode
from multitrack.trackers.names import apart
from multitrack.trackers.outcomes import outcome_of
from multitrack.trackers.reception import refusing
from multitrack.trackers.run import Run
from multitrack.trackers.settings import LogModel, Watched
from multitrack.trackers.start import check_options, start_run
from multitrack.trackers.structure import pairs_of
from multitrack.trackers.texts import Unread, attempt, text_of
from multitrack.trackers.watch import What

LogRanks: TypeAlias = Literal["main", "all"]
SPLITS = ("eval", "test")
SUMMARY = (
    "train_loss",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "total_flos",
)
"""What the Trainer logs once, at the end of training: also kept as single values of the run."""
WATCH_EVERY = 100
"""Fewest optimizer steps from one look at a watched model to the next."""


class TrackingCallback:
    """Record a training run, and deliver it to the trackers that ``report_to`` names.

    The run begins with training, or with the first thing that is logged before it. Checkpoints
    carry its id: training that is resumed from one goes on with the same run. What is evaluated
    or predicted after training still belongs to it. Another training that begins at step 0, such
    as the next fold or trial, is a run of its own, unless ``run_id`` is given. A loop that has an
    event for failure (``on_exception``) gives the run its status; elsewhere the process's end does.

    Args:
        report_to: a backend, several, ``"all"`` or ``"none"``.
        project: of the run; the loop's ``args.project`` if None.
        name: of the run; the loop's ``args.run_name`` if None.
        tags: a name, a list of names, or a mapping from name to value.
        notes: a longer description.
        config: anything to record beside the loop's arguments and the model's configuration.
        dir: where runs are recorded; ``MULTITRACK_DIR``, else ``<output_dir>/multitrack``.
        run_id: of a run to go on with.
        delivery: where couriers work, as in `multitrack.start_run`.
        settings: of backends, by name.
        log_ranks: ``"main"``: the process with rank 0 records; ``"all"``: every process records
            a run of its own, named and tagged with its rank.
        log_model: which checkpoints become artifacts, on all backends: ``"none"``, ``"last"``
            (the one whose weights training ends with), ``"best"`` (each that is the best so far)
            or ``"all"``; ``MULTITRACK_LOG_MODEL`` if None. If that is not set either, each backend
            gets those that its own variable asks for, else none. The setting ``log_model`` of a
            backend wins over all of these.
        config_names: ``"nested"``: the loop's arguments are ``args/…``, the model's configuration
            ``model/…``, the user's own ``config/…``; ``"flat"``: all stand side by side, under the
            names that transformers' callbacks give them. ``MULTITRACK_CONFIG_NAMES``, else
            ``"nested"``, if None.
        finish_timeout: seconds for which the process's end waits for delivery.
        system_metrics: whether, or every how many seconds, the machine is measured, as in
            `multitrack.start_run`.
        capture_console: whether what is printed becomes an artifact, as there.

    Raises:
        ValueError: a backend, setting or other option that is not allowed.
        TypeError: tags, notes or settings that are none.
        ImportError: a backend's client is not installed; the message has the command.

    Example:
        >>> trainer.add_callback(TrackingCallback(report_to=["tensorboard", "wandb"]))
    """

    is_reporter = True
    """The reference Trainer calls it after all others, and always gives it back its state."""

    def __init__(
        self,
        report_to: str | Iterable[str] | None = None,
        *,
        project: str | None = None,
        name: str | None = None,
        tags: str | Iterable[str] | Mapping[str, Any] | None = None,
        notes: str | None = None,
        config: Any = None,
        dir: str | os.PathLike[str] | None = None,  # noqa: A002 - as in start_run
        run_id: str | None = None,
        delivery: Mode | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        log_ranks: LogRanks = "main",
        log_model: LogModel | None = None,
        config_names: ConfigNames | None = None,
        finish_timeout: float | None = None,
        system_metrics: bool | float | None = None,
        capture_console: bool | None = None,
    ) -> None:
        self.report_to = registry.resolve(report_to)
        self.log_ranks = _checked("log_ranks", log_ranks, get_args(LogRanks))
        general = _checked_or_set("log_model", log_model, get_args(LogModel))
        self.log_model: LogModel = general or "none"
        self.run: Run | None = None
        self.run_id = run_id
        self.run_rank = "0"
        self._project = project
        self._name = name
        self._config = config
        self._config_names: ConfigNames = (
            _checked_or_set("config_names", config_names, get_args(ConfigNames)) or "nested"
        )
        self._is_given = run_id is not None
        self._is_over = False
        self._dir = dir
        self._options: dict[str, Any] = {
            "tags": tags,
            "notes": notes,
            "delivery": delivery,
            "settings": settings,
            "finish_timeout": finish_timeout,
            "system_metrics": system_metrics,
            "capture_console": capture_console,
        }
        chosen = check_options(self.report_to, run_id=run_id, **self._options)  # before it trains
        self._wishes: dict[str, LogModel] = {
            backend: given.get("log_model") or general or settings.log_model
            for backend, settings, given in chosen
        }
        self._watched = _united(settings.watch for _, settings, _ in chosen)
        self._checkpoint: Path | None = None

    # -- what a checkpoint carries ---------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of this callback: the run's id, and whose it is."""
        return {"args": {}, "attributes": {"run_id": self.run_id, "run_rank": self.run_rank}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TrackingCallback:
        """Return a callback that holds what a checkpoint kept, to be merged into a living one."""
        kept = cls.__new__(cls)
        kept.__dict__.update(state["attributes"])
        return kept

    # -- events ----------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the run, or go on with it, and watch the model, if a backend's settings say so."""
        if not self._records(state):
            return
        self._leave_if_another(state)
        is_new, model = self.run is None, kwargs.get("model")
        run = self._begun(args, state, model)
        if not is_new:
            run.log_params(self._described(args, model))
        if _is_trial(state):
            run.set_tags({"trial": state.trial_name})
            params = state.trial_params
            run.log_params({"trial": {} if params is None else params})
        if self._watched and model is not None:
            with refusing(run, "watch"):
                run.watch(model, self._watched, every=max(WATCH_EVERY, state.logging_steps))

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record a row of metrics."""
        if holds(logs) and self._records(state):
            run = self._begun(args, state, kwargs.get("model"))
            with refusing(run, "logs"):
                row = _row(logs)
                run.log(rename(row), step=state.global_step, epoch=row.get("epoch"))
                if once := {f"train/{key}": row[key] for key in SUMMARY if key in row}:
                    run.summary(once)

    def on_predict(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the metrics of a prediction, at the step that training has reached."""
        if holds(metrics) and self._records(state):
            run = self._begun(args, state, kwargs.get("model"))
            with refusing(run, "metrics"):
                run.log(rename(_row(metrics)), step=state.global_step, epoch=state.epoch)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the checkpoint as an artifact, for those that asked for it."""
        if not state.is_world_process_zero:
            return
        saved = attempt(_saved, args, state, kwargs.get("checkpoint_dir"))
        if type(saved) is Unread:
            if self.run is not None:
                self.run.refuse("checkpoint", saved.reason)
            return
        self._checkpoint = saved
        if attempt(_is_best, state, saved) is True:
            self._log_checkpoint(args, state, saved, {"all", "best"}, ["best"])
        else:
            self._log_checkpoint(args, state, saved, {"all"})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the outcome; what comes later still belongs to the run."""
        self._is_over = True
        if self.run is not None:
            with refusing(self.run, "checkpoint"):
                loads_best = getattr(args, "load_best_model_at_end", False)
                best = loads_best and state.best_model_checkpoint
                aliases = ["best", "last"] if best else ["last"]
                final = Path(best) if best else self._checkpoint
                self._log_checkpoint(args, state, final, {"last"}, aliases)
            self.run.finish(wait=False)

    def on_exception(
        self,
        args: Any,
        state: Any,
        control: Any,
        exception: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """Write that training failed or was interrupted, and why."""
        self._is_over = True
        if self.run is not None and exception is not None:
            self.run.finish(*outcome_of(exception), wait=False)

    def _nothing(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An event that is not recorded."""

    on_init_end = on_epoch_begin = on_epoch_end = _nothing
    on_step_begin = on_pre_optimizer_step = on_optimizer_step = on_substep_end = _nothing
    on_step_end = on_prediction_step = on_evaluate = _nothing
    on_push_begin = on_checkpoint_delete = _nothing

    # -- within ----------------------------------------------------------------------------

    def _records(self, state: Any) -> bool:
        """Tell whether this process records."""
        return bool(state.is_world_process_zero) or self.log_ranks == "all"

    def _leave_if_another(self, state: Any) -> None:
        """Let go of the run if what begins is a training of its own, or another run's."""
        run, was_over = self.run, self._is_over
        self._is_over = False
        if run is None:
            return
        if _is_trial(state) or (was_over and not state.global_step and not self._is_given):
            self.run_id = None
        if self.run_id != run.id:  # a checkpoint may name another, too
            run.finish(timeout=0, quiet=True)  # as was said last; its couriers end by themselves
            self.run = self._checkpoint = None

    def _begun(self, args: Any, state: Any, model: Any) -> Run:
        """Return the run, which begins now if it has not yet."""
        if self.run is None:
            rank = os.environ.get("RANK", "0") if self.log_ranks == "all" else None
            trial = state.trial_name if _is_trial(state) else None
            name = self._name if trial is None else text_of(trial)
            name = name or self._named(args, "run_name")
            if rank is not None:
                name = f"{name or os.environ.get('MULTITRACK_RUN_NAME') or 'run'}-rank{rank}"
            self.run = start_run(
                project=self._project or self._named(args, "project"),
                name=name,
                report_to=self.report_to or "none",
                config=self._described(args, model),
                dir=self._dir or _directory(args),
                run_id=self.run_id if rank in {None, self.run_rank} else None,
                **self._options,
            )
            if rank is not None:
                self.run.set_tags({"rank": rank})
                self.run_rank = rank
            self.run_id = self.run.id
        return self.run

    def _described(self, args: Any, model: Any) -> dict[str, Any]:
        """Return the run's config."""
        return _configuration(args, model, self._config, self._config_names)

    def _named(self, args: Any, field: str) -> str | None:
        """Return a name that the loop's arguments hold, None if they hold none."""
        name = attempt(getattr, args, field, None)
        return None if name is None or type(name) is Unread else text_of(name)

    def _log_checkpoint(
        self,
        args: Any,
        state: Any,
        checkpoint: Path | None,
        choices: set[LogModel],
        aliases: Iterable[str] = (),
    ) -> None:
        """Log a checkpoint, if somebody chose one like it, and only to those backends."""
        withheld = [backend for backend, wish in self._wishes.items() if wish not in choices]
        is_wanted = self.log_model in choices or len(withheld) < len(self._wishes)
        if is_wanted and checkpoint and attempt(checkpoint.is_dir) is True:
            self._begun(args, state, None).log_artifact(
                checkpoint,
                kind="checkpoint",
                step=state.global_step,
                aliases=aliases,
                metadata={"epoch": state.epoch, "best_metric": state.best_metric},
                withhold_from=withheld,
            )


def holds(logs: Any) -> bool:
    """Tell whether something was logged; what is no dict is looked at later."""
    return bool(logs) if type(logs) is dict else logs is not None


def _row(logs: Any) -> dict[str, Any]:
    """Return what was logged as a plain dict, whatever mapping it is."""
    return logs if type(logs) is dict else dict(pairs_of(logs))


def rename(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row under the names that all backends get, which are those of transformers.

    ``eval_…`` and ``test_…`` become ``eval/…`` and ``test/…``; anything else is ``train/…``, even
    if it has a ``/``. The epoch travels with the point and is no metric of its own. Two keys of one
    text stay two: the later has a number.

    >>> rename({"loss": 0.5, "eval_accuracy": 0.9, "rewards/chosen": 1.0, "epoch": 1.0})
    {'train/loss': 0.5, 'eval/accuracy': 0.9, 'train/rewards/chosen': 1.0}
    """
    named = ((key if type(key) is str else text_of(key), value) for key, value in logs.items())
    return dict(apart((_renamed(key), value) for key, value in named if key != "epoch"))


def _renamed(key: str) -> str:
    split, underscore, rest = key.partition("_")
    return f"{split}/{rest}" if underscore and split in SPLITS else f"train/{key}"


def _saved(args: Any, state: Any, given: Any) -> Path:
    """Return where the checkpoint that was just saved lies."""
    return Path(given or Path(args.output_dir) / f"checkpoint-{state.global_step}")


def _is_best(state: Any, checkpoint: Path) -> bool:
    best = state.best_model_checkpoint
    return bool(best) and Path(best).absolute() == checkpoint.absolute()


def _is_trial(state: Any) -> bool:
    """Tell whether training is a trial of a hyper-parameter search."""
    return bool(getattr(state, "is_hyper_param_search", False))


def _united(wishes: Iterable[Watched]) -> What | None:
    """Return what shows all that somebody wishes to watch, None if nobody does."""
    wished = {wish for wish in wishes if wish != "none"}
    return "all" if len(wished) > 1 else next(iter(wished), None)


def _directory(args: Any) -> str | None:
    output_dir = getattr(args, "output_dir", None)
    if os.environ.get("MULTITRACK_DIR") or not output_dir:
        return None
    return str(Path(output_dir) / "multitrack")


def _checked_or_set(option: str, given: str | None, allowed: tuple[str, ...]) -> Any:
    """Return an option, or what its variable holds; None if neither says anything."""
    variable = f"MULTITRACK_{option.upper()}"
    asked = given or os.environ.get(variable)
    return _checked(option if given else variable, asked, allowed) if asked else None


def _checked(source: str, asked: str, allowed: tuple[str, ...]) -> str:
    if str(asked).lower() not in allowed:
        raise ValueError(f"{source} is {asked!r}; allowed: {', '.join(allowed)}.")
    return asked.lower()
