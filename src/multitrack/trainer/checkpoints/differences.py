"""What a training is told otherwise than the one whose checkpoint it goes on from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitrack.trainer.callbacks.state import TrainerState

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

logger = logging.getLogger(__name__)

ARGUMENTS_FILE = "training_args.json"
STATE_FIELDS = {
    "logging_steps": "logging_steps",
    "eval_steps": "eval_steps",
    "save_steps": "save_steps",
    "train_batch_size": "per_device_train_batch_size",
}
"""What the state of a checkpoint tells, and what the argument is called."""
ARGUMENTS = (
    "gradient_accumulation_steps",
    "optim",
    "optim_args",
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "warmup_ratio",
    "bf16",
    "fp16",
    "train_sampling_strategy",
    "dataloader_drop_last",
    "seed",
    "data_seed",
)
"""Other arguments that make it another training, which our own checkpoints hold."""


def warn_of_differences(
    checkpoint: Path, before: TrainerState, now: TrainerState, args: TrainingArguments
) -> None:
    """Say which arguments are not those of a checkpoint, in one warning.

    Args:
        checkpoint: its folder, which need not have been written by us.
        before: the state that it holds.
        now: the same state, as the arguments change it.
        args: what the training is told now.
    """
    found = [*_of_state(before, now), *_of_arguments(checkpoint, args)]
    if found:
        lines = "".join(f"\n  - {name}: {new}, was {old}" for name, old, new in found)
        logger.warning(
            "The arguments are not those of the checkpoint that training goes on from, %s. "
            "Optimizer and scheduler go on as it has them.%s",
            checkpoint,
            lines,
        )


def _of_state(before: TrainerState, now: TrainerState) -> Iterator[tuple[str, Any, Any]]:
    for field, name in STATE_FIELDS.items():
        old, new = getattr(before, field), getattr(now, field)
        if None not in {old, new} and old != new:
            yield name, old, new


def _of_arguments(checkpoint: Path, args: TrainingArguments) -> Iterator[tuple[str, Any, Any]]:
    stored, own = _read(checkpoint / ARGUMENTS_FILE), json.loads(args.to_json_string())
    for name in ARGUMENTS:
        if name in stored and stored[name] != own.get(name):
            yield name, stored[name], own.get(name)


def _read(path: Path) -> dict[str, Any]:
    """Return the arguments that a checkpoint holds; none, if it is another's or cannot be read."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
