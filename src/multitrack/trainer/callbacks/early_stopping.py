"""EarlyStoppingCallback: ends training when a metric no longer gets better."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from multitrack.trainer.callbacks.base import TrainerCallback
from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.exportable import ExportableState
from multitrack.trainer.callbacks.state import TrainerState

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

logger = logging.getLogger(__name__)


class EarlyStoppingCallback(TrainerCallback, ExportableState):
    """Stops training after evaluations in a row that bring no improvement.

    It watches ``args.metric_for_best_model``. An evaluation is an improvement when it is better
    than the best so far by more than the threshold; NaN never is.

    Args:
        early_stopping_patience: evaluations without improvement after which training stops.
        early_stopping_threshold: what the metric must improve by, in its own unit.

    Example:
        ```python
        args = TrainingArguments(
            "out",
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="accuracy",
        )
        trainer = Trainer(model, args, callbacks=[EarlyStoppingCallback(3)], ...)
        ```
    """

    def __init__(
        self, early_stopping_patience: int = 1, early_stopping_threshold: float | None = 0.0
    ) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        self.early_stopping_patience_counter = 0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Check that there will be a metric to watch.

        Raises:
            AssertionError: the arguments name no metric, or no evaluation will happen.
        """
        if not args.load_best_model_at_end:
            logger.warning(
                "EarlyStoppingCallback without load_best_model_at_end=True: after training the "
                "model is that of the last step, not the best."
            )
        if args.metric_for_best_model is None:
            raise AssertionError(
                "EarlyStoppingCallback requires metric_for_best_model to be defined, for example "
                'TrainingArguments(metric_for_best_model="loss")'
            )
        if args.eval_strategy == "no":
            raise AssertionError(
                'EarlyStoppingCallback requires evaluations: eval_strategy must be "steps" or '
                '"epoch", not "no"'
            )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Count the evaluation, and stop training when the patience is used up."""
        name = args.metric_for_best_model
        if name is None:  # nobody trains, or training would not have begun
            return
        name = name if name.startswith("eval_") else f"eval_{name}"
        value = (metrics or {}).get(name)
        if value is None:
            logger.warning(
                "EarlyStoppingCallback is off for this evaluation: it has no %s, only %s",
                name,
                ", ".join(metrics or {}),
            )
            return
        self.check_metric_value(args, state, control, value)
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def check_metric_value(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metric_value: float,
    ) -> None:
        """Set the counter back on an improvement, else add one."""
        gain = 0.0 if state.best_metric is None else metric_value - state.best_metric
        gain = gain if args.greater_is_better else -gain
        threshold = self.early_stopping_threshold or 0.0
        if state.best_metric is None or gain > threshold:
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1

    def state(self) -> dict[str, Any]:
        """Return patience, threshold and counter."""
        return {
            "args": {
                "early_stopping_patience": self.early_stopping_patience,
                "early_stopping_threshold": self.early_stopping_threshold,
            },
            "attributes": {"early_stopping_patience_counter": self.early_stopping_patience_counter},
        }
