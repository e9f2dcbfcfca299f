"""Progress: where in its epoch a training stands, and the losses not yet logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from multitrack.trackers.records import spell
from multitrack.trainer.loop.meter import LossMeter
from multitrack.trainer.loop.plan import Plan


@dataclass
class Progress:
    """What a training must know to go on, beyond its `TrainerState`.

    Attributes:
        plan: the length of the training.
        meter: the losses of this process.
        epoch: the epoch in progress.
        step: update steps done in it.
        epoch_is_over: whether what is due at its end has been done.
        was_stopped: whether that came early because training was stopped, not the epoch.
        grad_norm: norm of the gradients at the last of these steps.
        learning_rate: learning rate of that step.
    """

    plan: Plan
    meter: LossMeter
    epoch: int = 0
    step: int = 0
    epoch_is_over: bool = False
    was_stopped: bool = False
    grad_norm: torch.Tensor | float | None = None
    learning_rate: float | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.epoch, self.step = epoch, 0
        self.epoch_is_over = self.was_stopped = False
        self.grad_norm = self.learning_rate = None

    def place(self, global_step: int) -> None:
        """Go to where so many steps lead if every epoch is trained whole."""
        self.epoch, self.step = divmod(global_step, self.plan.steps_per_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it, exactly."""
        return {
            "steps_per_epoch": self.plan.steps_per_epoch,
            "epoch": self.epoch,
            "step": self.step,
            "epoch_is_over": self.epoch_is_over,
            "was_stopped": self.was_stopped,
            "grad_norm": None if self.grad_norm is None else spell(float(self.grad_norm)),
            "learning_rate": self.learning_rate,
            "loss": self.meter.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, unless epochs have another length now."""
        self.meter.load_state_dict(state["loss"])
        if state["steps_per_epoch"] == self.plan.steps_per_epoch:
            self.epoch, self.step = state["epoch"], state["step"]
            self.epoch_is_over = state["epoch_is_over"]
            self.was_stopped = state["was_stopped"]
            self.grad_norm = None if state["grad_norm"] is None else float(state["grad_norm"])
            self.learning_rate = state["learning_rate"]
