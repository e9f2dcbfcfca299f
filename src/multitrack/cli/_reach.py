"""Whether an address answers: asked without a client, in bounded time."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from multitrack.trackers.bounded import call_within

TIMEOUT = 3.0
"""Seconds that an address gets."""
SERVER_ERROR = 500


class Answer(NamedTuple):
    """What came of asking an address.

    Attributes:
        is_well: whether it answered, and not that it is out of order.
        words: what came, as a few words.
        skew: seconds by which its clock is ahead of ours, None if it did not say.
    """

    is_well: bool
    words: str
    skew: float | None = None


def ask(address: str, timeout: float = TIMEOUT) -> Answer:
    """Return what a server answers: any answer will do, for what is asked here needs no key.

    Args:
        address: a URL of HTTP, or ``scheme://host:port``; credentials in it are not sent.
        timeout: seconds that it gets.
    """
    parts = urlsplit(address)
    knock = _request if parts.scheme in {"http", "https"} else _connect
    began = time.monotonic()
    try:
        answer = call_within(timeout, knock, parts, timeout)
    except TimeoutError:
        return Answer(is_well=False, words=f"does not answer within {timeout:g} s")
    except (OSError, ValueError, HTTPException) as error:
        return Answer(is_well=False, words=f"cannot be reached: {_why(error)}")
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    return answer._replace(words=f"{answer.words} in {took}")


def _connect(parts: SplitResult, timeout: float) -> Answer:
    if parts.port is None:
        raise ValueError("it names no port")
    socket.create_connection((parts.hostname or "", parts.port), timeout).close()
    return Answer(is_well=True, words="answers")


def _request(parts: SplitResult, timeout: float) -> Answer:
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    headers = {"User-Agent": "multitrack"}
    request = urllib.request.Request(bare, headers=headers)  # noqa: S310 - ask() looked
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(request, timeout=timeout) as response:
            status, told = response.status, response.headers
    except urllib.error.HTTPError as error:  # an answer, too
        status, told = error.code, error.headers
    is_well = status < SERVER_ERROR
    return Answer(is_well, "answers" if is_well else f"answers {status}", _skew(told))


class _Stay(urllib.request.HTTPRedirectHandler):
    """Take a redirection for the answer that it is."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return None: nowhere."""


def _skew(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp() - time.time()
    except (KeyError, TypeError, ValueError):
        return None


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason)
