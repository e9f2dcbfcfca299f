"""What a training needs before its first step: prepared model, optimizer, scheduler, progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.optimizer import AcceleratedOptimizer

from multitrack.trainer.checkpoints import store
from multitrack.trainer.loop.meter import LossMeter
from multitrack.trainer.loop.plan import Plan
from multitrack.trainer.loop.progress import Progress

if TYPE_CHECKING:
    from multitrack.trainer.trainer import Trainer


def prepare_training(trainer: Trainer, max_steps: int, checkpoint: Path | None) -> Any:
    """Return the prepared model; optimizer and scheduler become the trainer's.

    Raises:
        ValueError: the checkpoint does not fit the model, or holds the model alone.
    """
    accelerator = trainer.accelerator
    sharded = store.is_sharded(accelerator)
    if checkpoint is not None and not sharded:
        store.load_model(accelerator, trainer.model, checkpoint)
    model = _prepare_model(trainer)
    if checkpoint is not None and sharded:
        store.load_model(accelerator, model, checkpoint)
    trainer.create_scheduler(max_steps)
    if checkpoint is not None:
        _load_optimization(trainer, model, checkpoint)
    return model


def prepare_evaluation(trainer: Trainer) -> None:
    """Shard the model of a trainer that has not trained yet: until then it is on no device."""
    if store.is_sharded(trainer.accelerator) and not store.is_shard(trainer.model):
        _prepare_model(trainer)


def stays_prepared(trainer: Trainer) -> bool:
    """Tell whether model and optimizer are shards already, which accelerate must not get again.

    It tells the optimizer's parameters by their memory, and empty shards have none.
    """
    return store.is_shard(trainer.model) and isinstance(trainer.optimizer, AcceleratedOptimizer)


def begin_progress(trainer: Trainer, plan: Plan, checkpoint: Path | None) -> Progress:
    """Return where training stands, from the checkpoint if there is one."""
    args, step = trainer.args, trainer.state.global_step
    meter = LossMeter(args.device, step, hide_non_finite=args.logging_nan_inf_filter)
    progress = Progress(plan, meter)
    progress.place(step)
    if checkpoint is not None:
        own = store.read_progress(checkpoint, args.process_index, args.world_size)
        if own:
            progress.load_state_dict(own)
    return progress


def enable_gradient_checkpointing(model: Any, options: dict[str, Any] | None) -> None:
    """Let a model recompute its activations.

    Raises:
        ValueError: the model has no method for it.
    """
    for prefix in ("activation", "gradient"):
        enable = getattr(model, f"{prefix}_checkpointing_enable", None)
        if callable(enable):
            enable(**{f"{prefix}_checkpointing_kwargs": options})
            return
    raise ValueError(
        f"gradient_checkpointing=True needs a model with the method gradient_checkpointing_enable, "
        f"which {type(model).__name__} lacks"
    )


def _prepare_model(trainer: Trainer) -> Any:
    accelerator = trainer.accelerator
    if stays_prepared(trainer):
        return trainer.model
    model, trainer.optimizer = accelerator.prepare(trainer.model, trainer.create_optimizer())
    if store.is_sharded(accelerator):
        trainer.model = model
    return model


def _load_optimization(trainer: Trainer, model: Any, checkpoint: Path) -> None:
    accelerator = trainer.accelerator
    store.load_optimizer(accelerator, model, trainer.optimizer, checkpoint)
    trainer.lr_scheduler.load_state_dict(store.read(checkpoint / store.SCHEDULER_FILE))
    if accelerator.scaler is not None and (checkpoint / store.SCALER_FILE).is_file():
        accelerator.scaler.load_state_dict(store.read(checkpoint / store.SCALER_FILE))
