"""Values that are too large for a record: long ones are cut and kept beside, many are split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from multitrack.trackers.records import Tree
from multitrack.trackers.redact import redact_text, redact_tree

LONGEST_VALUE = 1_000_000
"""Bytes of the longest single value, a text or a list, that is kept in its record."""
LONGEST_RECORD = 16 * 1024 * 1024
"""Bytes of values in one record; lines of the journal may be four times as long."""
LONGEST_TEXT = 8 * 1024 * 1024
"""Characters of a text of its own: as escapes they take at most 48 MiB."""
SHOWN_TEXT = 10_000
"""Characters that are left of a text that is cut."""
SHOWN_VALUES = 100
"""Values that are left of a list that is cut."""

_LONG = frozenset({str, dict, list})
"""What may be too long; a number never is."""

_encode = msgspec.json.Encoder().encode


class Whole(NamedTuple):
    """A value that was cut, to be kept as an artifact.

    Attributes:
        name: of the artifact.
        content: all of the value.
    """

    name: str
    content: bytes


class Fitted(NamedTuple):
    """A tree that fits.

    Attributes:
        parts: trees that are the whole one when they are merged; a record each.
        wholes: what was cut.
    """

    parts: list[Tree]
    wholes: list[Whole]


def fits(value: Tree | list[Any]) -> bool:
    """Tell whether a dict or a list holds nothing that is too large."""
    return _size(value) <= LONGEST_VALUE


def fit(tree: Tree, what: str) -> Fitted:
    """Return a tree in parts that fit.

    Args:
        tree: of what JSON can hold. Of its secrets, those in what is cut are redacted.
        what: begins the names of artifacts.

    >>> fit({"lr": 0.1}, "params").parts
    [{'lr': 0.1}]
    """
    if fits(tree):
        return Fitted([tree], [])
    wholes: list[Whole] = []
    cut = {name: _cut(value, what, (name,), wholes) for name, value in tree.items()}
    return Fitted(list(_split(cut, LONGEST_RECORD)), wholes)


def fit_text(text: str, name: str) -> tuple[str, Whole | None]:
    """Return a text that fits, and all of it, without secrets, if it was cut."""
    if len(text) <= LONGEST_TEXT:
        return text, None
    text = redact_text(text)
    whole = Whole(f"{name}.txt", text.encode())
    return _shown(text, whole), whole


def _cut(value: Any, what: str, place: tuple[str, ...], wholes: list[Whole]) -> Any:
    """Return a value without what is too long in it."""
    if isinstance(value, str):
        return _cut_text(value, what, place, wholes) if len(value) > LONGEST_VALUE else value
    if not isinstance(value, dict | list) or fits(value):
        return value
    if isinstance(value, dict) and _LONG.isdisjoint(map(type, value.values())):
        return value
    if isinstance(value, dict):
        return {key: _cut(inner, what, (*place, key), wholes) for key, inner in value.items()}
    return _cut_list(value, what, place, wholes)


def _cut_text(text: str, what: str, place: tuple[str, ...], wholes: list[Whole]) -> str:
    text = _redacted(text, place)
    if len(text) <= LONGEST_VALUE:  # all of it was one secret
        return text
    wholes.append(Whole("/".join((what, *place)) + ".txt", text.encode()))
    return _shown(text, wholes[-1])


def _cut_list(items: list[Any], what: str, place: tuple[str, ...], wholes: list[Whole]) -> Any:
    shown = _redacted(items, place)
    if not isinstance(shown, list):
        return shown
    wholes.append(Whole("/".join((what, *place)) + ".json", _encode(shown)))
    mark = f"… (cut: {len(shown):,} values in all, in the artifact {wholes[-1].name})"
    first = shown[:SHOWN_VALUES]
    return [*(first if fits(first) else []), mark]


def _redacted(value: Any, place: tuple[str, ...]) -> Any:
    """Return a value without secrets, which the names that it lies under may tell."""
    for name in reversed(place):
        value = {name: value}
    value = redact_tree(value)
    for _ in place:
        (value,) = value.values()
    return value


def _shown(text: str, whole: Whole) -> str:
    mark = f"… (cut: {len(text):,} characters in all, in the artifact {whole.name})"
    return text[:SHOWN_TEXT] + mark


def _split(tree: Tree, limit: int) -> Iterator[Tree]:
    """Yield trees that are this one when they are merged, none larger than the limit."""
    if _size(tree) <= limit:
        yield tree
        return
    part: Tree = {}
    room = limit
    for name, value in tree.items():
        size = _size({name: value})
        if size > limit and isinstance(value, dict):
            yield from ({name: inner} for inner in _split(value, limit - _size({name: {}})))
            continue
        if size > room and part:
            yield part
            part, room = {}, limit
        part[name] = value
        room -= size
    if part:
        yield part


def _size(value: Any) -> int:
    """Return the bytes that a value takes in the journal."""
    return len(_encode(value))
