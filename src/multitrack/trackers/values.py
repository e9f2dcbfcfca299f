"""What users pass in, turned into what a record holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from multitrack.trackers import structure
from multitrack.trackers.records import Scalar, spell
from multitrack.trackers.scalars import INT64, as_number, as_step, quoted
from multitrack.trackers.structure import MOST
from multitrack.trackers.texts import Unread, attempt, kind_of, reason_of, text_of
from multitrack.trackers.trees import MAX_DEPTH, Taken, as_tree, take_tree

__all__ = [
    "INT64",
    "MAX_DEPTH",
    "Taken",
    "as_number",
    "as_step",
    "as_tags",
    "as_tree",
    "quoted",
    "take_metrics",
    "take_tags",
    "take_tree",
]

ANOTHER = "the same call has another value of this name"


def take_metrics(
    metrics: Mapping[Any, Any], *, with_texts: bool = False
) -> tuple[dict[str, Scalar], dict[str, str]]:
    """Return a nested dict's metrics with names joined by ``/``, ready for a record.

    Args:
        metrics: what the user logged.
        with_texts: whether texts are taken, too.

    Returns:
        The metrics by name, and the reason for each name that could not be taken.

    Raises:
        TypeError: it has no named values.

    >>> take_metrics({"loss": 0.5, "eval": {"accuracy": 1, "note": "good"}})[0]
    {'loss': 0.5, 'eval/accuracy': 1}
    """
    taken: dict[str, Scalar] = {}
    refused: dict[str, str] = {}
    if type(metrics) is not dict and not isinstance(metrics, Mapping):
        raise TypeError(f"values have names: pass a mapping, not {kind_of(metrics)}")
    _take(_pairs(metrics), "", taken, refused, _Nest(with_texts=True) if with_texts else None)
    return taken, refused


def _take(
    pairs: Iterable[tuple[Any, Any]],
    prefix: str,
    taken: dict[str, Scalar],
    refused: dict[str, str],
    nest: _Nest | None = None,
) -> None:
    for key, value in pairs:
        name = prefix + (key if type(key) is str and key.isascii() else text_of(key))
        if name in taken or not name:
            refused[name] = ANOTHER if name else "no name"
        elif type(value) is float:  # the usual case: this loop is what training pays for
            taken[name] = value if value - value == 0.0 else spell(value)
        else:
            failed = attempt(_take_other, name, value, taken, refused, nest)
            if failed:  # whatever a user's class raises: the others are logged
                refused[name] = reason_of(failed.error)


def _take_other(
    name: str, value: Any, taken: dict[str, Scalar], refused: dict[str, str], nest: _Nest | None
) -> None:
    """Take what is no float: another number, a text if those are taken, or a mapping of some."""
    if type(value) is Unread:
        refused[name] = value.reason
    elif nest and nest.with_texts and issubclass(type(value), str):
        taken[name] = text_of(value)
    elif not (type(value) is dict or isinstance(value, Mapping)):
        taken[name] = spell(as_number(value))
    else:
        nest = nest or _Nest()
        with nest.open(value) as pairs:
            _take(pairs, f"{name}/", taken, refused, nest)


class _Nest:
    """Mappings in mappings, as deep and as many as there may be."""

    def __init__(self, *, with_texts: bool = False) -> None:
        self.with_texts = with_texts
        self._above: list[int] = []
        self._opened = 0

    @contextmanager
    def open(self, mapping: Mapping[Any, Any]) -> Iterator[list[tuple[Any, Any]]]:
        """Give a mapping's values with their names.

        Raises:
            ValueError: it holds itself, or too many others.
        """
        self._opened += 1
        if id(mapping) in self._above:
            raise ValueError("it holds itself")
        if len(self._above) >= MAX_DEPTH or self._opened > MOST:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep, or without end")
        self._above.append(id(mapping))
        try:
            yield _pairs(mapping)
        finally:
            self._above.pop()


def _pairs(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(mapping.items()) if type(mapping) is dict else structure.pairs_of(mapping)


def as_tags(tags: Any) -> dict[str, str]:
    """Return tags by name; `take_tags` says how.

    Raises:
        TypeError: they are none.
    """
    return take_tags(tags)[0]


def take_tags(tags: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return tags by name: a string or a collection gives bare tags, a mapping gives values.

    Returns:
        The tags, and the reason for each that could not be taken.

    Raises:
        TypeError: it is none of these.

    >>> take_tags({"team": "vision", "seed": 1})[0]
    {'team': 'vision', 'seed': '1'}
    """
    if isinstance(tags, str):
        return {text_of(tags): ""}, {}
    if isinstance(tags, Mapping):
        pairs = _pairs(tags)
    elif isinstance(tags, Iterable) and not isinstance(tags, bytes | bytearray):
        found = structure.items_of(tags)
        pairs = [(item, None) for item in found.items]
        pairs += [("tags", found.rest)] if found.rest else []
    else:
        raise TypeError(f"tags must be a name, a list of names, or a mapping, not {kind_of(tags)}")
    return _tags(pairs)


def _tags(pairs: Iterable[tuple[Any, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    taken: dict[str, str] = {}
    refused: dict[str, str] = {}
    for key, value in pairs:
        name = text_of(key)
        if type(value) is Unread:
            refused[name] = value.reason
        elif value is not None and name in taken:
            refused[name] = ANOTHER
        else:
            taken[name] = "" if value is None else text_of(value)
    return taken, refused
