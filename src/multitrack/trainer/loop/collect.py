"""Outputs of many batches, put together to one array for all samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from multitrack.trainer.loop.losses import IGNORED


class Collected:
    """Gathers trees of tensors: on their device until `to_cpu`, then as numpy arrays."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._arrays: list[Any] = []

    def add(self, tensors: Any) -> None:
        """Add what a batch gave; None adds nothing."""
        if tensors is not None:
            self._tensors.append(tensors)

    def to_cpu(self) -> None:
        """Move all that was added off the device."""
        self._arrays += [map_tree(_to_numpy, tensors) for tensors in self._tensors]
        self._tensors = []

    def result(self) -> Any:
        """Return everything as one tree of arrays, None if nothing was added."""
        self.to_cpu()
        return concatenate(self._arrays) if self._arrays else None


def map_tree(function: Any, tree: Any) -> Any:
    """Return a tree of tuples, lists and dicts with the function applied to its leaves."""
    if isinstance(tree, Mapping):
        return {key: map_tree(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(map_tree(function, value) for value in tree)
    return function(tree)


def concatenate(trees: list[Any]) -> Any:
    """Return trees of arrays put together along the samples.

    Arrays of different lengths along their second axis are filled up with -100.
    """
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: concatenate([tree[key] for tree in trees]) for key in first}
    if isinstance(first, tuple):
        return tuple(concatenate(list(parts)) for parts in zip(*trees, strict=True))
    arrays = [np.atleast_1d(array) for array in trees]
    if arrays[0].ndim > 1:
        longest = max(array.shape[1] for array in arrays)
        arrays = [_fill_up(array, longest) for array in arrays]
    return np.concatenate(arrays)


def _fill_up(array: Any, length: int) -> Any:
    widths = [(0, 0)] * array.ndim
    widths[1] = (0, length - array.shape[1])
    return np.pad(array, widths, constant_values=IGNORED) if widths[1][1] else array


def _to_numpy(tensor: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
