"""Configs and the like, turned into nested dicts that JSON can hold."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from multitrack.trackers import structure
from multitrack.trackers.records import Tree, spell
from multitrack.trackers.scalars import INT64, as_number
from multitrack.trackers.structure import Called, Instead, Named, Row
from multitrack.trackers.texts import Unread, attempt, clean, kind_of, shorten, text_of

MAX_DEPTH = 64
"""Levels of nesting that a config may have; what lies deeper, or in itself, is stored as text."""
LONGEST_NAME = 10_000
"""Characters of the longest name that a value may have."""
MOST_REPEATED = 1_000_000
"""Values that are taken again, of things that lie in a config at several places."""
MOST_CONVERTED = 1_000_000
"""Values that are taken of things that are no plain dict or list: those may never end."""

Place: TypeAlias = "tuple[Place, str] | None"
"""Where a value lies: the place of what it lies in, and its name there."""


class Taken(NamedTuple):
    """A tree, and the reason for each of its parts that could not be taken, by name."""

    tree: Tree
    refused: dict[str, str]


def as_tree(config: Any) -> Tree:
    """Return a config as a nested dict that JSON can hold; `take_tree` says how.

    Raises:
        TypeError: it is none of the things that have named values.
    """
    return take_tree(config).tree


def take_tree(config: Any, what: str = "config") -> Taken:
    """Return a config as a nested dict that JSON can hold, and what of it could not be taken.

    Mappings, dataclasses, attrs classes, pydantic models, msgspec structs, named tuples,
    namespaces and objects with ``to_dict()`` become dicts; other collections, and short arrays,
    become lists, and a longer array its type and shape; numbers of numpy and torch become plain
    ones; enums their value; what a config of OmegaConf cannot resolve stays as it is written.
    Anything else is its ``str``, or the name of its type if that fails. NaN and infinities are
    spelled as in the journal. What a user's class raises costs that value alone.

    Args:
        config: what the user passed.
        what: how a message calls it.

    Raises:
        TypeError: it is none of the things that have named values.

    >>> take_tree({"lr": 0.1, "betas": (0.9, 0.99)}).tree
    {'lr': 0.1, 'betas': [0.9, 0.99]}
    """
    builder = _Builder()
    tree = builder.plain(config, None)
    if not isinstance(tree, dict):
        if failed := structure.failure(config):
            return Taken({}, {what: failed.reason})
        raise TypeError(
            f"{what} must have named values: a dict, a dataclass, a namespace or an object "
            f"with to_dict(), not {kind_of(config)}"
        )
    return Taken(tree, builder.refused)


class _Builder:
    """Makes one tree.

    Attributes:
        refused: why a value was not taken, by name.
    """

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self._above: set[int] = set()
        self._seen: dict[int, Any] = {}  # holds what it knows by its id
        self._repeats = self._conversions = 0

    def plain(self, value: Any, place: Place) -> Any:
        """Return a value as JSON can hold it."""
        kind = type(value)
        if kind is str:
            return value if value.isascii() else clean(value)
        if value is None or kind is bool:
            return value
        if kind is float:
            return value if value - value == 0.0 else spell(value)
        if kind is int and value in INT64:
            return value
        found = attempt(self._other, value, kind, place)
        return text_of(value) if type(found) is Unread else found

    def _other(self, value: Any, kind: type, place: Place) -> Any:
        if issubclass(kind, enum.Enum):
            return self.plain(value.value, place)
        if issubclass(kind, str | int | float):
            return _exact(value, kind)
        if issubclass(kind, type):
            return text_of(value)
        if id(value) in self._above or len(self._above) >= MAX_DEPTH or self._is_endless(value):
            return _named(value, kind)
        self._above.add(id(value))
        try:
            return self._container(value, kind, place)
        finally:
            self._above.discard(id(value))

    def _container(self, value: Any, kind: type, place: Place) -> Any:
        if kind is dict:
            return dict(value) if _is_plain_tree(value) else self._tree(list(value.items()), place)
        if kind is list or kind is tuple:
            return self._list(value, place)
        parts = structure.parts_of(value)
        self._conversions += 1 + structure.count(parts)
        if isinstance(parts, Named):
            return self._tree(parts.pairs, place)
        if isinstance(parts, Row):
            return self._list(parts.items, place)
        return self._one(value, parts, place)

    def _one(self, value: Any, parts: Called | Instead | None, place: Place) -> Any:
        if isinstance(parts, Called):
            return parts.text
        if isinstance(parts, Instead):
            return self.plain(parts.value, place)
        number = attempt(as_number, value)
        return text_of(value) if type(number) is Unread else spell(number)

    def _is_endless(self, value: Any) -> bool:
        """Tell whether what was taken so far shows that there is no end to it.

        Of plain dicts and lists there is only so much, unless one lies at many places.
        """
        if id(value) in self._seen:
            self._repeats += len(value) if type(value) in {dict, list, tuple, set} else 1
        self._seen[id(value)] = value
        return self._repeats > MOST_REPEATED or self._conversions > MOST_CONVERTED

    def _tree(self, pairs: Iterable[structure.Pair], place: Place) -> Tree:
        tree: Tree = {}
        for key, inner in pairs:
            name = key if type(key) is str and key.isascii() else text_of(key)
            if type(inner) is Unread:
                self._refuse((place, name), inner.reason)
            elif name in tree:
                self._refuse((place, name), "the same mapping has another value of this name")
            elif len(name) > LONGEST_NAME:
                self._refuse((place, name), f"a name has at most {LONGEST_NAME:,} characters")
            else:
                tree[name] = self.plain(inner, (place, name))
        return tree

    def _list(self, items: Iterable[Any], place: Place) -> list[Any]:
        items, found = list(items), []
        if _are_plain_numbers(items):
            return items
        for number, inner in enumerate(items):
            if type(inner) is Unread:
                self._refuse((place, str(number)), inner.reason)
                inner = None  # noqa: PLW2901 - the others keep their places
            found.append(self.plain(inner, place))
        return found

    def _refuse(self, place: Place, reason: str) -> None:
        names = []
        while place:
            place, name = place
            names.append(shorten(name, 100))
        self.refused.setdefault("/".join(reversed(names)), reason)


def _is_plain_tree(tree: dict[Any, Any]) -> bool:
    """Tell of a dict, which may have very many names, whether JSON has all of it as it is."""
    if set(map(type, tree)) != {str} or not _are_plain_numbers(list(tree.values())):
        return False
    return "".join(tree).isascii() and max(map(len, tree)) <= LONGEST_NAME


def _are_plain_numbers(items: list[Any]) -> bool:
    """Tell of all at once, since there may be millions, whether they are numbers as JSON has."""
    kinds = set(map(type, items))
    if kinds == {float}:
        return all(map(math.isfinite, items))
    return kinds == {int} and min(items) in INT64 and max(items) in INT64


def _exact(value: Any, kind: type) -> str | int | float:
    """Return what derives from a type that JSON has as that type, whatever it overrides."""
    if issubclass(kind, str):
        return clean(str.__str__(value))
    if issubclass(kind, int):
        return _whole(int.__index__(value))
    return spell(float.__float__(value))


def _whole(number: int) -> int | str:
    """Return a whole number; its text where JSON's readers would lose of it."""
    if number in INT64:
        return number
    digits = attempt(str, number)
    return digits if isinstance(digits, str) else hex(number)  # Python writes only so many


def _named(value: Any, kind: type) -> str:
    """Return the text of what is not looked into; that of a dict or list may never end."""
    if issubclass(kind, dict | list | tuple | set | frozenset):
        return f"{kind_of(value)} of {len(value):,} values"
    return text_of(value)
