"""The check of `multitrack doctor` of where a backend's settings lead: key, server, folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from multitrack.cli._finding import Finding, Verdict
from multitrack.cli._output import duration
from multitrack.cli._reach import ask
from multitrack.trackers.access import Access
from multitrack.trackers.redact import redact_text

MOST_SKEW = 60.0
"""Seconds by which a server's clock may differ: beyond, its keys may not count."""
LATER = "see to the network, or HTTPS_PROXY; until then all waits in the journal"
SYNCHRONISE = "synchronise this machine's clock, e.g. with chrony"


def check_access(name: str, access: Access, *, is_wanted: bool) -> Iterator[Finding]:
    """Check a backend's mode, key, server and folder.

    Args:
        name: of the backend.
        access: where its settings lead.
        is_wanted: whether runs report to it, or its variables are set. Else nobody is asked over
            the network without a key, and what is lacking is no fault.
    """
    fault: Verdict = "fault" if is_wanted else "absent"
    yield Finding("ok", f"{name} mode", access.mode)
    if access.key:
        yield Finding("ok", f"{name} key", f"{access.key} (not shown)")
    elif access.remedy:
        yield Finding(fault, f"{name} key", "none was found", access.remedy)
    if access.address and (is_wanted or access.key):
        yield from _check_server(name, access.address, fault)
    if access.folder is not None:
        yield _check_folder(name, access.folder, fault)


def nearest(path: Path) -> Path:
    """Return a path, or the nearest above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def mending(path: Path) -> str:
    """Return what makes a folder writable."""
    return f"chmod u+rwx {shlex.quote(str(path))}"


def _check_server(name: str, address: str, fault: Verdict) -> Iterator[Finding]:
    answer, shown = ask(address), redact_text(address)
    if not answer.is_well:
        yield Finding(fault, f"{name} server", f"{shown} {answer.words}", LATER)
        return
    yield Finding("ok", f"{name} server", f"{shown} {answer.words}")
    if answer.skew is not None and abs(answer.skew) > MOST_SKEW:
        which = "behind" if answer.skew > 0 else "ahead of"
        found = f"this machine's is {duration(abs(answer.skew))} {which} {shown}"
        yield Finding(fault, f"{name} clock", found, SYNCHRONISE)


def _check_folder(name: str, folder: Path, fault: Verdict) -> Finding:
    place = nearest(folder.absolute())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding("ok", f"{name} folder", f"{folder.absolute()} can be written")
    found = f"{folder.absolute()} cannot be written"
    remedy = mending(place) if place.is_dir() else f"{place} is no folder: name another"
    return Finding(fault, f"{name} folder", found, remedy)
