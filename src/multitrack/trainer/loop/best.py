"""The metric that tells the best model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from multitrack.trainer.callbacks.state import TrainerState

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments


def best_metric_of(args: TrainingArguments, metrics: dict[str, Any]) -> Any:
    """Return the value, in an evaluation's metrics, of the metric that tells the best model.

    Raises:
        KeyError: it is not among them; the message lists those that are.
    """
    name = str(args.metric_for_best_model)
    name = name if name.startswith("eval_") else f"eval_{name}"
    if name not in metrics:
        raise KeyError(
            f"metric_for_best_model is {args.metric_for_best_model!r}, but the evaluation gave no "
            f"{name!r}, only {', '.join(metrics)}. Let compute_metrics return it, or choose one of "
            "these."
        )
    return metrics[name]


def note_best_metric(args: TrainingArguments, state: TrainerState, metrics: dict[str, Any]) -> bool:
    """Keep the best value so far and its step in the state; tell whether this one is it.

    Raises:
        KeyError: the metrics lack the one that tells.
    """
    if args.metric_for_best_model is None:
        return False
    value = best_metric_of(args, metrics)
    if state.best_metric is None:
        state.best_metric = -math.inf if args.greater_is_better else math.inf
    best = state.best_metric
    if not (value > best if args.greater_is_better else value < best):
        return False
    state.best_metric = value
    if args.save_strategy != "no":
        state.best_global_step = state.global_step
    return True
