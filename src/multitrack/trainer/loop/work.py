"""Work: tokens and operations trained on, counted without waiting for the device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from accelerate import Accelerator

from multitrack.trainer.callbacks.state import TrainerState

logger = logging.getLogger(__name__)


Inputs: TypeAlias = Mapping[str, Any]


class WorkCounter:
    """Counts what this process trains on, until `settle` adds that of all to the state.

    Args:
        model: its operations are counted if it has ``floating_point_ops(inputs)`` or, as six for
            each token and parameter, if it has ``num_parameters``.
        tokens: which tokens to count: ``"no"``, ``"all"`` or ``"non_padding"``.
        main_input: the model's input that holds the tokens.
        pad_token: what padding looks like, if the batches have no attention mask.
        device: where the batches are.
    """

    def __init__(
        self,
        model: Any,
        *,
        tokens: str,
        main_input: str,
        pad_token: int | None,
        device: torch.device,
    ) -> None:
        self.tokens = tokens
        self.main_input = main_input
        self.pad_token = pad_token
        self._operations_of = _operation_counter(model, main_input)
        self._operations = 0.0
        self._tokens = torch.zeros((), dtype=torch.int64, device=device)
        self._warned = False

    @property
    def operations(self) -> float:
        """Operations of this process since the last `settle`."""
        return self._operations

    def add(self, inputs: Any) -> None:
        """Count a micro-batch."""
        if self._operations_of is not None:
            self._operations += float(self._operations_of(inputs))
        if self.tokens != "no":
            self._tokens += self._count(inputs)

    def settle(self, state: TrainerState, accelerator: Accelerator) -> None:
        """Add the work of all processes to the state; every process must call this."""
        if self.tokens != "no":
            state.num_input_tokens_seen += int(accelerator.gather(self._tokens).sum().item())
            self._tokens.zero_()
        if self._operations_of is not None:
            done = torch.tensor(self._operations, device=accelerator.device)
            state.total_flos += float(accelerator.gather(done).sum().item())
            self._operations = 0.0

    def _count(self, inputs: Any) -> Any:
        if not isinstance(inputs, Mapping) or self.main_input not in inputs:
            self._warn(f"the model has no input {self.main_input!r}; set its main_input_name")
            return 0
        if self.tokens == "non_padding":
            if "attention_mask" in inputs:
                return inputs["attention_mask"].sum()
            if self.pad_token is not None:
                return (inputs[self.main_input] != self.pad_token).sum()
            self._warn("padding is counted too: there is no attention mask and no pad token")
        return inputs[self.main_input].numel()

    def _warn(self, problem: str) -> None:
        if not self._warned:
            logger.warning("include_num_input_tokens_seen: %s.", problem)
        self._warned = True


def _operation_counter(model: Any, main_input: str) -> Callable[[Inputs], float] | None:
    """Return what counts the operations of a batch, forward and backward; None if nothing does."""
    if callable(getattr(model, "floating_point_ops", None)):
        own: Callable[[Inputs], float] = model.floating_point_ops
        return own
    if not callable(getattr(model, "num_parameters", None)):
        return None
    per_token = 6 * model.num_parameters(exclude_embeddings=True)

    def count(inputs: Inputs) -> float:
        return float(per_token * inputs[main_input].numel()) if main_input in inputs else 0.0

    return count
