"""What a Trainer cannot be made of: found before anything starts."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from multitrack.trainer.arguments import TrainingArguments


def check_trainer(
    model: Any, args: Any, train_dataset: Any, eval_dataset: Any, optimizers: Any
) -> None:
    """Refuse what cannot be trained.

    Raises:
        TypeError: the model, the arguments or the optimizers are something else.
        ValueError: the arguments ask for what the data or the optimizers do not allow.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if not isinstance(args, TrainingArguments):
        hint = "; TrainingArguments.from_dict takes one" if isinstance(args, dict) else ""
        raise TypeError(
            f"args must be multitrack.trainer.TrainingArguments, not {type(args).__module__}."
            f"{type(args).__qualname__}{hint}"
        )
    for name, dataset in (("train_dataset", train_dataset), ("eval_dataset", eval_dataset)):
        if isinstance(dataset, DataLoader):
            raise TypeError(
                f"{name} must be a data set, not a DataLoader: pass its dataset, or override "
                f"get_{name.partition('_')[0]}_dataloader"
            )
    if not isinstance(optimizers, tuple) or len(optimizers) != 2:  # noqa: PLR2004 - a pair
        raise TypeError("optimizers must be a pair: (optimizer or None, scheduler or None)")
    if optimizers[0] is not None and not _trains(optimizers[0], model):
        raise ValueError(
            "the optimizer has no parameter of the model: make it from model.parameters()"
        )
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


def _trains(optimizer: Any, model: nn.Module) -> bool:
    own = set(map(id, model.parameters()))
    return any(id(p) in own for group in optimizer.param_groups for p in group["params"])
