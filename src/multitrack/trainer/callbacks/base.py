"""TrainerCallback: every event of the training loop, as a method to override."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.state import TrainerState

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments


class TrainerCallback:
    """Looks at the training loop at its events, and may ask it for something.

    Every event gets the arguments, the state and the control, and by keyword `model`,
    `processing_class`, `optimizer`, `lr_scheduler`, `train_dataloader` and `eval_dataloader`,
    each None until it exists. Events with more say so below. A handler changes `control` in
    place or returns one that takes its place; it must not change `args` or `state`.

    These are the events of Hugging Face transformers, with the same meaning, and two more:
    `on_exception` and `on_checkpoint_delete`. A handler that raises ends the training.

    Example:
        ```python
        class StopWhenGood(TrainerCallback):
            def on_evaluate(self, args, state, control, metrics=None, **kwargs):
                if metrics["eval_accuracy"] > 0.99:
                    control.should_training_stop = True
        ```
    """

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """The Trainer is constructed."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """Training begins: model and optimizer are prepared, a checkpoint is loaded."""

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """Training is over: the summary is logged, the best model is loaded."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """An epoch begins, or the rest of one that a checkpoint interrupted."""

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """An epoch is over; what is asked for here is done before the next one."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """The first micro-batch of an update step comes next."""

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """A micro-batch is done that does not complete an update step."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """The gradients are complete and clipped; the optimizer's step comes next."""

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """The optimizer has stepped; the gradients are still there."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """An update step is done; what is asked for here is done before the next one."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """Values are logged: `logs`, a dict that later callbacks see.

        Values that a callback adds to `logs` reach the callbacks after it, the trackers, and
        ``state.log_history``.
        """

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """A batch of an evaluation or a prediction is done."""

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """An evaluation is over: `metrics`, the dict that `Trainer.evaluate` returns."""

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """A prediction is over: `metrics`, the dict that `Trainer.predict` returns."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """A checkpoint is complete on disk: `checkpoint_dir`, its path."""

    def on_push_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """A push to the Hugging Face Hub begins: only transformers' own Trainer does this."""

    def on_checkpoint_delete(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """A checkpoint is about to be deleted: `checkpoint_dir`, its path."""

    def on_exception(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """Training ends by an exception: `exception`, which is raised again afterwards.

        It comes in place of `on_train_end`. An `exception` that is no `Exception` is an
        interruption: `KeyboardInterrupt`, or `TrainingInterrupted` after SIGTERM.
        """


EVENTS = tuple(name for name in vars(TrainerCallback) if name.startswith("on_"))
"""The names of all events."""
