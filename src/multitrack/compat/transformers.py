"""multitrack in the Trainer of transformers.

Either add the callback,

    from multitrack.compat.transformers import TrackingCallback

    Trainer(..., callbacks=[TrackingCallback(report_to=["tensorboard", "wandb"])])

or call `install` once, after which ``TrainingArguments(report_to=["tensorboard", "wandb"])``
goes through multitrack.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import transformers
import transformers.trainer
from transformers import TrainerCallback

from multitrack.compat._failures import announce_failures
from multitrack.trackers import callback, registry

logger = logging.getLogger("multitrack")

NAME = "multitrack"
"""What ``report_to`` may say for the trackers in ``MULTITRACK_REPORT_TO``."""
RESOLVER = "get_reporting_integration_callbacks"
"""The function that turns ``report_to`` into callbacks, where their Trainer looks for it."""
UNNAMED = (
    "report_to is 'multitrack', but no tracker is named: the run is recorded, and no tracker gets "
    "it. Name them before training, as in MULTITRACK_REPORT_TO=tensorboard,wandb, or "
    "report_to=['tensorboard', 'wandb']; 'multitrack sync --to' delivers what is recorded already."
)
STATE = "MultitrackRun"
"""The entry of a checkpoint's ``stateful_callbacks`` that holds the run's id."""


class TrackingCallback(callback.TrackingCallback, TrainerCallback):
    """`multitrack.TrackingCallback` for the Trainer of transformers; it takes the same arguments.

    The Trainer of transformers has no event for training that fails. This callback wraps
    ``transformers.Trainer.train`` once, so that a run which raises or is interrupted gets its
    status at once. Every trial of a hyper-parameter search is a run of its own, which has the
    trial's name. A checkpoint carries the run's id, and training that is resumed from it goes on
    with the same run; with ``log_ranks="all"`` it carries those of all processes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        announce_failures(transformers.Trainer, "train", _tell_callbacks)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the run, or go on with the one that the checkpoint names."""
        if not self._is_given and STATE in state.stateful_callbacks:
            self._take_up(state.stateful_callbacks[STATE]["attributes"])
        super().on_train_begin(args, state, control, **kwargs)
        state.stateful_callbacks[STATE] = self._state_of_all()

    def _take_up(self, kept: Mapping[str, Any]) -> None:
        """Remember what a checkpoint keeps: this process's own run, if every process had one."""
        self.run_id, self.run_rank = kept["run_id"], kept.get("run_rank", "0")
        rank, ids = int(os.environ.get("RANK", "0")), kept.get("run_ids", [])
        if rank < len(ids):
            self.run_id, self.run_rank = ids[rank], str(rank)

    def _state_of_all(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, which the first process writes for all of them."""
        kept = self.state()
        if self.log_ranks == "all":
            from accelerate.utils import gather_object

            kept["attributes"]["run_ids"] = gather_object([self.run_id])
        return kept

    def _named(self, args: Any, field: str) -> str | None:
        """Return what the arguments name; what transformers fills in there is no name."""
        filled_in = {
            "project": getattr(transformers.TrainingArguments, "project", None),
            "run_name": args.output_dir,  # before transformers 5
        }
        name = super()._named(args, field)
        return None if name == filled_in[field] else name


def install() -> None:
    """Take over ``report_to`` of transformers' training arguments.

    The trackers that multitrack knows are reported to by one `TrackingCallback`; any other
    name keeps its own callback. ``report_to=["multitrack"]`` and ``report_to=None`` stand for
    the trackers that the variable ``MULTITRACK_REPORT_TO`` names. Where it is not set, a run of
    ``"multitrack"`` is recorded for no tracker yet, and a warning says so. In transformers 4,
    which takes None for ``"all"``, that stays so.

    Example:
        >>> from multitrack.compat import transformers
        >>> transformers.install()
    """
    theirs = getattr(transformers.trainer, RESOLVER)
    if not hasattr(theirs, "__wrapped__"):
        setattr(transformers.trainer, RESOLVER, _reporting_through(theirs))


def _reporting_through(theirs: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    @functools.wraps(theirs)
    def callbacks_of(report_to: str | Iterable[str] | None) -> list[Any]:
        asked = [report_to] if isinstance(report_to, str) else list(report_to or [])
        ours = [name for name in asked if registry.is_known(name)]
        if NAME in asked or None in asked:
            ours += registry.resolve(None)
        others = theirs([name for name in asked if name not in {*ours, NAME, None}])
        is_unnamed = NAME in asked and not ours and not os.environ.get("MULTITRACK_REPORT_TO")
        if is_unnamed:
            logger.warning("%s", UNNAMED)
        return [*others, TrackingCallback(report_to=ours)] if ours or is_unnamed else others

    return callbacks_of


def _tell_callbacks(trainer: Any, error: BaseException) -> None:
    """Bring an exception that leaves training to the Trainer's tracking callbacks."""
    for each in trainer.callback_handler.callbacks:
        if isinstance(each, TrackingCallback):
            each.on_exception(trainer.args, trainer.state, trainer.control, exception=error)
