"""LossMeter: the training loss, summed on the device and read only when it is logged."""

from __future__ import annotations

import logging
from typing import Any

import torch
from accelerate import Accelerator

from multitrack.trackers.records import spell

logger = logging.getLogger(__name__)


class LossMeter:
    """Sums the loss since the last log, and of the whole training.

    Args:
        device: where the losses are.
        step: the step at which counting starts.
        hide_non_finite: whether a loss that is NaN or infinite is left out, with the mean so far
            in its place.
    """

    def __init__(self, device: torch.device, step: int, *, hide_non_finite: bool) -> None:
        self.hide_non_finite = hide_non_finite
        self.logged_step = step
        self._first_step = step
        self._total = 0.0
        self._window = torch.zeros((), device=device)
        self._hidden = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, loss: torch.Tensor, step: int) -> None:
        """Add the loss of a micro-batch of the step that follows the given one.

        Nothing is read back from the device, so the loop does not wait for it.
        """
        if self.hide_non_finite:
            finite = torch.isfinite(loss)
            mean = self._window / (1 + step - self.logged_step)
            self._hidden += ~finite
            loss = torch.where(finite, loss, mean)
        self._window += loss

    def take(self, accelerator: Accelerator, step: int) -> float:
        """Return the mean over the steps since the last log, and begin the next window."""
        steps = step - self.logged_step
        loss = self._drain(accelerator)
        self.logged_step = step
        return loss / max(steps, 1)

    def finish(self, accelerator: Accelerator, step: int) -> float:
        """Return the mean over all steps of the training."""
        self._drain(accelerator)
        return self._total / max(step - self._first_step, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return what this process has summed, as JSON can hold it, exactly."""
        return {
            "window": spell(self._window.item()),
            "hidden": self._hidden.item(),
            "total": spell(self._total),
            "logged_step": self.logged_step,
            "first_step": self._first_step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._window.fill_(float(state["window"]))
        self._hidden.fill_(int(state["hidden"]))
        self._total = float(state["total"])
        self.logged_step = int(state["logged_step"])
        self._first_step = int(state["first_step"])

    def _drain(self, accelerator: Accelerator) -> float:
        loss = float(accelerator.gather(self._window).mean().item())
        self._total += loss
        self._window.zero_()
        self._warn_of_hidden()
        return loss

    def _warn_of_hidden(self) -> None:
        if count := int(self._hidden.item()):
            self._hidden.zero_()
            logger.warning(
                "The loss of %d micro-batches since the last log was NaN or infinite; the logged "
                "mean leaves them out. logging_nan_inf_filter=False shows them.",
                count,
            )
