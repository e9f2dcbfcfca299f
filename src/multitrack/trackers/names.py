"""Names that a backend's character set forbids: escaped so that nothing is merged or lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_ESCAPE = re.compile(r"_x([0-9a-f]{1,6})_")
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

    >>> dict(flatten({"optim": {"lr": 0.1, "betas": [0.9, 0.99]}}))
    {'optim/lr': 0.1, 'optim/betas': [0.9, 0.99]}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            for name, leaf in flatten(value, separator):
                yield f"{key}{separator}{name}", leaf
        else:
            yield key, value
