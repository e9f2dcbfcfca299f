"""Backends by name: found lazily, checked before training starts.

Our own are the modules of `multitrack.trackers.backends`; others are entry points of the group
``multitrack.trackers``, whose name is the backend's and whose object is its Tracker class. A
module or an entry point is loaded only when its backend is named.
"""

from __future__ import annotations

import logging
import os
import pkgutil
import re
import shutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module, metadata

from multitrack.trackers import backends
from multitrack.trackers.protocol import METHODS, Tracker

logger = logging.getLogger("multitrack")

GROUP = "multitrack.trackers"
ALIASES = {"azure_ml": "azureml", "comet_ml": "comet"}
"""Names that transformers gives to backends, and ours."""


def names() -> list[str]:
    """Return the names of all known backends, sorted."""
    return sorted(set(_built_in()) | {point.name for point in _entry_points()})


def canonical(name: str) -> str:
    """Return the name of a backend that may be given by an alias.

    >>> canonical("comet_ml"), canonical("mlflow")
    ('comet', 'mlflow')
    """
    return ALIASES.get(name, name)


def is_known(name: str | None) -> bool:
    """Tell whether a name, or an alias, is that of a backend.

    >>> is_known("comet_ml"), is_known("kubeflow")
    (True, False)
    """
    return name is not None and canonical(name) in names()


def is_built_in(name: str) -> bool:
    """Tell whether a backend is one of ours: nothing of a third party is loaded for it.

    >>> is_built_in("mlflow"), is_built_in("somebody-elses")
    (True, False)
    """
    return canonical(name) in _built_in()


def load(name: str) -> type[Tracker]:
    """Return the Tracker class of a backend; its client is not imported.

    Raises:
        ValueError: no backend has this name; the message lists those that there are.
        TypeError: a third-party entry point does not give a Tracker class.
        ImportError: a third-party entry point cannot be loaded; the message names its package.
    """
    name = canonical(name)
    if name in _built_in():
        return _class_of(import_module(f"{backends.__name__}.{name}").__dict__.values(), name)
    for point in _entry_points():
        if point.name == name:
            return _class_of([_loaded(point)], name)
    raise ValueError(f"{name!r} is no known backend; known are {', '.join(names())}.")


def client_version(name: str) -> str | None:
    """Return the version of a backend's client, None if none is installed.

    Raises:
        ValueError: no backend has this name.
    """
    versions = (_version(distribution) for distribution in load(name).distributions)
    return next((version for version in versions if version), None)


def is_installed(name: str) -> bool:
    """Tell whether a backend's client is installed, without importing it.

    Raises:
        ValueError: no backend has this name.
    """
    return not load(name).distributions or client_version(name) is not None


def install_command(name: str) -> str:
    """Return what to type to get a backend's client; one that needs none is its own package."""
    name = canonical(name)
    if name in _built_in():
        return f'pip install "multitrack[{name}]"'
    packages = [_package(point) for point in _entry_points() if point.name == name]
    return f"pip install {[*load(name).distributions, *packages][0]}"


def resolve(report_to: str | Iterable[str] | None) -> list[str]:
    """Return the backends that ``report_to`` names, each once, in order.

    Args:
        report_to: a name, several names, ``"all"`` (every backend whose client is installed;
            one of a third party that cannot be loaded is left out, with a warning), ``"none"``
            or nothing. None reads ``MULTITRACK_REPORT_TO``, names separated by commas.

    Raises:
        ValueError: a name is unknown, or ``"all"`` or ``"none"`` stands beside others.
        ImportError: a named backend's client is not installed, and the message has the command;
            or its adapter, a third party's, cannot be loaded.

    >>> resolve("none")
    []
    """
    asked = _asked(report_to)
    if asked in ([], ["none"]):
        return []
    if asked == ["all"]:
        return [name for name in names() if _is_usable(name)]
    for word in ("all", "none"):
        if word in asked:
            raise ValueError(f"report_to: {word!r} stands alone, not beside other names.")
    chosen = list(dict.fromkeys(canonical(name) for name in asked))
    for name in chosen:
        require(name)
    return chosen


def require(name: str) -> type[Tracker]:
    """Return a backend's Tracker class, or say how to install its client.

    Raises:
        ValueError: no backend has this name, or the interpreter that is named for it is none.
        ImportError: its client is not installed.
    """
    tracker = load(name)
    if python := os.environ.get(python_variable(name)):
        if not shutil.which(python):
            raise ValueError(
                f"{python_variable(name)} holds {python!r}; allowed: a Python interpreter that "
                f"has multitrack and the client."
            )
    elif not is_installed(name):
        raise ImportError(
            f"report_to={name!r} needs {tracker.distributions[0]}, which is not installed: "
            f"{install_command(name)}"
        )
    return tracker


def python_variable(name: str) -> str:
    """Return the variable that names the interpreter of a backend's courier.

    >>> python_variable("mlflow")
    'MULTITRACK_PYTHON_MLFLOW'
    """
    return f"MULTITRACK_PYTHON_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"


def _asked(report_to: str | Iterable[str] | None) -> list[str]:
    if report_to is None:
        report_to = os.environ.get("MULTITRACK_REPORT_TO", "").split(",")
    elif not isinstance(report_to, Iterable) or isinstance(report_to, str):
        report_to = [report_to]
    asked = list(report_to)
    for name in asked:
        if not isinstance(name, str):
            raise ValueError(f"report_to takes names of backends, not {name!r}.")  # noqa: TRY004
    return [name.strip() for name in asked if name.strip()]


@cache
def _built_in() -> tuple[str, ...]:
    found = pkgutil.iter_modules(backends.__path__)
    return tuple(module.name for module in found if not module.name.startswith("_"))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _entry_points() -> Iterable[metadata.EntryPoint]:
    return metadata.entry_points(group=GROUP)


def _package(point: metadata.EntryPoint) -> str:
    """Return the package that declares an entry point."""
    return point.dist.name if point.dist else point.value.partition(":")[0]


def _loaded(point: metadata.EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # whatever a third party's module raises
        raise ImportError(
            f"the backend {point.name!r} cannot be loaded: {point.value} of the package "
            f"{_package(point)} raised {type(error).__name__}: {error}. "
            f"Update that package, or remove it: pip uninstall {_package(point)}"
        ) from error


def _is_usable(name: str) -> bool:
    """Tell whether ``"all"`` takes a backend in; what a third party broke is warned about."""
    try:
        return is_installed(name)
    except (ImportError, TypeError) as error:
        logger.warning("left out of report_to='all': %s", error)
        return False


def _class_of(candidates: Iterable[object], name: str) -> type[Tracker]:
    for candidate in candidates:
        if isinstance(candidate, type) and getattr(candidate, "name", None) == name:
            if missing := [method for method in METHODS if not hasattr(candidate, method)]:
                raise TypeError(f"{candidate.__qualname__} lacks {', '.join(missing)}")
            return candidate
    raise TypeError(f"the backend {name!r} gives no Tracker class whose name is {name!r}")
