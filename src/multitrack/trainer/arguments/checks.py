"""What arguments cannot hold, alone or together: every problem is found before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from multitrack.trainer.arguments.choices import SaveStrategy
from multitrack.trainer.arguments.fields import Fields
from multitrack.trainer.arguments.sharding import sharding_problems


def find_problems(args: Fields) -> Iterator[str]:
    """Yield what is wrong, one sentence each."""
    yield from _lengths(args)
    yield from _intervals(args)
    yield from _best_model(args)
    yield from _precision(args)
    yield from _data(args)
    yield from _optimizer(args)


def _lengths(args: Fields) -> Iterator[str]:
    for name in (
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
    ):
        if getattr(args, name) < 1:
            yield f"{name} must be at least 1, not {getattr(args, name)}"
    if args.max_steps == 0:
        yield "max_steps must be positive, or -1 to train for num_train_epochs, not 0"
    if args.max_steps < 0 and args.num_train_epochs <= 0:
        yield f"num_train_epochs must be positive, not {args.num_train_epochs}"
    if args.save_total_limit is not None and args.save_total_limit < 1:
        yield f"save_total_limit must be at least 1, or None, not {args.save_total_limit}"
    if args.eval_accumulation_steps is not None and args.eval_accumulation_steps < 1:
        yield f"eval_accumulation_steps must be at least 1, not {args.eval_accumulation_steps}"


def _intervals(args: Fields) -> Iterator[str]:
    if args.logging_strategy == "steps":
        yield from _interval("logging_steps", args.logging_steps)
    if args.eval_strategy == "steps":
        yield from _interval("eval_steps", args.eval_steps or args.logging_steps)
    if args.save_strategy == "steps" and args.save_steps != 0:
        yield from _interval("save_steps", args.save_steps)


def _interval(name: str, value: float) -> Iterator[str]:
    if value <= 0:
        yield f"{name} must be positive, not {value}"
    elif value > 1 and value != int(value):
        yield f"{name} must be a whole number, or a part below 1, not {value}"


def _best_model(args: Fields) -> Iterator[str]:
    if args.lr_scheduler_type == "reduce_lr_on_plateau" and args.eval_strategy == "no":
        yield 'lr_scheduler_type="reduce_lr_on_plateau" needs evaluations: set eval_strategy'
    if args.save_strategy == SaveStrategy.BEST:
        if args.eval_strategy == "no":
            yield 'save_strategy="best" needs evaluations: set eval_strategy'
        if args.metric_for_best_model is None:
            yield 'save_strategy="best" needs metric_for_best_model, for example "loss"'
    elif args.load_best_model_at_end:
        yield from _best_checkpoint(args)


def _best_checkpoint(args: Fields) -> Iterator[str]:
    if args.eval_strategy != args.save_strategy:
        yield (
            "load_best_model_at_end needs a checkpoint of every evaluation: eval_strategy is "
            f'"{args.eval_strategy}" and save_strategy "{args.save_strategy}"; make them the '
            'same, or use save_strategy="best"'
        )
    elif args.eval_strategy == "steps" and not _is_multiple(args.save_steps, args.eval_steps):
        yield (
            "load_best_model_at_end needs save_steps to be a multiple of eval_steps, and both "
            f"whole or both parts below 1, not {args.save_steps} and {args.eval_steps}"
        )


def _is_multiple(save_steps: float, eval_steps: float | None) -> bool:
    if not eval_steps or (save_steps < 1) != (eval_steps < 1):
        return False
    return (Fraction(str(save_steps)) / Fraction(str(eval_steps))).denominator == 1


def _precision(args: Fields) -> Iterator[str]:
    if args.bf16 and args.fp16:
        yield "bf16 and fp16 exclude each other"
    if args.fp16 and args.use_cpu:
        yield "fp16 needs a GPU, and use_cpu rules it out; use bf16"
    if args.fsdp_config and not args.fsdp:
        yield "fsdp_config without fsdp=True has no effect"
    elif args.fsdp:
        yield from sharding_problems(args.fsdp_config)
    if args.fsdp and args.save_only_model and args.load_best_model_at_end:
        yield "fsdp cannot load the best model from checkpoints that save_only_model writes"


def _data(args: Fields) -> Iterator[str]:
    if args.dataloader_num_workers < 0:
        yield f"dataloader_num_workers must be 0 or more, not {args.dataloader_num_workers}"
    if args.dataloader_num_workers == 0:
        if args.dataloader_prefetch_factor is not None:
            yield "dataloader_prefetch_factor needs dataloader_num_workers of 1 or more"
        if args.dataloader_persistent_workers:
            yield "dataloader_persistent_workers needs dataloader_num_workers of 1 or more"
        if args.dataloader_multiprocessing_context is not None:
            yield "dataloader_multiprocessing_context needs dataloader_num_workers of 1 or more"
    if args.dataloader_multiprocessing_context not in {None, "fork", "spawn", "forkserver"}:
        yield (
            "dataloader_multiprocessing_context may be fork, spawn or forkserver, not "
            f"{args.dataloader_multiprocessing_context!r}"
        )
    if unknown := set(args.include_for_metrics) - {"inputs", "loss"}:
        yield f"include_for_metrics may hold inputs and loss, not {', '.join(sorted(unknown))}"


def _optimizer(args: Fields) -> Iterator[str]:
    for name in ("learning_rate", "weight_decay", "adam_epsilon", "max_grad_norm", "warmup_steps"):
        if not getattr(args, name) >= 0:  # catches NaN too
            yield f"{name} must be 0 or more, not {getattr(args, name)}"
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= getattr(args, name) < 1:
            yield f"{name} must be at least 0 and below 1, not {getattr(args, name)}"
    if args.warmup_ratio is not None:
        if not 0 <= args.warmup_ratio <= 1:
            yield f"warmup_ratio must be between 0 and 1, not {args.warmup_ratio}"
        if args.warmup_steps:
            yield "warmup_steps and warmup_ratio exclude each other"
