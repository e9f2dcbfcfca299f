"""Names: escaped where a backend's character set forbids them, flattened, merged, as paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

LONGEST_COMPONENT = 200
"""Bytes of the longest file name that we make; file systems take 255."""

_ESCAPE = re.compile(r"_x(10[0-9a-f]{4}|[0-9a-f]{1,5})_")
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9a-f])")


def escape(name: str, is_allowed: Callable[[str], bool]) -> str:
    """Return a name in which only allowed characters stand; different names stay different.

    A forbidden character becomes ``_x<hex code>_``. An underscore that could be read as the
    start of such a sequence is escaped too, so that `unescape` always gives the name back.

    Args:
        name: what the user logged.
        is_allowed: whether the backend takes a character.

    >>> escape("hits@10", lambda c: c.isalnum() or c in "_-./ ")
    'hits_x40_10'
    """
    guarded = _LOOKS_ESCAPED.sub("_x5f_", name)
    return "".join(c if is_allowed(c) else f"_x{ord(c):x}_" for c in guarded)


def unescape(name: str) -> str:
    """Return the name that `escape` was given.

    >>> unescape("hits_x40_10")
    'hits@10'
    """
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name)


def flatten(tree: Mapping[str, Any], separator: str = "/") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nested dict with their joined names; lists are leaves.

    No two have one name: `apart` sees to it.

    >>> dict(flatten({"optim": {"lr": 0.1, "betas": [0.9, 0.99]}}))
    {'optim/lr': 0.1, 'optim/betas': [0.9, 0.99]}
    """
    return apart(_leaves(tree, separator))


def _leaves(tree: Mapping[str, Any], separator: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            for name, leaf in _leaves(value, separator):
                yield f"{key}{separator}{name}", leaf
        else:
            yield key, value


def apart(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield values with their names; where a name comes again, the later has a number.

    >>> dict(apart([("lr", 1), ("lr", 2), ("lr", 3)]))
    {'lr': 1, 'lr_2': 2, 'lr_3': 3}
    """
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for name, value in named:
        free = name
        while free in taken:
            numbers[name] = numbers.get(name, 1) + 1
            free = f"{name}_{numbers[name]}"
        taken.add(free)
        yield free, value


def merge(tree: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Add a nested dict to another, in place; later values win.

    >>> params = {"optim": {"name": "adamw", "lr": 0.1}}
    >>> merge(params, {"optim": {"lr": 0.2}})
    >>> params
    {'optim': {'name': 'adamw', 'lr': 0.2}}
    """
    for key, value in later.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            merge(tree[key], value)
        else:
            tree[key] = value


def tag_word(name: str, value: str) -> str:
    """Return a tag as one word, for a backend whose tags have no values.

    >>> tag_word("baseline", ""), tag_word("team", "vision")
    ('baseline', 'team=vision')
    """
    return f"{name}={value}" if value else name


def component(name: str) -> str:
    """Return a name as one component of a path; different names stay different.

    >>> component("a/b"), component("..")
    ('a_x2f_b', '_x2e__x2e_')
    """
    is_dots = not name.strip(".")
    safe = escape(name, lambda c: c.isalnum() or c in " _-+=,@()[]" or (c == "." and not is_dots))
    if safe and len(safe.encode()) <= LONGEST_COMPONENT:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{safe[:50]}-{digest}"
