"""Sources by name: the modules of `multitrack.migrate.sources`, loaded when they are asked for."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
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


def choose(location: str, kind: str | None = None) -> Source:
    """Return the source that reads a store.

    Args:
        location: a path or an address.
        kind: the name of the source; found out by the store's look if None.

    Raises:
        SourceError: there is nothing at the path, no kind has this name, or none or several
            recognize the store.
        ImportError: the client is not installed; the message has the command.
    """
    if "://" not in location and not Path(location).expanduser().exists():
        raise SourceError(f"there is nothing at {location}; name a file, a folder or an address.")
    source = load(kind) if kind else _recognize(location)
    require(source)
    return source


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


def _recognize(location: str) -> Source:
    found = [source for source in map(load, names()) if source.recognizes(location)]
    if len(found) == 1:
        return found[0]
    said = (
        f"looks like {', '.join(s.name for s in found)}" if found else "is no store that is known"
    )
    raise SourceError(f"{location} {said}; say what it is: --from {'|'.join(names())}")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
