"""YAML as training programs write it: what it names of Python becomes plain values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from multitrack.migrate.rows.text import encoding_of
from multitrack.migrate.source import SourceError

LARGEST = 16 << 20
"""Bytes that a file may have."""
OFFICIAL = "tag:yaml.org,2002:"
MOST = 1_000_000
"""Values that a file may unfold to: references in it multiply."""


def load_yaml(path: Path) -> Any:
    """Return the document in a file.

    Raises:
        SourceError: it cannot be read; the message says why, or what to install.
    """
    loader = _loader()
    if path.stat().st_size > LARGEST:
        raise SourceError(f"{path} has more than {LARGEST:,} bytes")
    import yaml

    try:
        found = yaml.load(path.read_text(encoding=encoding_of(path)), loader)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SourceError(f"{path} is no YAML: {error}") from None
    if _exceeds(found, MOST):
        raise SourceError(f"{path} unfolds to more than {MOST:,} values")
    return found


@cache
def _loader() -> Any:
    """Return a loader that makes plain values of all tags.

    Raises:
        SourceError: PyYAML is not installed; the message has the command.
    """
    try:
        import yaml
    except ImportError:
        raise SourceError(
            'it needs PyYAML, which is not installed: pip install "multitrack[migrate]"'
        ) from None

    class Loader(yaml.SafeLoader):
        pass

    def plain(loader: Any, tag: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node) or tag.removeprefix(OFFICIAL)

    Loader.add_multi_constructor("", plain)
    return Loader


def _exceeds(document: Any, most: int) -> bool:
    """Tell whether a document has more values than that, each counted as often as it is named."""
    waiting, count = [document], 0
    while waiting and count <= most:
        value = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list | tuple):
            count += len(value) + 1
            waiting.extend(inner)
    return count > most
