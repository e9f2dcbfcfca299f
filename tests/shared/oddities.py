"""Values that misbehave in every way that Python lets a class misbehave, for hypothesis.

What a strategy draws is a recipe, which prints as what it is; `made` makes the value of it.
A failing example so reads ``Odd('dict', {'items': 'panics'})``, however badly its value prints.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from hypothesis import strategies as st


class Panic(BaseException):
    """As extensions written in Rust raise it: no Exception, and nobody's wish to end."""


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self):
        raise self

    __repr__ = __str__


class Values(Mapping):
    """A mapping that is no dict."""

    def __len__(self):
        return 2

    def __iter__(self):
        return iter(("x", "y"))

    def __getitem__(self, key):
        return {"x": 1, "y": 2}[key]


class Items(Sequence):
    """A sequence that is no list."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (1, 2)[index]


class Shape:
    """An array, as far as it says."""

    shape = (2,)
    dtype = "float32"
    size = 2

    def tolist(self):
        return [1.0, 2.0]

    def item(self):
        return 1.0


class ToDict:
    """A config of a class of its own."""

    def to_dict(self):
        return {"x": 1}


BASES = {
    **{kind.__name__: kind for kind in (object, dict, list, tuple, str, int, float)},
    **{kind.__name__: kind for kind in (Values, Items, Shape, ToDict)},
}


def _raises(*_, **__):
    raise ZeroDivisionError("odd")


def _is_mute(*_, **__):
    raise Mute


def _panics(*_, **__):
    raise Panic("odd")


def _recurses(*_, **__):
    return _recurses()


WAYS = {
    "raises": _raises,
    "is mute": _is_mute,
    "panics": _panics,
    "recurses": _recurses,
    "gives None": lambda *_: None,
    "gives itself": lambda self, *_: self,
    "gives a million": lambda *_: 10**6,
    "gives a negative": lambda *_: -1,
    "gives text": lambda *_: "text\udcff\0",
    "never ends": lambda *_: itertools.repeat(("x", 1)),
}
METHODS = (
    *("__str__", "__repr__", "__len__", "__iter__", "__getitem__", "__contains__", "__hash__"),
    *("__eq__", "__bool__", "__float__", "__int__", "__index__", "__fspath__", "__getattr__"),
    *("items", "keys", "values", "get", "to_dict", "item", "tolist", "numel", "model_dump"),
)
PROPERTIES = ("__class__", "shape", "dtype", "size", "ndim", "columns", "savefig")


class Odd(NamedTuple):
    """An object of a class that does something wrong in each of some methods."""

    base: str
    faults: dict[str, str]

    def make(self):
        """Return the object; a base that takes no such fault gives a plain one."""
        base = BASES[self.base]
        body = {name: _fault(name, way) for name, way in self.faults.items()}
        try:
            return type("Odd", (base,), body)()
        except Exception:
            return ToDict()


class Itself(NamedTuple):
    """A dict or a list that holds itself."""

    kind: str

    def make(self):
        if self.kind == "dict":
            values: Any = {"x": 1}
            values["itself"] = values
        else:
            values = [1]
            values.append(values)
        return values


class Dict(NamedTuple):
    """A dict of recipes; what cannot be a key is left out."""

    pairs: list[tuple[Any, Any]]

    def make(self):
        found = {}
        for key, value in self.pairs:
            with suppress(Exception, Panic):
                found[made(key)] = made(value)
        return found


class Large(NamedTuple):
    """A whole number of so many digits."""

    digits: int

    def make(self):
        return 10**self.digits


def _fault(name, way):
    return property(WAYS[way]) if name in PROPERTIES else WAYS[way]


def made(recipe):
    """Return the value that a recipe stands for."""
    if isinstance(recipe, Odd | Itself | Dict | Large):
        return recipe.make()
    return [made(inner) for inner in recipe] if type(recipe) is list else recipe


_faults = st.dictionaries(
    st.sampled_from(METHODS + PROPERTIES), st.sampled_from(list(WAYS)), min_size=1, max_size=5
)
odd_objects = st.builds(Odd, st.sampled_from(list(BASES)), _faults)
_plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=5),
    st.sampled_from(["\udcff", "\0", ""]),
    st.builds(Large, st.sampled_from([30, 400, 5000])),
    st.builds(Itself, st.sampled_from(["dict", "list"])),
)
recipes = st.recursive(
    st.one_of(odd_objects, _plain),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.builds(Dict, st.lists(st.tuples(inner, inner), max_size=3)),
    ),
    max_leaves=6,
)
"""Recipes of values of every kind, nested in each other."""


def names_and_values(most: int = 4) -> st.SearchStrategy[Dict]:
    """Return recipes of dicts, whose keys misbehave as their values do."""
    return st.builds(Dict, st.lists(st.tuples(recipes, recipes), max_size=most))
