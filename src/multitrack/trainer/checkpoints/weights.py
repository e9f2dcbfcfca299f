"""A model's weights as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from accelerate.utils import clean_state_dict_for_safetensors
from torch import nn

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


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
    try:
        outcome = model.load_state_dict(read_weights(folder), strict=False)
    except RuntimeError as error:  # shapes differ
        raise ValueError(f"the weights in {folder} do not fit the model: {error}") from None
    missing = _without_aliases(model, outcome.missing_keys)
    if missing or outcome.unexpected_keys:
        raise ValueError(
            f"the weights in {folder} do not fit the model: it lacks "
            f"{', '.join(outcome.unexpected_keys) or 'none'} of them, and they lack "
            f"{', '.join(missing) or 'none'} of it"
        )


def _without_aliases(model: nn.Module, missing: list[str]) -> list[str]:
    """Return the missing weights that are not the same memory as a weight that was read."""
    own = dict(model.state_dict(keep_vars=True))
    read = {own[name].data_ptr() for name in own if name not in missing}
    return [name for name in missing if own[name].data_ptr() not in read]
