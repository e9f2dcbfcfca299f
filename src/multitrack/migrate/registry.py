"""Sources by name: the modules of `multitrack.migrate.sources`, loaded when they are asked for."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module, metadata
from typing import cast

from multitrack.migrate import sources
from multitrack.migrate.source import Source, SourceError


@cache
def names() -> tuple[str, ...]:
    """Return the names of all kinds of sources, sorted."""
    found = pkgutil.iter_modules(sources.__path__)
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def load(name: str) -> Source:
    """Return a source; its client is not imported.

    Raises:
        SourceError: no kind has this name; the message lists those that there are.
    """
    if name not in names():
        raise SourceError(f"{name!r} is no known kind; known are {', '.join(names())}.")
    module = import_module(f"{sources.__name__}.{name}")
    for candidate in vars(module).values():
        if isinstance(candidate, type) and getattr(candidate, "name", None) == name:
            return cast("Source", candidate())
    raise TypeError(f"{module.__name__} has no class whose name is {name!r}")


def chosen(kind: str | None = None) -> list[Source]:
    """Return the source of a kind, or all that there are.

    Raises:
        SourceError: no kind has this name.
    """
    return [load(name) for name in ([kind] if kind else names())]


def require(source: Source) -> None:
    """See that a source's client is installed.

    Raises:
        ImportError: it is not; the message has the command.
    """
    if source.distributions and not any(map(_is_installed, source.distributions)):
        raise ImportError(
            f"reading {source.name} needs {source.distributions[0]}, which is not installed: "
            f'pip install "multitrack[{source.extra}]"'
        )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
