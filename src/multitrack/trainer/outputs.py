"""What training, evaluation and prediction give back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class TrainOutput(NamedTuple):
    """What `Trainer.train` returns.

    Attributes:
        global_step: update steps done.
        training_loss: mean loss of all steps.
        metrics: the summary that was logged: time, throughput, loss.
    """

    global_step: int
    training_loss: float
    metrics: dict[str, Any]


class PredictionOutput(NamedTuple):
    """What `Trainer.predict` returns.

    Attributes:
        predictions: the model's outputs for all samples, in order, as numpy arrays.
        label_ids: the labels, if the data set has them.
        metrics: loss, time, throughput, and what `compute_metrics` returned.
    """

    predictions: Any
    label_ids: Any
    metrics: dict[str, Any] | None


@dataclass
class EvalPrediction:
    """What `compute_metrics` gets; it unpacks into predictions and labels, and the rest if given.

    Attributes:
        predictions: the model's outputs for all samples, as numpy arrays.
        label_ids: the labels.
        inputs: the model's main input, if `include_for_metrics` has ``"inputs"``.
        losses: the loss of every sample's batch, if it has ``"loss"``.
    """

    predictions: Any
    label_ids: Any
    inputs: Any = None
    losses: Any = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts())

    def __getitem__(self, index: int) -> Any:
        return self._parts()[index]

    def _parts(self) -> list[Any]:
        extras = [part for part in (self.inputs, self.losses) if part is not None]
        return [self.predictions, self.label_ids, *extras]
