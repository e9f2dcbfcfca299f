"""The files of a checkpoint beside the weights: optimizer, scheduler, scaler, process states."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from multitrack.trackers.values import as_tree
from multitrack.trainer.checkpoints import rng
from multitrack.trainer.checkpoints.weights import load_weights, read_fitting_weights
from multitrack.trainer.data.signature import uncompiled

OPTIMIZER_FILE = "optimizer.pt"
SCHEDULER_FILE = "scheduler.pt"
SCALER_FILE = "scaler.pt"

logger = logging.getLogger(__name__)


def is_sharded(accelerator: Accelerator) -> bool:
    """Tell whether model and optimizer are spread over the devices."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def is_shard(model: Any) -> bool:
    """Tell whether a model holds no more than this device's part of its weights."""
    layers = (model, uncompiled(model))  # either side of `torch.compile` may be what is sharded
    return any(isinstance(layer, FSDPModule) for layer in layers)


def reshard(model: Any) -> None:
    """Let go of the whole weights that a forward pass without a backward pass leaves behind."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def gather_weights(accelerator: Accelerator, model: Any) -> dict[str, Any]:
    """Return all weights, on the CPU where they are sharded; every process must call this.

    Args:
        accelerator: tells whether they are.
        model: the sharded model, or the bare one without wrappers.
    """
    if is_sharded(accelerator):
        return get_model_state_dict(model, options=_whole())
    weights: dict[str, Any] = uncompiled(model).state_dict()
    return weights


def load_model(accelerator: Accelerator, model: Any, folder: Path) -> None:
    """Read a checkpoint's weights into the model; every process must call this.

    Raises:
        ValueError: the folder has no weights, or they are those of another model.
    """
    if is_sharded(accelerator):
        _scatter_weights(accelerator, model, folder)
    else:
        load_weights(uncompiled(model), folder)


def gather_optimizer(accelerator: Accelerator, model: Any, optimizer: Any) -> dict[str, Any]:
    """Return the whole state of the optimizer; every process must call this."""
    if is_sharded(accelerator):
        return get_optimizer_state_dict(model, _inner(optimizer), options=_whole())
    state: dict[str, Any] = _inner(optimizer).state_dict()
    return state


def load_optimizer(accelerator: Accelerator, model: Any, optimizer: Any, folder: Path) -> None:
    """Read the optimizer's state; every process must call this.

    Raises:
        ValueError: the checkpoint holds the model alone.
    """
    path = folder / OPTIMIZER_FILE
    if not path.is_file():
        raise ValueError(
            f"training cannot go on from {folder}: it has no {OPTIMIZER_FILE}, as checkpoints "
            "saved with save_only_model=True; load its model and start a new training instead"
        )
    if is_sharded(accelerator):
        _scatter_optimizer(accelerator, model, _inner(optimizer), path)
    else:
        _inner(optimizer).load_state_dict(read(path))


def save_process(folder: Path, rank: int, world_size: int, progress: dict[str, Any]) -> None:
    """Write what each process has of its own: its random generators, and its progress."""
    torch.save(rng.collect(), _own_file(folder, "rng_state", ".pth", rank, world_size))
    path = _own_file(folder, "progress", ".json", rank, world_size)
    path.write_text(json.dumps(as_tree(progress)) + "\n")


def read_progress(folder: Path, rank: int, world_size: int) -> dict[str, Any]:
    """Return a process's progress, empty if none was kept.

    A process more than there were gets that of the first: all must stand at the same place.
    """
    places = ((rank, world_size), (0, 2), (0, 1))  # the first of several, or the only one
    for place in places:
        path = _own_file(folder, "progress", ".json", *place)
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
    return {}


def restore_generators(folder: Path, rank: int, world_size: int) -> None:
    """Set this process's random generators as they were when the checkpoint was saved."""
    path = _own_file(folder, "rng_state", ".pth", rank, world_size)
    if path.is_file():
        with torch.serialization.safe_globals(rng.READABLE):
            rng.restore(read(path))
    else:
        logger.warning(
            "%s has no random state for process %d of %d: what follows is not what an "
            "uninterrupted training would do.",
            folder,
            rank,
            world_size,
        )


def read(path: Path) -> Any:
    """Return what `torch.save` wrote, on the CPU; nothing in the file is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def _scatter_weights(accelerator: Accelerator, model: Any, folder: Path) -> None:
    """Hand out the weights that the first process reads, or let all refuse them as it does."""
    weights: dict[str, Any] = {}
    problem = None
    if accelerator.is_main_process:
        try:
            weights = read_fitting_weights(get_model_state_dict(model), folder)
        except ValueError as error:
            problem = str(error)
    [problem] = broadcast_object_list([problem])
    if problem is not None:
        raise ValueError(problem)
    set_model_state_dict(model, weights, options=_whole(broadcast=True))


def _scatter_optimizer(accelerator: Accelerator, model: Any, optimizer: Any, path: Path) -> None:
    options = _whole(broadcast=True)
    whole = read(path) if accelerator.is_main_process else {}
    [stateless] = broadcast_object_list([whole if not whole.get("state") else None])
    if stateless is None:
        set_optimizer_state_dict(model, optimizer, whole, options=options)
    else:  # nothing to shard, and options alone tell no device to do it on
        set_optimizer_state_dict(model, optimizer, stateless)


def _own_file(folder: Path, name: str, suffix: str, rank: int, world_size: int) -> Path:
    return folder / (f"{name}_{rank}{suffix}" if world_size > 1 else f"{name}{suffix}")


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "optimizer", optimizer)


def _whole(*, broadcast: bool = False) -> StateDictOptions:
    return StateDictOptions(
        full_state_dict=True, cpu_offload=not broadcast, broadcast_from_rank0=broadcast
    )
