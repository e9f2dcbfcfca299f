"""Give a host the events that it lacks: its training begins, its training failed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def announce_failures(host: type, method: str, tell: Callable[[Any, BaseException], None]) -> None:
    """Wrap a method of a host's class, once, so that an exception that leaves it is told first.

    Args:
        host: the class.
        method: the name of its method that trains.
        tell: gets the host's object and the exception.
    """
    train = getattr(host, method)
    if getattr(train, "announces", None) == (host, tell):
        return

    @functools.wraps(train)
    def announcing(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return train(self, *args, **kwargs)
        except BaseException as error:
            tell(self, error)
            raise

    announcing.__dict__["announces"] = (host, tell)
    setattr(host, method, announcing)


def announce_starts(host: type, method: str, tell: Callable[[Any, dict[str, Any]], None]) -> None:
    """Wrap a method of a host's class, once, so that a call of it is told before it begins.

    Args:
        host: the class.
        method: the name of its method that trains.
        tell: gets the host's object and what the method is given, by name.
    """
    train = getattr(host, method)
    if getattr(train, "announces_starts", None) == (host, tell):
        return
    signature = inspect.signature(train)

    @functools.wraps(train)
    def announcing(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError:  # which the method says better
            return train(self, *args, **kwargs)
        tell(self, given)
        return train(self, *args, **kwargs)

    announcing.__dict__["announces_starts"] = (host, tell)
    setattr(host, method, announcing)
