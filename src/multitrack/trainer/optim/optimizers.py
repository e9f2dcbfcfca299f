"""Optimizers by name."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import nn

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

Build: TypeAlias = Callable[..., torch.optim.Optimizer]

_NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")
"""Names of parameters without weight decay, in lower case."""


def create_optimizer(model: nn.Module, args: TrainingArguments) -> torch.optim.Optimizer:
    """Return the optimizer that the arguments name, for all parameters that are trained.

    Raises:
        ValueError: ``optim_args`` has an argument that the optimizer does not take, or no
            parameter is to be trained.
    """
    build, options = choose_optimizer(args)
    groups = parameter_groups(model, args.weight_decay)
    if not any(group["params"] for group in groups):
        raise ValueError("no parameter of the model requires a gradient: there is nothing to train")
    try:
        return build(groups, **options)
    except TypeError as error:
        raise ValueError(
            f"optim_args={args.optim_args!r} does not fit {args.optim}: {error}"
        ) from None


def choose_optimizer(args: TrainingArguments) -> tuple[Build, dict[str, Any]]:
    """Return the class of the optimizer that the arguments name, and what it is made with."""
    build, options = _BUILDERS[str(args.optim)](args)
    return build, {"lr": args.learning_rate, **options, **parse_optim_args(args.optim_args)}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters in two groups: with weight decay, and without."""
    decayed = set(decayed_names(model))
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in trained if n in decayed], "weight_decay": weight_decay},
        {"params": [p for n, p in trained if n not in decayed], "weight_decay": 0.0},
    ]


def decayed_names(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """Yield the names of the parameters with weight decay: no biases, no normalisations."""
    for name, child in model.named_children():
        if not isinstance(child, nn.LayerNorm):
            yield from decayed_names(child, f"{prefix}{name}.")
    own = (f"{prefix}{name}" for name, _ in model.named_parameters(recurse=False))
    yield from (name for name in own if not _NO_DECAY.search(name.lower()))


def parse_optim_args(text: str | None) -> dict[str, Any]:
    """Return the arguments that a string like ``"momentum=0.9,nesterov=true"`` holds.

    Raises:
        ValueError: a part is not ``name=value``.
    """
    parts = [part.strip() for part in re.split(r",(?![^(\[]*[)\]])", text or "") if part.strip()]
    options = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(
                f'optim_args must look like "momentum=0.9,nesterov=true", not {text!r}'
            )
        options[name.strip()] = _value(value.strip())
    return options


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _adamw(args: TrainingArguments) -> tuple[Build, dict[str, Any]]:
    betas = (args.adam_beta1, args.adam_beta2)
    return torch.optim.AdamW, {"betas": betas, "eps": args.adam_epsilon}


def _adamw_fused(args: TrainingArguments) -> tuple[Build, dict[str, Any]]:
    build, options = _adamw(args)
    return build, {**options, "fused": True}


_BUILDERS: dict[str, Callable[[Any], tuple[Build, dict[str, Any]]]] = {
    "adamw_torch": _adamw,
    "adamw_torch_fused": _adamw_fused,
    "sgd": lambda _: (torch.optim.SGD, {}),
    "adagrad": lambda _: (torch.optim.Adagrad, {}),
    "rmsprop": lambda _: (torch.optim.RMSprop, {}),
}
