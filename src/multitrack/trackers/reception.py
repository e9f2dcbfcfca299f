"""What comes with a value, such as its step or metadata: what is odd there costs itself alone."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, cast

from multitrack.trackers import fitting, values
from multitrack.trackers.records import Tree
from multitrack.trackers.redact import redact_text
from multitrack.trackers.texts import ENDING, Unread, attempt, kind_of, reason_of, text_of

P = ParamSpec("P")

NAMING = ("key", "path")
"""Parameters that name what is logged."""


def never_raises(method: Callable[P, None]) -> Callable[P, None]:
    """Turn what a user passed wrongly into a refusal by name: training goes on.

    The name is the user's own where the first parameter is one, else the method's: what else
    was passed may be anything, and is not repeated.

    Args:
        method: of an object that has ``refuse(name, reason)``.
    """
    first = list(inspect.signature(method).parameters)[1]

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except ENDING:
            raise
        except BaseException as error:  # what a user's class raises may be of any kind
            given = args[1] if len(args) > 1 else kwargs.get(first)
            is_name = first in NAMING and issubclass(type(given), str | os.PathLike)
            name = text_of(given) if is_name else method.__name__
            cast("Any", args[0]).refuse(name, because(error))

    return guarded


@contextmanager
def refusing(run: Any, what: str) -> Iterator[None]:
    """Turn what is raised within into a refusal by that name: training goes on.

    Args:
        run: has ``refuse(name, reason)``.
        what: the name.
    """
    try:
        yield
    except ENDING:
        raise
    except BaseException as error:  # what a user's class raises may be of any kind
        run.refuse(what, because(error))


def because(error: BaseException) -> str:
    """Return what was raised as a reason, without secrets."""
    return redact_text(f"{kind_of(error)}: {reason_of(error)}")


def checked_key(key: Any) -> str:
    """Return a name as the journal can hold it.

    Raises:
        ValueError: it names nothing.
        TypeError: it is no text.
    """
    if not issubclass(type(key), str):
        raise TypeError(f"key must be text, not {kind_of(key)}")
    if not key:
        raise ValueError("no name")
    return text_of(key)


class Reception:
    """Takes what comes with a value, and refuses by name what cannot be taken.

    Args:
        refuse: notes a refusal, by name and reason.
        keep: keeps all of what was cut.
    """

    def __init__(
        self, refuse: Callable[[str, str], None], keep: Callable[[fitting.Whole], None]
    ) -> None:
        self._refuse = refuse
        self._keep = keep

    def refuse_all(self, refused: Mapping[str, str], within: str = "") -> None:
        """Refuse several, each for its reason."""
        for name, reason in refused.items():
            self._refuse(within + name, reason)

    def step(self, step: Any) -> int | None:
        """Return a step as an int, None if it is none."""
        number = attempt(values.as_step, step)
        if type(number) is Unread:
            self._refuse("step", reason_of(number.error))
            return None
        return number

    def epoch(self, epoch: Any) -> float | None:
        """Return an epoch as a float, None if it is none."""
        number = attempt(values.as_number, epoch)
        if type(number) is Unread:
            self._refuse("epoch", f"epoch must be a number, not {values.quoted(epoch)}")
            return None
        return float(number)

    def rate(self, key: str, rate: Any) -> int | None:
        """Return a sample rate as an int, None if it is none: a sound file has its own."""
        number = None if rate is None else attempt(values.as_step, rate)
        if type(number) is Unread:
            reason = f"it must be a whole number, not {values.quoted(rate)}"
            self._refuse(f"{text_of(key)}/sample_rate", reason)
            return None
        return number

    def names(self, what: str, given: Any) -> list[str]:
        """Return one name, or several, as a list."""
        taken = attempt(values.take_tags, given)
        if type(taken) is Unread:
            self._refuse(what, reason_of(taken.error))
            return []
        names, refused = taken
        self.refuse_all(refused, f"{what}/")
        return list(names)

    def metadata(self, name: str, metadata: Any) -> Tree:
        """Return what describes an artifact."""
        if metadata is None:
            return {}
        taken = attempt(values.take_tree, metadata, "metadata")
        if type(taken) is Unread:
            self._refuse(name, reason_of(taken.error))
            return {}
        self.refuse_all(taken.refused, f"{name}/")
        fitted = fitting.fit(taken.tree, name)
        for whole in fitted.wholes:
            self._keep(whole)
        if len(fitted.parts) > 1:
            self._refuse(name, f"only its first {fitting.LONGEST_RECORD:,} bytes are kept")
        return fitted.parts[0]
