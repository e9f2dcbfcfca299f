"""Losses: where a model's outputs hold them, and what they are divided by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

LossFunction: TypeAlias = Callable[..., torch.Tensor]

IGNORED = -100
"""The label of what does not count."""

CACHES = ("past_key_values", "cache")
"""What transformers' models call the output that helps them to go on writing."""


def loss_of(outputs: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """Return the loss that a model's outputs hold.

    Raises:
        ValueError: they hold none; the message says what they hold.
    """
    if isinstance(outputs, Mapping):
        if "loss" in outputs:
            loss: torch.Tensor = outputs["loss"]
            return loss
        held = f"only {', '.join(outputs)}"
    elif isinstance(outputs, tuple | list) and outputs:
        first: torch.Tensor = outputs[0]
        return first
    elif isinstance(outputs, torch.Tensor):
        if outputs.ndim == 0:
            return outputs
        held = f"but a tensor of shape {tuple(outputs.shape)}"
    elif isinstance(getattr(outputs, "loss", None), torch.Tensor):
        attribute: torch.Tensor = outputs.loss
        return attribute
    else:
        held = f"but {type(outputs).__name__}"
    raise ValueError(
        f"The model did not return a loss from the inputs, {held}. It must return a dict with "
        '"loss" or a tuple that begins with it; or pass compute_loss_func to the Trainer. '
        f"Its inputs were {', '.join(inputs)}."
    )


def ignored_outputs(model: Any) -> list[str]:
    """Return the names of the outputs that are no predictions, as the model's config says."""
    config = getattr(model, "config", None)
    return list(getattr(config, "keys_to_ignore_at_inference", CACHES))


def logits_of(outputs: Any, ignored: Sequence[str], *, with_loss: bool) -> Any:
    """Return a model's outputs without the loss: one thing, or a tuple of several."""
    if isinstance(outputs, Mapping):
        kept = tuple(
            value
            for name, value in outputs.items()
            if name not in ignored and not (with_loss and name == "loss")
        )
    elif isinstance(outputs, tuple | list):
        kept = tuple(outputs[1:] if with_loss else outputs)
    else:
        kept = (outputs,)
    return kept[0] if len(kept) == 1 else kept


def takes_item_count(loss_function: LossFunction) -> bool:
    """Tell whether a loss function can be told how many items its mean is over."""
    parameters = inspect.signature(loss_function).parameters
    any_keyword = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return any_keyword or "num_items_in_batch" in parameters


def count_items(batches: Sequence[Any], *, shifts_labels: bool) -> torch.Tensor | None:
    """Return how many labels count in the micro-batches of a step, None if there are no labels.

    Args:
        batches: the micro-batches.
        shifts_labels: whether the loss predicts the next token, so that the first does not count.
    """
    if not batches or not isinstance(batches[0], Mapping):
        return None
    try:
        return sum((_labels(batch, shifts_labels) != IGNORED).sum() for batch in batches)  # type: ignore[return-value]
    except (KeyError, TypeError, AttributeError):
        return None


def _labels(batch: Mapping[str, Any], shifts_labels: bool) -> torch.Tensor:
    if "shift_labels" in batch:
        shifted: torch.Tensor = batch["shift_labels"]
        return shifted
    labels: torch.Tensor = batch["labels"]
    return labels[..., 1:] if shifts_labels else labels
