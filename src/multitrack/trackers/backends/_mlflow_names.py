"""Names and texts as MLflow takes them: keys of metrics, params and tags; paths of artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from multitrack.trackers.names import escape
from multitrack.trackers.records import Tree

PARAMS, SUMMARY = "params/", "summary/"
"""Where we keep what MLflow has no place for: tags, and for SUMMARY metrics too."""
KEY_LIMIT = 250
"""Characters that a key may have."""

PARAM_LIMIT, TAG_LIMIT = 6000, 5000
"""Characters that a value may have; later releases take tags of 8000."""

_PUNCTUATION = frozenset("_-. /:")
_UNFIT_FOR_PATHS = frozenset("\\#?%:*|<>\"',[]{}")
"""What a server, a URL or ``mlflow.load_table`` would not take in a path."""
_UNFIT_FOR_IMAGES = _UNFIT_FOR_PATHS | {"+", "~"}
"""MLflow's own marks in the file names of pictures, too."""

_NOT_ASCII = re.compile(r"[^\x20-\x7e]")
_LOST_SLASH = re.compile(r"(?<![^/])/|/\Z")
_EDGES = re.compile(r"(?:\A|(?<=/)) +| +(?=/|\Z)")
_LOST_DOTS = re.compile(r"(?<![^/])\.{1,2}(?![^/])|\A\.(?=\.)")


@lru_cache(maxsize=4096)
def key(name: str, under: str = "") -> str:
    """Return the key that stands for a name; different names have different keys.

    Args:
        name: what the user logged.
        under: one of our own prefixes, to put before it.

    Raises:
        ValueError: no key can stand for it.

    >>> key("hits@10"), key("a//b"), key("summary/x"), key("x", SUMMARY)
    ('hits_x40_10', 'a/_x2f_b', '_x73_ummary/x', 'summary/x')
    """
    if not name:
        raise ValueError("MLflow stores nothing without a name")
    inner = _tidy(escape(name, lambda c: c.isalnum() or c in _PUNCTUATION))
    if not under and inner.startswith((PARAMS, SUMMARY)):
        inner = _code(inner[0]) + inner[1:]
    if len(inner) > KEY_LIMIT - len(under):
        raise ValueError(f"MLflow takes at most {KEY_LIMIT - len(under)} characters for a name")
    return under + inner


def keys(
    items: Iterable[tuple[str, Any]], refused: dict[str, str], under: str = ""
) -> dict[str, Any]:
    """Return values by the keys of their names.

    Args:
        items: names and values.
        refused: gets the reason for each name that no key can stand for.
        under: one of our own prefixes, to put before each.
    """
    found: dict[str, Any] = {}
    for name, value in items:
        try:
            chosen = key(name, under)
        except ValueError as error:  # noqa: PERF203 - the others shall not be lost with it
            refused[name] = str(error)
        else:
            if chosen in found:
                refused[name] = "two values have this name"
            found.setdefault(chosen, value)
    return found


def flatten_groups(tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yield what lies in a tree's groups, and what lies beside them, nested values as they are.

    >>> dict(flatten_groups({"seed": 1, "model": {"rope": {"theta": 1e4}}}))
    {'seed': 1, 'model/rope': {'theta': 10000.0}}
    """
    for group, value in tree.items():
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                yield f"{group}/{name}", inner
        else:
            yield group, value


def path(name: str) -> str:
    """Return the path that stands for a name; it leads nowhere but down.

    >>> path("samples/epoch=3.txt"), path("../a?")
    ('samples/epoch=3.txt', '_x2e__x2e_/a_x3f_')
    """
    return _with_edges(_tidy(escape(name, lambda c: c.isprintable() and c not in _UNFIT_FOR_PATHS)))


def file_path(name: str) -> str:
    """Return the path of a file; many servers cannot hand out a file whose name is not ASCII.

    >>> file_path("données/spaced name ✓.txt")
    'données/spaced name _x2713_.txt'
    """
    folder, slash, last = path(name).rpartition("/")
    return folder + slash + _NOT_ASCII.sub(lambda character: _code(character[0]), last)


def image_key(name: str) -> str:
    """Return the start of a picture's file name, in which MLflow reads ``~`` as a slash.

    >>> image_key("eval/a~b")
    'eval~a_x7e_b'
    """
    safe = escape(name, lambda c: " " <= c <= "~" and c not in _UNFIT_FOR_IMAGES)
    return _with_edges(safe).replace("/", "~")


def shorten(text: str, limit: int) -> str:
    """Return a text that fits, with a mark that tells how much is missing.

    >>> shorten("x" * 6001, PARAM_LIMIT)[-52:]
    " … [6001 characters in all: see the run's artifacts]"
    """
    if len(text) <= limit:
        return text
    mark = f" … [{len(text)} characters in all: see the run's artifacts]"
    return text[: limit - len(mark)] + mark


def _tidy(name: str) -> str:
    """Escape what would resolve to another path: empty parts, ``.`` and ``..``."""
    name = _LOST_SLASH.sub(_code("/"), name)
    return _LOST_DOTS.sub(lambda dots: _code(".") * len(dots[0]), name)


def _with_edges(path: str) -> str:
    """Escape the spaces at the ends of a path's parts, which do not survive a URL."""
    return _EDGES.sub(lambda spaces: _code(" ") * len(spaces[0]), path)


def _code(character: str) -> str:
    return f"_x{ord(character):x}_"
