"""The user's key, with which this installation signs what it writes about places.

It lies outside all runs' folders. Whoever can write to a run's folder can change what it says,
but not sign it: what bears no signature of this key was written by somebody else.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from multitrack.trackers.folder import FILE_MODE, make_private, read_file

logger = logging.getLogger("multitrack")

VARIABLE = "MULTITRACK_KEY"
"""A text that several machines or containers of one person share, instead of the file."""
NAME = "key"
SIZE = 32


def config_directory() -> Path | None:
    """Return where the key and what is trusted lie; None for a user without a home."""
    if own := os.environ.get("XDG_CONFIG_HOME"):
        return Path(own, "multitrack").absolute()
    try:
        return Path.home().absolute() / ".config" / "multitrack"
    except RuntimeError:
        return None


def sign(*parts: Any) -> str:
    """Return the signature of what can be JSON.

    >>> sign("settings", {"a": 1}) == sign("settings", {"a": 1}) != sign("settings", {"a": 2})
    True
    """
    content = msgspec.json.encode(parts, order="deterministic")
    return hmac.new(_user_key(), content, hashlib.sha256).hexdigest()


def is_signed(seal: object, *parts: Any) -> bool:
    """Tell whether a signature is this user's, of just this.

    >>> is_signed(sign("a"), "a"), is_signed(sign("a"), "b"), is_signed(None, "a")
    (True, False, False)
    """
    if not (isinstance(seal, str) and seal.isascii()):
        return False
    return hmac.compare_digest(seal, sign(*parts))


def to_hand_on() -> dict[str, str]:
    """Return the variable that a process of ours needs to have the same key, if it needs one."""
    if os.environ.get(VARIABLE) or _stored_key():
        return {}
    return {VARIABLE: _text_of_this_process()}


def _user_key() -> bytes:
    if text := os.environ.get(VARIABLE):
        return _digest(text)
    return _stored_key() or _digest(_text_of_this_process())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


@cache
def _text_of_this_process() -> str:
    """Return a key that is kept nowhere: what it signs is foreign to every later process."""
    logger.info("there is no place for a key: what this process writes, it alone will trust")
    return secrets.token_hex(SIZE)


def _stored_key() -> bytes | None:
    """Return the key of the user's file, which is made if there is none; None if it cannot be."""
    directory = config_directory()
    if directory is None:
        return None
    path = directory / NAME
    try:
        if not path.exists():
            _make(path)
        content = read_file(path)
    except OSError as error:
        logger.info("the key %s cannot be used: %s", path, error)
        return None
    return content if len(content) >= SIZE else None


def _make(path: Path) -> None:
    """Make the key, whole or not at all; of several processes at once, the first one's stays."""
    make_private(path.parent)
    whole = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SIZE))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            _place(whole, path)
    finally:
        whole.unlink(missing_ok=True)


def _place(whole: Path, path: Path) -> None:
    """Give a file its name, unless another has it: by a link, where there are links."""
    try:
        path.hardlink_to(whole)
    except FileExistsError:
        raise
    except OSError:
        whole.replace(path)
