"""A model, data and a recording callback that are small enough to train in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

EVENTS = (
    "on_init_end",
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_log",
    "on_prediction_step",
    "on_evaluate",
    "on_predict",
    "on_save",
    "on_push_begin",
)
"""The events of transformers, in words of our own tests, not read from our own code."""

SWITCHES = {
    "T": "should_training_stop",
    "E": "should_epoch_stop",
    "S": "should_save",
    "V": "should_evaluate",
    "L": "should_log",
}


class TinyModel(nn.Module):
    """Four numbers to one, with dropout, so that the random state matters."""

    def __init__(self, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.hidden = nn.Linear(4, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 1)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        logits = self.head(self.dropout(torch.tanh(self.norm(self.hidden(x)))))[:, 0]
        if labels is None:
            return {"logits": logits}
        return {"loss": ((logits - labels) ** 2).mean(), "logits": logits}


def samples(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return samples whose label is a noisy sum of their numbers."""
    generator = torch.Generator().manual_seed(seed)
    xs = torch.randn(count, 4, generator=generator)
    noise = torch.randn(count, generator=generator) * 0.1
    return [{"x": x, "labels": x.sum() + n} for x, n in zip(xs, noise, strict=True)]


READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)


class CountsReads(TorchDispatchMode):
    """Counts how often a value is read back from the device."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += func in READS
        return func(*args, **(kwargs or {}))


class Recorder:
    """Writes down every event: its name, step, epoch, switches, and the names of its values.

    It has no base class, so that the same one runs in transformers' Trainer and in ours.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.logs: list[dict[str, Any]] = []
        self.present: dict[str, set[str]] = {}

    def _record(self, event: str, state: Any, control: Any, kwargs: dict[str, Any]) -> None:
        flags = "".join(key for key, name in SWITCHES.items() if getattr(control, name))
        values = kwargs.get("logs", kwargs.get("metrics"))
        keys = tuple(sorted(values)) if values is not None else None
        self.rows.append((event, state.global_step, round(state.epoch, 6), flags, keys))
        self.present[event] = {name for name, value in kwargs.items() if value is not None}
        if event == "on_log":
            self.logs.append(dict(values))

    @property
    def events(self) -> list[str]:
        return [row[0] for row in self.rows]


def _handler(event: str) -> Any:
    def handle(self: Recorder, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._record(event, state, control, kwargs)

    return handle


for _event in (*EVENTS, "on_exception", "on_checkpoint_delete"):
    setattr(Recorder, _event, _handler(_event))
