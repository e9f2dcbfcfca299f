"""What a model's forward takes, as far as batches and losses depend on it."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from multitrack.trainer.data.collate import LABEL_NAMES

_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def uncompiled(model: Any) -> Any:
    """Return the model that `torch.compile` wrapped, or the model itself."""
    return getattr(model, "_orig_mod", model)


class Signature:
    """The names of a model's inputs.

    Args:
        model: the model, without wrappers.
        label_names: the inputs that are labels, if the user says so.
        has_loss_function: whether the loss is computed outside of the model, from ``labels``.
    """

    def __init__(
        self, model: nn.Module, label_names: list[str] | None, *, has_loss_function: bool
    ) -> None:
        model = _without_adapters(uncompiled(model))
        parameters = inspect.signature(model.forward).parameters
        kinds = [parameter.kind for parameter in parameters.values()]
        self.takes_any = inspect.Parameter.VAR_KEYWORD in kinds
        self.parameters = [name for name, p in parameters.items() if p.kind not in _OPEN]
        self.label_names = self._labels(model, label_names, has_loss_function=has_loss_function)
        self.accepts_loss_kwargs = bool(getattr(model, "accepts_loss_kwargs", self.takes_any))
        self.main_input: str = getattr(model, "main_input_name", "input_ids")
        self.shifts_labels = _shifts_labels(model)

    @property
    def columns(self) -> list[str]:
        """The values of a sample that the model or its loss needs."""
        return [*self.parameters, *LABEL_NAMES, *self.label_names]

    @property
    def names_inputs(self) -> bool:
        """Whether forward names at least one input, so that others can be told apart."""
        return bool(self.parameters)

    def _labels(
        self, model: nn.Module, given: list[str] | None, *, has_loss_function: bool
    ) -> list[str]:
        if given is not None:
            return given
        found = [name for name in self.parameters if "label" in name]
        if "QuestionAnswering" in type(model).__name__:
            found += ["start_positions", "end_positions"]
        return found or (["labels"] if has_loss_function else [])


def _without_adapters(model: Any) -> Any:
    """Return the model that PEFT wrapped, or the model itself: PEFT's forward names no inputs."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _shifts_labels(model: Any) -> bool:
    """Tell whether the loss predicts the next token, so that the first label does not count."""
    is_encoder_decoder = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    causal = ("ForCausalLM", "ForConditionalGeneration")
    return getattr(model, "loss_type", None) in causal and not is_encoder_decoder
