"""DefaultFlowCallback: logs, evaluates, saves and stops when the arguments say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multitrack.trainer.callbacks.base import TrainerCallback
from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.state import TrainerState

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments


class DefaultFlowCallback(TrainerCallback):
    """Turns the strategies of `TrainingArguments` into requests to the loop.

    A Trainer has one, in the first place. Without it nothing is logged, evaluated or saved.
    """

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> TrainerControl:
        """Ask for what this step is due for, and for the end of training at its last step."""
        step = state.global_step
        is_last = step >= state.max_steps
        first_log = step == 1 and args.logging_first_step
        if first_log or (args.logging_strategy == "steps" and step % state.logging_steps == 0):
            control.should_log = True
        if args.eval_strategy == "steps" and args.eval_delay <= step:
            control.should_evaluate |= is_last or step % state.eval_steps == 0
        if args.save_strategy == "steps":
            control.should_save |= is_last or _is_due(step, state.save_steps)
        if is_last:
            control.should_training_stop = True
        return control

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> TrainerControl:
        """Ask for what this epoch is due for."""
        if args.logging_strategy == "epoch":
            control.should_log = True
        if args.eval_strategy == "epoch" and args.eval_delay <= state.epoch:
            control.should_evaluate = True
        if args.save_strategy == "epoch":
            control.should_save = True
        return control


def _is_due(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0
