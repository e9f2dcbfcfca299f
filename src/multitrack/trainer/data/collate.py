"""Samples to batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

Collator: TypeAlias = Callable[[list[Any]], Any]

LABEL_NAMES = ("label", "label_ids")
"""Names of a sample's label; in the batch it is called ``labels``."""

_LABELS = {*LABEL_NAMES, "labels"}


def default_collate(features: Sequence[Any]) -> dict[str, Any]:
    """Return a batch: the samples' values, stacked under their names.

    A sample is a mapping, or an object with attributes. Strings and None are left out.

    Raises:
        TypeError: a sample has no named values.
        ValueError: the values of a name do not make a tensor.

    >>> default_collate([{"x": [1.0, 2.0], "label": 0}, {"x": [3.0, 4.0], "label": 1}])["labels"]
    tensor([0, 1])
    """
    samples = [_named(feature) for feature in features]
    batch = {
        name: _stack(name, samples)
        for name, value in samples[0].items()
        if name not in LABEL_NAMES and value is not None and not isinstance(value, str)
    }
    for name in LABEL_NAMES:
        if samples[0].get(name) is not None:
            batch["labels"] = _stack(name, samples)
            break
    return batch


class PaddingCollator:
    """Makes batches with the ``pad`` of a tokenizer or another processing class.

    Args:
        processing_class: an object with ``pad(samples, return_tensors="pt")``.
    """

    def __init__(self, processing_class: Any) -> None:
        self.processing_class = processing_class

    def __call__(self, features: list[Any]) -> Any:
        """Return the padded batch, in which the label is called ``labels``."""
        batch = self.processing_class.pad(features, return_tensors="pt")
        for name in LABEL_NAMES:
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


class ColumnFilter:
    """Drops the values that a model does not take, before samples become batches.

    Args:
        collate: what makes the batch.
        names: the values to keep.
    """

    def __init__(self, collate: Collator, names: Sequence[str]) -> None:
        self.collate = collate
        self.names = frozenset(names)

    def __call__(self, features: list[Any]) -> Any:
        """Return the batch of what remains of the samples.

        Raises:
            ValueError: nothing remains, or the label alone.
        """
        return self.collate([self._filter(feature) for feature in features])

    def _filter(self, feature: Any) -> Any:
        if type(feature) is dict and feature.keys() <= self.names and feature:
            return feature  # the usual case first: this is done for every sample
        if not isinstance(feature, Mapping):
            return feature
        kept = {name: value for name, value in feature.items() if name in self.names}
        if kept.keys() <= _LABELS:
            raise ValueError(
                f"a sample has {', '.join(map(str, feature))}, of which the model's forward takes "
                f"{'the label alone' if kept else 'none'}; it takes "
                f"{', '.join(sorted(self.names))}. Text must be tokenised before. "
                "remove_unused_columns=False leaves all of it to the data_collator."
            )
        return kept


def choose_collator(given: Collator | None, processing_class: Any) -> Collator:
    """Return the user's collator, or else one that pads, or else `default_collate`.

    Raises:
        TypeError: what the user gave cannot be called.
    """
    if given is not None and not callable(given):
        raise TypeError(
            f"data_collator must be a function of a list of samples, not {type(given).__name__}"
        )
    if given is not None:
        return given
    if callable(getattr(processing_class, "pad", None)):
        return PaddingCollator(processing_class)
    return default_collate


def _named(feature: Any) -> Mapping[str, Any]:
    if isinstance(feature, Mapping):
        return feature
    if hasattr(feature, "__dict__"):
        named: Mapping[str, Any] = vars(feature)
        return named
    raise TypeError(
        f"a sample must be a dict of named values, such as the arguments of the model's forward, "
        f"not {type(feature).__name__}; pass a data_collator that makes batches of such samples"
    )


def _stack(name: str, samples: list[Mapping[str, Any]]) -> torch.Tensor:
    try:
        return _as_tensor([sample[name] for sample in samples])
    except KeyError:
        lacking = sum(name not in sample for sample in samples)
        raise ValueError(
            f"{lacking} of the {len(samples)} samples of a batch have no {name!r}"
        ) from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"the values of {name!r} do not make a tensor: {error}. Values of several lengths need "
            "a data_collator that pads, or a tokenizer as processing_class; text must be made "
            "numbers before."
        ) from error


def _as_tensor(values: list[Any]) -> torch.Tensor:
    if isinstance(values[0], torch.Tensor):
        return torch.stack(values)
    if isinstance(values[0], np.ndarray | np.generic):
        return torch.from_numpy(np.stack(values))
    return torch.tensor(values)
