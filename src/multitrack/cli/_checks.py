"""The checks of `multitrack doctor`: each says what it found, and how to mend a fault."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from multitrack.cli._access import SYNCHRONISE, check_access, mending, nearest
from multitrack.cli._clients import PACKAGE, Client, find_client
from multitrack.cli._finding import Finding
from multitrack.trackers import registry
from multitrack.trackers.redact import redact_text
from multitrack.trackers.settings import Variable, load, variables

MOST_SKEW = 5.0
"""Seconds by which the clock of a file server may differ."""


def check_python() -> Finding:
    """Check the interpreter against the package's range."""
    asked = SpecifierSet(metadata.metadata(PACKAGE)["Requires-Python"] or "")
    version = platform.python_version()
    found = f"{version} (needs {asked}), multitrack {metadata.version(PACKAGE)}"
    if asked.contains(version, prereleases=True):
        return Finding("ok", "python", found)
    return Finding("fault", "python", found, f"install Python {asked}")


def check_directory(directory: Path) -> Iterator[Finding]:
    """Check that runs can be written and locked, and that the file server's clock is right."""
    existing = nearest(directory)
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".multitrack-") as file:
            now = time.time()
            file.write(b"x")
            file.flush()
            skew = os.fstat(file.fileno()).st_mtime - now
            can_lock = _can_lock(file.fileno())
    except OSError as error:
        remedy = f"{mending(existing)}, or name another directory with MULTITRACK_DIR"
        yield Finding("fault", "directory", f"{directory} cannot be written: {error}", remedy)
        return
    yield Finding("ok", "directory", f"{directory} can be written")
    if can_lock:
        yield Finding("ok", "locks", "files can be locked there")
    else:
        remedy = "name a directory on another file system with MULTITRACK_DIR"
        yield Finding("fault", "locks", "its file system has no locks", remedy)
    found = f"the file system's is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) <= MOST_SKEW:
        yield Finding("ok", "clock", found)
    else:
        yield Finding("fault", "clock", found, SYNCHRONISE)


def check_report_to() -> Finding:
    """Check the backends that runs report to when their code names none."""
    try:
        names = registry.resolve(None)
    except (ImportError, ValueError, TypeError) as error:
        remedy = "correct or unset MULTITRACK_REPORT_TO, or install what it names"
        return Finding("fault", "report_to", str(error), remedy)
    nothing = "nothing, unless the code names a backend: MULTITRACK_REPORT_TO is not set"
    return Finding("ok", "report_to", ", ".join(names) or nothing)


def check_backend(name: str, *, is_wanted: bool) -> Iterator[Finding]:
    """Check a backend's client and settings, and whether they lead anywhere.

    Args:
        name: of the backend.
        is_wanted: whether runs report to it. Then what it lacks is a fault.
    """
    try:
        settings_type = registry.load(name).settings_type
        client = find_client(name)
    except Exception as error:  # whatever a third party's module raises
        yield Finding("fault", name, str(error))
        return
    yield _check_client(name, client) if client else Finding("ok", name, "needs no client")
    if client and not client.version:
        return
    given = [
        (variable, source)
        for variable in variables(settings_type)
        for source in variable.env.names
        if os.environ.get(source)
    ]
    try:
        access = load(settings_type).access()
    except Exception as error:
        yield Finding("fault", f"{name} settings", str(error), "correct or unset that variable")
        return
    if given:
        shown = ", ".join(_show(variable, source) for variable, source in given)
        yield Finding("ok", f"{name} settings", shown)
    yield from check_access(name, access, is_wanted=is_wanted or bool(given))


def _check_client(name: str, client: Client) -> Finding:
    asked = f"{client.name}{client.asked}"
    if client.version is None:
        return Finding("absent", name, f"{asked} is not installed", client.command)
    if not client.is_in_range:
        found = f"{client.name} {client.version} is installed, multitrack needs {asked}"
        return Finding("fault", name, found, f"{client.command} --upgrade")
    return Finding("ok", name, f"{client.name} {client.version} (needs {client.asked or 'any'})")


def _show(variable: Variable, source: str) -> str:
    """Return a variable with its value, unless that is a secret."""
    if variable.is_secret:
        return f"{source} is set (not shown)"
    return f"{source}={redact_text(os.environ[source])}"


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
