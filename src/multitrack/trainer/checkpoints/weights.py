"""A model's weights as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from accelerate.utils import clean_state_dict_for_safetensors
from torch import nn
from torch.distributed.tensor import DTensor

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
ADAPTER_FILE = "adapter_model.safetensors"
SHOWN_WEIGHTS = 8
"""Weights that a message names, where a large model has thousands."""


def save_weights(model: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write weights to a folder; models with `save_pretrained` write their configuration too.

    Args:
        model: the model without wrappers.
        weights: all of its weights, gathered from all devices.
        folder: an existing folder.
    """
    if callable(getattr(model, "save_pretrained", None)):
        model.save_pretrained(folder, state_dict=weights)
        return
    cleaned = clean_state_dict_for_safetensors(weights)
    contiguous = {name: tensor.contiguous() for name, tensor in cleaned.items()}
    safetensors.torch.save_file(contiguous, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint, on the CPU.

    Raises:
        ValueError: the folder has none.
    """
    names = [WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        names = sorted(set(json.loads((folder / INDEX_FILE).read_text())["weight_map"].values()))
    weights: dict[str, torch.Tensor] = {}
    for name in names:
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no weights: there is no {name} in it")
        weights |= safetensors.torch.load_file(folder / name)
    return weights


def load_weights(model: nn.Module, folder: Path) -> None:
    """Read a checkpoint's weights into a model that holds all of its weights itself.

    Raises:
        ValueError: the folder has no weights, or they are those of another model.
    """
    if hasattr(model, "get_base_model"):
        _load_adapters(model, folder)
        return
    try:
        weights = read_fitting_weights(model.state_dict(), folder)
    except ValueError:
        renamed = _read_renamed(model, folder)
        if renamed is None:
            raise
        weights = renamed
    model.load_state_dict(weights, strict=False)  # weights that are tied are read once


def read_fitting_weights(own: dict[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint, if they are those of the model.

    Args:
        own: the model's weights by name, whole or sharded.
        folder: the checkpoint.

    Raises:
        ValueError: the folder has no weights, or they are those of another model.
    """
    weights = read_weights(folder)
    if problem := _misfit(own, weights):
        raise ValueError(f"the weights in {folder} do not fit the model: {problem}")
    return weights


def _load_adapters(model: Any, folder: Path) -> None:
    """Read what PEFT saves: adapters alone, each in a folder of its own, but for the default."""
    for name in model.peft_config:
        own = folder if name == "default" else folder / name
        if not (own / ADAPTER_FILE).is_file():
            raise ValueError(f"{own} has no weights: there is no {ADAPTER_FILE} in it")
        model.load_adapter(str(own), name, is_trainable=True)


def _read_renamed(model: Any, folder: Path) -> dict[str, torch.Tensor] | None:
    """Return weights that transformers saved under the names of the hub, under the model's own.

    Some models have older names there, and `from_pretrained` alone knows them; None if it does
    not find all weights, and no others.
    """
    if not hasattr(model, "from_pretrained"):
        return None
    try:
        twin, found = type(model).from_pretrained(folder, output_loading_info=True)
    except (OSError, RuntimeError, ValueError):
        return None
    weights: dict[str, torch.Tensor] = twin.state_dict()
    fits = not any(found.values()) and _misfit(model.state_dict(), weights) is None
    return weights if fits else None


def _misfit(own: dict[str, Any], read: dict[str, torch.Tensor]) -> str | None:
    """Return how weights that were read differ from a model's own; None if they fit."""
    missing = _without_aliases(own, own.keys() - read.keys())
    unexpected = sorted(read.keys() - own.keys())
    if missing or unexpected:
        return (
            f"it lacks {_shown(unexpected, ', ') or 'none'} of them, and they lack "
            f"{_shown(missing, ', ') or 'none'} of it"
        )
    shapes = [
        f"{name} has shape {tuple(tensor.shape)}, and the model's {tuple(own[name].shape)}"
        for name, tensor in read.items()
        if tensor.shape != own[name].shape
    ]
    return _shown(shapes, "; ") or None


def _shown(parts: list[str], separator: str) -> str:
    """Return the first few parts as one text, and how many there are besides."""
    few = separator.join(parts[:SHOWN_WEIGHTS])
    return few if len(parts) <= SHOWN_WEIGHTS else f"{few} and {len(parts) - SHOWN_WEIGHTS} more"


def _without_aliases(own: dict[str, Any], missing: set[str]) -> list[str]:
    """Return the missing weights that are not the same memory as a weight that was read."""
    read = {_memory_of(own[name]) for name in own if name not in missing}
    return sorted(name for name in missing if _memory_of(own[name]) not in read)


def _memory_of(tensor: Any) -> int:
    part = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return int(part.data_ptr())
