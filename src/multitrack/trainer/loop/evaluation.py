"""The loop of evaluation and prediction: every sample once, on however many processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from multitrack.trainer.checkpoints import store
from multitrack.trainer.data.loaders import samples_in
from multitrack.trainer.loop.collect import Collected, map_tree
from multitrack.trainer.loop.losses import IGNORED
from multitrack.trainer.outputs import EvalPrediction

if TYPE_CHECKING:
    from multitrack.trainer.trainer import Trainer

logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What the loop gives back."""

    predictions: Any
    label_ids: Any
    metrics: dict[str, Any]
    num_samples: int


class EvaluationLoop:
    """One pass over a data set, without gradients.

    Args:
        trainer: whose model is evaluated, and who listens.
        model: the model, in its place on the device.
        loader: the batches.
        prefix: the first part of the metrics' names.
        loss_only: whether outputs and labels are of no interest.
        ignore_keys: names of outputs that are left out.
    """

    def __init__(
        self,
        trainer: Trainer,
        model: Any,
        loader: Any,
        *,
        prefix: str,
        loss_only: bool,
        ignore_keys: list[str] | None,
    ) -> None:
        self.trainer = trainer
        self.model = model
        self.loader = loader
        self.prefix = prefix
        self.loss_only = loss_only
        self.ignore_keys = ignore_keys
        self.losses, self.predictions = Collected(), Collected()
        self.labels, self.inputs = Collected(), Collected()
        self.seen = 0

    def run(self) -> Outcome:
        """Evaluate all batches.

        Raises:
            ValueError: a batch has no samples.
        """
        was_training = self.model.training
        self.model.eval()
        self.trainer.callback_handler.eval_dataloader = self.loader
        try:
            for index, inputs in enumerate(self.loader):
                self._run_batch(inputs)
                self.trainer.fire("on_prediction_step")
                self._relieve_device(index + 1)
        finally:
            self.model.train(was_training)
            store.reshard(self.model)
        return self._outcome()

    def _run_batch(self, inputs: Any) -> None:
        size = batch_size(inputs)
        if not size:  # the other processes would wait for what this one does not have
            raise ValueError(
                "this process got a batch without samples to evaluate; a stream needs at least "
                f"as many as there are processes, which are {self.trainer.args.world_size}"
            )
        real = self._real_samples(size)
        step = self.trainer.prediction_step
        own = cut(inputs, size, max(real, 1)) if real < size else inputs
        loss, logits, labels = step(self.model, own, self.loss_only, self.ignore_keys)
        self.seen += real
        if loss is not None:
            self.losses.add(self._gather(loss.repeat(size), size))
        if labels is not None:
            labels = self._pad(labels)
        if logits is not None:
            logits = self._pad(logits)
            preprocess = self.trainer.preprocess_logits_for_metrics
            logits = logits if preprocess is None else preprocess(logits, labels)
            self.predictions.add(self._gather(logits, size))
        if labels is not None:
            self.labels.add(self._gather(labels, size))
        if "inputs" in self.trainer.args.include_for_metrics:
            main_input = self._pad(own[self.trainer.signature.main_input])
            self.inputs.add(self._gather(main_input, size))

    def _real_samples(self, size: int) -> int:
        """Return how many samples of this process's batch are no repeats to fill it up."""
        accelerator = self.trainer.accelerator
        state = accelerator.gradient_state
        if accelerator.num_processes == 1 or not state.end_of_dataloader or state.remainder <= 0:
            return size
        return int(min(max(state.remainder - accelerator.process_index * size, 0), size))

    def _pad(self, tensors: Any) -> Any:
        return self.trainer.accelerator.pad_across_processes(tensors, dim=1, pad_index=IGNORED)

    def _gather(self, tensors: Any, size: int) -> Any:
        """Return the samples of all processes, without the repeats that fill up batches."""
        if self.trainer.accelerator.num_processes == 1:
            return tensors
        filled = map_tree(lambda tensor: fill(tensor, size), tensors)
        return self.trainer.accelerator.gather_for_metrics(filled)

    def _relieve_device(self, batches: int) -> None:
        every = self.trainer.args.eval_accumulation_steps
        if every is not None and batches % every == 0:
            for collected in (self.losses, self.predictions, self.labels, self.inputs):
                collected.to_cpu()

    def _outcome(self) -> Outcome:
        predictions, labels = self.predictions.result(), self.labels.result()
        losses = self.losses.result()
        metrics = self._computed_metrics(predictions, labels, losses)
        if losses is not None:
            metrics["loss"] = self._mean(losses)
        named = {self._name(name): value for name, value in metrics.items()}
        return Outcome(predictions, labels, named, self._num_samples())

    def _computed_metrics(self, predictions: Any, labels: Any, losses: Any) -> dict[str, Any]:
        trainer = self.trainer
        if trainer.compute_metrics is None or predictions is None or labels is None:
            return {}
        wants_losses = "loss" in trainer.args.include_for_metrics
        computed = trainer.compute_metrics(
            EvalPrediction(
                predictions, labels, self.inputs.result(), losses if wants_losses else None
            )
        )
        if not isinstance(computed, Mapping):
            raise TypeError(
                f"compute_metrics must return a dict of metrics by name, not "
                f"{type(computed).__name__}"
            )
        return dict(computed)

    def _mean(self, losses: Any) -> float:
        tensor = torch.from_numpy(losses).double()
        finite = tensor[torch.isfinite(tensor)]
        if len(finite) in (0, len(tensor)) or not self.trainer.args.logging_nan_inf_filter:
            return float(tensor.mean())
        logger.warning(
            "The loss of %d of %d samples was NaN or infinite; %s leaves them out. "
            "logging_nan_inf_filter=False shows them.",
            len(tensor) - len(finite),
            len(tensor),
            self._name("loss"),
        )
        return float(finite.mean())

    def _name(self, name: str) -> str:
        return name if name.startswith(f"{self.prefix}_") else f"{self.prefix}_{name}"

    def _num_samples(self) -> int:
        known = samples_in(self.loader)
        if known is not None:
            return known
        counts = self.trainer.accelerator.gather(
            torch.tensor(self.seen, device=self.trainer.args.device)
        )
        return int(counts.sum())


def batch_size(inputs: Any) -> int:
    """Return the number of samples in a batch: the length of its first tensor, 1 if none."""
    found: list[int] = []
    map_tree(lambda leaf: found.append(len(leaf)) if _has_rows(leaf) else None, inputs)
    return found[0] if found else 1


def cut(inputs: Any, size: int, rows: int) -> Any:
    """Return a batch of so many samples with only its first rows."""

    def shorten(leaf: Any) -> Any:
        return leaf[:rows] if _has_rows(leaf) and len(leaf) == size else leaf

    return map_tree(shorten, inputs)


def fill(tensor: Any, size: int) -> Any:
    """Return a tensor with as many rows as a whole batch has, by repeating its last row."""
    if not _has_rows(tensor) or len(tensor) >= size:
        return tensor
    return torch.cat([tensor, tensor[-1:].expand(size - len(tensor), *tensor.shape[1:])])


def _has_rows(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.ndim > 0 and isinstance(leaf, Sized)
