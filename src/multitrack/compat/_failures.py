"""Give a host the event that it lacks: its training failed."""

from __future__ import annotations

import functools
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
