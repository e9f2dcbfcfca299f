"""What a value is made of: named parts, or a row of them.

Kinds of values are known by what they offer, never by their package: none is imported here. Each
look may raise, as a user's class may; whoever looks goes on with what else the value offers.
"""

from __future__ import annotations

import collections.abc
import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from multitrack.trackers.scalars import shape_of
from multitrack.trackers.texts import Unread, attempt, kind_of, text_of

LONGEST_ARRAY = 1_000
"""Elements of an array, or of a range, that are listed; a longer one is named."""
LEAST = 1_000
"""Values that are taken of whatever says that it has fewer."""
MOST = 1_000_000
"""Values that are taken of one thing that is no plain list or dict: it may never end."""

Pair: TypeAlias = tuple[Any, Any]
_Look: TypeAlias = Callable[[Any], Iterable[Any]]
_LISTINGS = ("tolist", "to_list", "numpy", "to_dict")
"""What arrays and data frames offer to list what they hold."""


class TooManyError(Exception):
    """There is more than one takes of what may never end."""


class Named(NamedTuple):
    """A value's named parts."""

    pairs: list[Pair]


class Row(NamedTuple):
    """A value's parts, in order."""

    items: list[Any]


class Called(NamedTuple):
    """A value that is named rather than listed."""

    text: str


class Instead(NamedTuple):
    """What a value says that it is, to be looked at in its place."""

    value: Any


class _Form(NamedTuple):
    """What an array holds, and its shape."""

    kind: str
    shape: tuple[int, ...]


Parts: TypeAlias = Named | Row | Called | Instead


def parts_of(value: Any) -> Parts | None:
    """Return what a value is made of, None if it is nothing but itself."""
    for look in _LOOKS:
        parts = attempt(look, value)
        if parts is not None and type(parts) is not Unread:
            return parts
    return None


def failure(value: Any) -> Unread | None:
    """Return what kept a value from telling its named parts, None if it has no way to tell them."""
    for look in (_mapping, operator.methodcaller("to_dict")):
        found = attempt(look, value)
        if type(found) is Unread and not isinstance(found.error, AttributeError):
            return found
    return None


def count(parts: Parts | None) -> int:
    """Return how many parts there are."""
    if isinstance(parts, Named):
        return len(parts.pairs)
    return len(parts.items) if isinstance(parts, Row) else 0


# -- mappings --------------------------------------------------------------------------------------


def _mapping(value: Any) -> Named | None:
    is_mapping = isinstance(value, collections.abc.Mapping) or _has(value, "keys", "__getitem__")
    return Named(pairs_of(value)) if is_mapping else None


def pairs_of(value: Any) -> list[Pair]:
    """Return a mapping's parts; one that cannot be read costs itself alone.

    Raises:
        TypeError: none of them can be read.
    """
    looks: list[_Look] = [operator.methodcaller("items")]
    if issubclass(type(value), dict):
        looks.append(dict.items)  # whatever the class overrides
    for look in looks:
        pairs = _read(look, value)
        are_pairs = all(type(p) is tuple and len(p) == 2 for p in pairs.items)  # noqa: PLR2004
        if are_pairs and (pairs.rest is None or isinstance(pairs.rest.error, TooManyError)):
            return pairs.items + _remaining(pairs)
    keys = _read(operator.methodcaller("keys"), value)
    if keys.rest:
        keys = items_of(value)
    if keys.rest and not keys.items:
        raise TypeError(keys.rest.reason)
    return [*_each(value, keys.items), *_remaining(keys)]


def _remaining(found: Found) -> list[Pair]:
    return [("…", found.rest)] if found.rest else []


def _each(value: Any, keys: Iterable[Any]) -> Iterator[Pair]:
    """Yield the parts one by one, where some of them cannot be read."""
    raw: Any = None
    for key in keys:
        found = attempt(operator.getitem, value, key)
        if type(found) is Unread:
            raw = _unresolved(value) if raw is None else raw
            written = attempt(operator.getitem, raw, key)
            found = found if type(written) is Unread else written
        yield key, found


def _unresolved(value: Any) -> Any:
    """Return what a config of OmegaConf holds where it cannot be resolved: ``???``, ``${…}``."""
    omegaconf = sys.modules.get("omegaconf")
    return attempt(omegaconf.OmegaConf.to_container, value, resolve=False) if omegaconf else {}


# -- what says that it is something plainer --------------------------------------------------------


def _converted(value: Any) -> Instead | None:
    """Return what ``to_dict()`` gives, or pydantic's ``model_dump()``, once called ``dict()``."""
    if isinstance(found := _called(value, "to_dict"), collections.abc.Mapping):
        return Instead(found)
    for fields, dump in (("model_fields", "model_dump"), ("__fields__", "dict")):
        if hasattr(type(value), fields) and hasattr(type(value), dump):
            found = _called(value, dump)
            return Instead(_own(value) if type(found) is Unread else found)
    return None


def _called(value: Any, method: str) -> Any:
    return attempt(operator.methodcaller(method), value)


def _own(value: Any) -> dict[str, Any]:
    """Return what a pydantic model holds, its extra values included."""
    extra = getattr(value, "__pydantic_extra__", None)
    return {**vars(value), **(extra if type(extra) is dict else {})}


# -- fields ----------------------------------------------------------------------------------------


def _fields(value: Any) -> Named | None:
    """Return the fields of a named tuple, an attrs class, a dataclass or a msgspec struct.

    One that has not been set yet is left out.
    """
    kind = type(value)
    if names := _field_names(kind):
        return Named(list(_set(value, names)))
    return None


def _field_names(kind: type) -> list[str]:
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return list(kind._fields)
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__]
    if hasattr(kind, "__dataclass_fields__"):
        return list(kind.__dataclass_fields__)
    return list(getattr(kind, "__struct_fields__", ()))


def _set(value: Any, names: Iterable[str]) -> Iterator[Pair]:
    for name in names:
        found = attempt(getattr, value, name)
        if not (type(found) is Unread and isinstance(found.error, AttributeError)):
            yield name, found


def _namespace(value: Any) -> Named | None:
    if any(kind.__name__ in {"Namespace", "SimpleNamespace"} for kind in type(value).__mro__):
        return Named(list(vars(value).items()))
    return None


# -- rows ------------------------------------------------------------------------------------------


def _array(value: Any) -> Parts | None:
    """Return a short array's elements; a long one is named by type and shape."""
    form, listings = _form(value), [name for name in _LISTINGS if hasattr(value, name)]
    if form is None or not form.shape or not listings:
        return None  # one number, or what describes an array and holds none
    if math.prod(form.shape) > LONGEST_ARRAY:
        return Called(f"{form.kind} of shape {form.shape}")
    if listings[0] == "numpy":
        value, listings = value.numpy(), ["tolist"]
    found = _called(value, listings[0])
    return Row(found) if isinstance(found, list) else None


def _form(value: Any) -> _Form | None:
    """Return what an array holds and its shape, None if it is none."""
    if (typecode := getattr(value, "typecode", None)) and hasattr(value, "itemsize"):
        return _Form(f"{typecode!r} array", (len(value),))
    shape = shape_of(value)
    if shape is None or not all(isinstance(length, int) for length in shape):
        return None
    kind = getattr(value, "dtype", None)
    return _Form(kind_of(value) if kind is None else f"{_last(kind)} array", shape)


def _last(kind: Any) -> str:
    return str(kind).rpartition(".")[2]  # torch.float32


def _row(value: Any) -> Parts | None:
    """Return what lists, sets, views and other collections hold."""
    if isinstance(value, range):
        return Row(list(value)) if len(value) <= LONGEST_ARRAY else None
    is_text = isinstance(value, str | bytes | bytearray)
    if is_text or not isinstance(value, collections.abc.Collection) or _form(value):
        return None
    found = items_of(value)
    if found.rest and isinstance(value, collections.abc.Sequence):
        return Row([item for _, item in _each(value, range(min(len(value), MOST)))])
    items = found.items + ([found.rest] if found.rest else [])
    is_view = isinstance(value, collections.abc.MappingView)
    is_set = isinstance(value, collections.abc.Set) and not is_view
    return Row(sorted(items, key=text_of) if is_set else items)


# -- reading ---------------------------------------------------------------------------------------


class Found(NamedTuple):
    """What could be read of something, and why that is not all, if it is not."""

    items: list[Any]
    rest: Unread | None


def items_of(value: Iterable[Any]) -> Found:
    """Return what can be read of a collection."""
    return _read(iter, value)


def _read(look: _Look, value: Any) -> Found:
    items: list[Any] = []
    most = _length(value)
    rest = attempt(lambda: items.extend(islice(look(value), most + 1)))
    if type(rest) is Unread:
        return Found(items, rest)
    if len(items) > most:
        return Found(
            items[:most], Unread(TooManyError(f"only the first {most:,} values are taken"))
        )
    return Found(items, None)


def _length(value: Any) -> int:
    """Return how many values are taken: what says how many it has may be wrong."""
    if type(value) in {dict, list, tuple, set, frozenset}:
        return len(value)
    length = attempt(len, value)
    return LEAST if type(length) is Unread else min(max(length, LEAST), MOST)


def _has(value: Any, *methods: str) -> bool:
    return all(callable(getattr(type(value), method, None)) for method in methods)


_LOOKS: tuple[Callable[[Any], Parts | None], ...] = (
    _array,
    _mapping,
    _converted,
    _fields,
    _namespace,
    _row,
)
