"""The random generators of a process, as a checkpoint keeps them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

READABLE: list[Any] = [np.empty(0).__reduce__()[0], np.ndarray, np.dtype, type(np.dtype(np.uint32))]
"""What numpy's state in a checkpoint of transformers is made of: data, and how it is shaped."""


def collect() -> dict[str, Any]:
    """Return the states of all generators as tuples, numbers and tensors."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (str(name), [int(k) for k in keys], int(position), int(has_gauss), float(gauss)),
        "cpu": torch.get_rng_state(),
    }
    if torch.accelerator.is_available():
        kind, generators = _on_device()
        states[kind] = generators.get_rng_state()
    return states


def restore(states: dict[str, Any]) -> None:
    """Set all generators to the given states."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002 - the generator that users draw from
    torch.set_rng_state(states["cpu"])
    if torch.accelerator.is_available():
        kind, generators = _on_device()
        if kind in states:
            generators.set_rng_state(states[kind])


def _on_device() -> tuple[str, Any]:
    """Return the kind of device that this machine has, and PyTorch's module for it."""
    device = torch.accelerator.current_accelerator()
    assert device is not None  # there is one
    return device.type, torch.get_device_module(device)
