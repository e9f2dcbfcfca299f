"""Learning-rate schedules by name: a warm-up, then a curve, as a factor of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

Curve: TypeAlias = Callable[..., float]


def create_scheduler(optimizer: Optimizer, args: TrainingArguments, steps: int) -> Any:
    """Return the scheduler that the arguments name.

    Args:
        optimizer: whose learning rate it changes.
        args: name the schedule, its warm-up and its ``lr_scheduler_kwargs``.
        steps: update steps of the whole training.

    Raises:
        ValueError: ``lr_scheduler_kwargs`` has an argument that the schedule does not take.
    """
    options = dict(args.lr_scheduler_kwargs or {})
    name = str(args.lr_scheduler_type)
    try:
        if name == "reduce_lr_on_plateau":
            return ReduceLROnPlateau(optimizer, **options)
        return _factor_scheduler(optimizer, name, args.get_warmup_steps(steps), steps, options)
    except TypeError as error:
        raise ValueError(f"lr_scheduler_kwargs={options} does not fit {name}: {error}") from None


def _factor_scheduler(
    optimizer: Optimizer, name: str, warmup: int, steps: int, options: dict[str, Any]
) -> LambdaLR:
    lr = optimizer.defaults["lr"]
    warmup = 0 if name == "constant" else warmup
    if name == "polynomial":
        options["lr"] = lr
    if "min_lr" in options:
        options["min_lr_rate"] = _rate(options.pop("min_lr"), lr, options)
    start = options.get("min_lr_ratio", 0.0) if name == "warmup_stable_decay" else 0.0
    factor = partial(_with_warmup, _CURVES[name], warmup, steps, start, options)
    factor(warmup)  # options that do not fit show now, not at the end of the warm-up
    return LambdaLR(optimizer, factor)


def _rate(min_lr: float, lr: float, options: dict[str, Any]) -> float:
    if "min_lr_rate" in options:
        raise ValueError("lr_scheduler_kwargs: min_lr and min_lr_rate exclude each other")
    return min_lr / lr


def _with_warmup(
    curve: Curve, warmup: int, steps: int, start: float, options: dict[str, Any], step: int
) -> float:
    """Return the factor at a step: rising to 1 in the warm-up, then the curve."""
    if step < warmup:
        return step / max(1, warmup) * (1.0 - start) + start
    return curve(step, warmup, steps, **options)


def _progress(step: int, warmup: int, steps: int) -> float:
    return (step - warmup) / max(1, steps - warmup)


def _constant(_step: int, _warmup: int, _steps: int) -> float:
    return 1.0


def _linear(step: int, warmup: int, steps: int) -> float:
    return max(0.0, (steps - step) / max(1, steps - warmup))


def _cosine(step: int, warmup: int, steps: int, *, num_cycles: float = 0.5) -> float:
    angle = math.pi * num_cycles * 2.0 * _progress(step, warmup, steps)
    return max(0.0, 0.5 * (1.0 + math.cos(angle)))


def _cosine_with_restarts(step: int, warmup: int, steps: int, *, num_cycles: int = 1) -> float:
    progress = _progress(step, warmup, steps)
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((num_cycles * progress) % 1.0))))


def _polynomial(
    step: int, warmup: int, steps: int, *, lr: float, lr_end: float = 1e-7, power: float = 1.0
) -> float:
    if step > steps:
        return lr_end / lr
    remaining = 1 - (step - warmup) / (steps - warmup) if steps > warmup else 0.0
    return ((lr - lr_end) * math.pow(remaining, power) + lr_end) / lr


def _inverse_sqrt(step: int, warmup: int, _steps: int, *, timescale: int | None = None) -> float:
    scale = timescale or warmup or 10_000
    return 1.0 / math.sqrt((step + scale - warmup) / scale)


def _cosine_with_min_lr(
    step: int, warmup: int, steps: int, *, min_lr_rate: float, num_cycles: float = 0.5
) -> float:
    angle = math.pi * num_cycles * 2.0 * _progress(step, warmup, steps)
    factor = 0.5 * (1.0 + math.cos(angle))
    return max(0.0, factor * (1.0 - min_lr_rate) + min_lr_rate)


def _warmup_stable_decay(
    step: int,
    warmup: int,
    steps: int,
    *,
    num_decay_steps: int,
    num_stable_steps: int | None = None,
    decay_type: Literal["linear", "cosine", "1-sqrt"] = "cosine",
    min_lr_ratio: float = 0.0,
) -> float:
    stable = steps - warmup - num_decay_steps if num_stable_steps is None else num_stable_steps
    progress = (step - warmup - stable) / max(1, num_decay_steps)
    if progress < 0.0:
        return 1.0
    if progress >= 1.0:
        return min_lr_ratio
    return max(0.0, _DECAYS[decay_type](progress) * (1.0 - min_lr_ratio) + min_lr_ratio)


_DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "1-sqrt": lambda progress: 1.0 - math.sqrt(progress),
}

_CURVES: dict[str, Curve] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "warmup_stable_decay": _warmup_stable_decay,
}
