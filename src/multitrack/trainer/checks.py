"""What a Trainer cannot be made of: found before anything starts."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from torch import nn

from multitrack.trainer.arguments import TrainingArguments


def check_trainer(
    model: Any, args: TrainingArguments, train_dataset: Any, eval_dataset: Any, optimizers: Any
) -> None:
    """Refuse what cannot be trained.

    Raises:
        TypeError: the model, the arguments or the optimizers are something else.
        ValueError: the arguments ask for what the data or the optimizers do not allow.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if not isinstance(args, TrainingArguments):
        raise TypeError(
            f"args must be multitrack.trainer.TrainingArguments, not {type(args).__module__}."
            f"{type(args).__qualname__}"
        )
    if not isinstance(optimizers, tuple) or len(optimizers) != 2:  # noqa: PLR2004 - a pair
        raise TypeError("optimizers must be a pair: (optimizer or None, scheduler or None)")
    if args.fsdp and optimizers != (None, None):
        raise ValueError("fsdp=True makes its own optimizer: leave optimizers out, use optim=...")
    if args.eval_strategy != "no" and eval_dataset is None:
        raise ValueError(
            f'eval_strategy="{args.eval_strategy}" needs an eval_dataset: pass one to the Trainer, '
            'or set eval_strategy="no"'
        )
    if train_dataset is not None and args.max_steps <= 0 and not isinstance(train_dataset, Sized):
        raise ValueError(
            "train_dataset has no __len__, so the arguments must say how long to train: set "
            "max_steps"
        )
