"""The acts of an update step: gradients, clipping, the step itself, the learning rate.

Unless fp16 scales the gradients, accelerate's wrappers add nothing to an act but time: a division
by one, and a search for an optional package at every step. Ours go past them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch.optim.lr_scheduler import ReduceLROnPlateau


def backward(accelerator: Accelerator, loss: torch.Tensor) -> None:
    """Add the gradients of a loss."""
    scaler = accelerator.scaler
    (loss if scaler is None else scaler.scale(loss)).backward()


def bare(accelerator: Accelerator, optimizer: Any) -> Any:
    """Return the optimizer without accelerate's wrapper, if that scales nothing.

    A wrapper whose ``step`` somebody has replaced, as schedulers and users do, stays.
    """
    is_needed = accelerator.scaler is not None or "step" in vars(optimizer)
    return optimizer if is_needed else getattr(optimizer, "optimizer", optimizer)


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
