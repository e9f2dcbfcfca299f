"""The process that a training runs in: device, precision, seeds, accelerate's Accelerator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    FullyShardedDataParallelPlugin,
    TorchDynamoPlugin,
    patch_environment,
    set_seed,
)

from multitrack.trainer.arguments.sharding import plugin_options
from multitrack.trainer.checkpoints.store import is_sharded

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments
    from multitrack.trainer.trainer import Trainer

_SHARD = "ACCELERATE_USE_FSDP"
_latest: ref[Trainer] | None = None
"""The Trainer whose device and precision accelerate has: it has one of each for the process."""


def set_up_accelerator(trainer: Trainer) -> None:
    """Give a Trainer its Accelerator.

    Raises:
        ValueError: this machine cannot do what the arguments ask for.
    """
    global _latest  # noqa: PLW0603 - what accelerate keeps is global, too
    trainer.accelerator = _build_accelerator(trainer.args)
    _latest = ref(trainer)


def take_back_accelerator(trainer: Trainer) -> None:
    """Set a Trainer's Accelerator up anew if another Trainer was made since, unless that trains."""
    latest = None if _latest is None else _latest()
    if latest is not trainer and not (latest is not None and latest.is_in_train):
        set_up_accelerator(trainer)


def _build_accelerator(args: TrainingArguments) -> Accelerator:
    """Return the Accelerator that the arguments describe, and set PyTorch up for it.

    Raises:
        ValueError: this machine cannot do what the arguments ask for.
    """
    # A second Trainer of the process may want another device or precision than the first.
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001 - no public way
    _check_device(args)
    if args.tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = args.tf32
        torch.backends.cudnn.allow_tf32 = args.tf32
    # Accelerate asks for shards in the environment, where the next Trainer would find it, too.
    with patch_environment(**{_SHARD: os.environ.get(_SHARD, "false")}):
        accelerator = Accelerator(
            mixed_precision=_mixed_precision(args),
            cpu=args.trains_on_cpu,
            dataloader_config=DataLoaderConfiguration(
                # One process need not hand out the batches of a stream.
                dispatch_batches=None if args.world_size > 1 else False,
                use_seedable_sampler=True,
                data_seed=args.seed if args.data_seed is None else args.data_seed,
            ),
            kwargs_handlers=[_ddp(args)],
            dynamo_plugin=_dynamo(args),
            fsdp_plugin=_fsdp(args),
        )
    if args.fsdp and not is_sharded(accelerator):
        raise ValueError(f"fsdp=True needs GPUs: accelerate does not shard on {args.device.type}")
    if is_sharded(accelerator) and not accelerator.is_fsdp2:
        raise ValueError(
            "FSDP 1 is not supported: use fsdp=True, or --fsdp_version 2 of accelerate launch"
        )
    return accelerator


def seed_all(args: TrainingArguments) -> None:
    """Seed every random generator; with full determinism, also rule out unstable algorithms."""
    set_seed(args.seed)
    if args.full_determinism:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False


def _check_device(args: TrainingArguments) -> None:
    kind = args.device.type
    if args.fp16 and kind == "cpu":
        raise ValueError("fp16=True needs a GPU, and this process has none; use bf16=True")
    if args.bf16 and kind == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError("bf16=True needs a GPU of NVIDIA's Ampere generation or later; use fp16")
    if args.tf32 and kind != "cuda":
        raise ValueError(f"tf32=True needs an NVIDIA GPU; this process trains on {kind}")
    if args.fsdp and args.world_size == 1:
        raise ValueError(
            "fsdp=True needs several processes: start them with torchrun or accelerate launch"
        )


def _mixed_precision(args: TrainingArguments) -> str | None:
    if args.fp16:
        return "fp16"
    return "bf16" if args.bf16 else None  # None leaves it to `accelerate launch`


def _ddp(args: TrainingArguments) -> DistributedDataParallelKwargs:
    options: dict[str, Any] = {
        "bucket_cap_mb": args.ddp_bucket_cap_mb,
        "broadcast_buffers": args.ddp_broadcast_buffers,
    }
    given = {name: value for name, value in options.items() if value is not None}
    unused = args.ddp_find_unused_parameters
    return DistributedDataParallelKwargs(find_unused_parameters=unused is None or unused, **given)


def _dynamo(args: TrainingArguments) -> TorchDynamoPlugin | None:
    if not args.torch_compile:
        return None
    return TorchDynamoPlugin(
        backend=args.torch_compile_backend or "inductor", mode=args.torch_compile_mode
    )


def _fsdp(args: TrainingArguments) -> FullyShardedDataParallelPlugin | None:
    if not args.fsdp:
        return None
    return FullyShardedDataParallelPlugin(**plugin_options(args.fsdp_config))
