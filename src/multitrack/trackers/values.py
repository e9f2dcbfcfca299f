"""What users pass in, turned into what a record holds."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from multitrack.trackers.records import Number, Scalar, Tree, spell

INT64 = range(-(2**63), 2**63)
MAX_DEPTH = 64
"""Levels of nesting that a config may have; what lies deeper, or in itself, is stored as text."""


def as_number(value: Any) -> Number:
    """Return a metric's value as a Python number.

    Takes int, float, bool, and whatever holds exactly one number and says so with ``item()``:
    numpy scalars, torch tensors (on any device), and arrays of one element.

    Raises:
        TypeError: it is not one number; the message says what it is and what to call instead.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int(value)  # a range looks for what only derives from int one by one
        return number if number in INT64 else float(number)
    if isinstance(value, float):
        return float(value)
    one = value.item() if _element_count(value) == 1 and hasattr(value, "item") else value
    if one is not value and isinstance(one, bool | int | float):
        return as_number(one)
    if hasattr(one, "__float__") and not isinstance(one, str) and _element_count(one) in {None, 1}:
        return float(one)
    raise TypeError(f"{_kind(value)} is not one number; {_advice(value)}")


def take_metrics(metrics: Mapping[Any, Any]) -> tuple[dict[str, Scalar], dict[str, str]]:
    """Return a nested dict's metrics with names joined by ``/``, ready for a record.

    Args:
        metrics: what the user logged.

    Returns:
        The metrics by name, and the reason for each name that could not be taken.

    >>> take_metrics({"loss": 0.5, "eval": {"accuracy": 1, "note": "good"}})[0]
    {'loss': 0.5, 'eval/accuracy': 1}
    """
    taken: dict[str, Scalar] = {}
    refused: dict[str, str] = {}
    _take(metrics, "", taken, refused)
    return taken, refused


def _take(
    metrics: Mapping[Any, Any], prefix: str, taken: dict[str, Scalar], refused: dict[str, str]
) -> None:
    for key, value in metrics.items():
        name = prefix + key if type(key) is str else f"{prefix}{key}"
        if name in taken or not name:
            refused[name] = "the same call has another value of this name" if name else "no name"
        elif type(value) is float:  # the usual case: this loop is what training pays for
            taken[name] = value if value - value == 0.0 else spell(value)
        elif isinstance(value, Mapping):
            _take(value, f"{name}/", taken, refused)
        else:
            try:
                taken[name] = spell(as_number(value))
            except Exception as error:  # whatever a user's class raises: the others are logged
                refused[name] = str(error)


def as_step(step: Any) -> int:
    """Return a step as an int: any whole number, numpy's and torch's included.

    Raises:
        TypeError: it is not a whole number that fits 64 bits.
    """
    number = as_number(step)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number not in INT64:
        raise TypeError(f"a step must be a whole number, not {step!r}")
    return number


def as_tree(config: Any) -> Tree:
    """Return a config as a nested dict that JSON can hold.

    Mappings, dataclasses, argparse namespaces and objects with ``to_dict()`` become dicts;
    tuples and sets become lists; numpy and torch scalars become numbers; enums their value;
    anything else its ``str``. NaN and infinities are spelled as in the journal.

    Raises:
        TypeError: it is none of the things that have named values.
    """
    tree = _plain(config, ())
    if not isinstance(tree, dict):
        raise TypeError(
            f"config must have named values: a dict, a dataclass, a namespace or an object "
            f"with to_dict(), not {_kind(config)}"
        )
    return tree


def as_tags(tags: Any) -> dict[str, str]:
    """Return tags by name: a string or a list gives bare tags, a mapping gives values.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(tags, str):
        return {tags: ""}
    if isinstance(tags, Mapping):
        return {str(key): "" if value is None else str(value) for key, value in tags.items()}
    if isinstance(tags, list | tuple | set | frozenset):
        return {str(tag): "" for tag in tags}
    raise TypeError(f"tags must be a name, a list of names, or a mapping, not {_kind(tags)}")


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """Return a value as JSON can hold it; ``above`` are the ids of what it lies in."""
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        number = int(value)
        return number if number in INT64 else str(number)
    if isinstance(value, float):
        return spell(float(value))
    if id(value) in above or len(above) >= MAX_DEPTH:
        return str(value)
    return _plain_container(value, (*above, id(value)))


def _plain_container(value: Any, above: tuple[int, ...]) -> Any:
    if (mapping := _as_mapping(value)) is not None:
        return {str(key): _plain(inner, above) for key, inner in mapping.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return [_plain(inner, above) for inner in value]
    try:
        return spell(as_number(value))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return str(value)


def _as_mapping(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if callable(getattr(value, "to_dict", None)):
        inner = value.to_dict()
        return inner if isinstance(inner, Mapping) else None
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if type(value).__name__ in {"Namespace", "SimpleNamespace"}:
        names: dict[str, Any] = vars(value)
        return names
    return None


def _element_count(value: Any) -> int | None:
    """Return how many elements an array-like has, None if it is none."""
    if callable(getattr(value, "numel", None)):
        return int(value.numel())
    size = getattr(value, "size", None)
    return size if isinstance(size, int) else None


def _has_shape(value: Any) -> bool:
    return hasattr(value, "shape")


def _kind(value: Any) -> str:
    if _has_shape(value):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return type(value).__name__


def _advice(value: Any) -> str:
    if isinstance(value, str):
        return "use log_text() or summary() for text"
    if _has_shape(value):
        return "reduce it, or use log_histogram(), log_image() or log_table()"
    if value is None:
        return "leave it out"
    return "use log_table(), log_text() or log_params()"
