"""Where a backend is, and what lets one in, as its settings say: no client is needed for it."""

from __future__ import annotations

import netrc
import os
import re
from pathlib import Path

import msgspec


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Where an adapter's settings lead.

    Attributes:
        mode: in a word or two: ``"online"``, ``"offline"``, ``"disabled"``.
        address: what must answer: a URL, or ``scheme://host:port``; None if nothing must.
        folder: what must be writable; None if nothing must.
        key: where a key, token or password was found, in words, never its value.
        remedy: what to type or do where there is no key; empty if none is needed.

    Example:
        >>> Access(mode="online", address="https://shelf.example", key="SHELF_KEY", remedy="…")
        Access(mode='online', address='https://shelf.example', key='SHELF_KEY', remedy='…')
    """

    mode: str = "local"
    address: str | None = None
    folder: Path | None = None
    key: str | None = None
    remedy: str = ""


def in_netrc(host: str, path: Path | None = None) -> str | None:
    """Return the netrc file in which a host has a password, None if there is none.

    Args:
        host: as in ``api.wandb.ai``.
        path: of the file; ``NETRC``, else ``~/.netrc``, if None.
    """
    file = path or Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        known = netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError):
        return None
    return str(file) if host in known else None


def in_file(path: Path, pattern: str = "") -> str | None:
    """Return the path of a file in which a regular expression is found, None if it is not."""
    try:
        text = path.expanduser().read_text("utf-8", errors="replace")
    except OSError:
        return None
    return str(path) if re.search(pattern, text) else None
