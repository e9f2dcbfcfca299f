"""The acts of an update step: clipping, and moving the learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch.optim.lr_scheduler import ReduceLROnPlateau


def clip_gradients(accelerator: Accelerator, model: Any, max_norm: float) -> Any:
    """Clip the gradients, and return their norm before that; 0 only measures it."""
    limit = max_norm if max_norm > 0 else math.inf
    norm = accelerator.clip_grad_norm_(model.parameters(), limit)
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of all shards


def learning_rate_of(optimizer: Any, scheduler: Any) -> float:
    """Return the learning rate of the first parameter group."""
    if isinstance(scheduler, ReduceLROnPlateau):
        rate = optimizer.param_groups[0]["lr"]
    else:
        rate = scheduler.get_last_lr()[0]
    return float(rate.item() if isinstance(rate, torch.Tensor) else rate)


def step_scheduler(accelerator: Accelerator, scheduler: Any) -> None:
    """Move the learning rate on, unless fp16 skipped the step or the metric decides."""
    if not accelerator.optimizer_step_was_skipped and not isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step()
