"""What the hosts' loggers share: nothing that they are given raises into training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec

from multitrack.trackers.run import Run
from multitrack.trackers.structure import pairs_of
from multitrack.trackers.texts import Unread, attempt, text_of

P = ParamSpec("P")


def refusing(method: Callable[P, None]) -> Callable[P, None]:
    """Turn what a logger was given wrongly into a refusal by its name; the logger has a ``run``.

    What keeps the run from beginning is raised: it is a mistake in its options.
    """

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        done = attempt(method, *args, **kwargs)
        if type(done) is Unread:
            logger, *given = args
            run: Run | None = getattr(logger, "run", None)
            if run is None:
                raise done.error
            is_named = given and _is_text(given[0])
            run.refuse(text_of(given[0]) if is_named else method.__name__, done.reason)

    return guarded


def only(
    run: Run, method: str, options: Mapping[str, Any], known: Collection[str]
) -> dict[str, Any]:
    """Return the options that a method knows; another is refused by name, what it is for is not."""
    for name in options:
        if name not in known:
            run.refuse(f"{method}({text_of(name)}=)", "no such option here; the rest was logged")
    return {name: options[name] for name in options if name in known}


def log_row(run: Run, row: Mapping[str, Any], step: Any = None, epoch: float | None = None) -> None:
    """Log numbers, and texts among them, of one step."""
    pairs = pairs_of(row)
    run.log({name: value for name, value in pairs if not _is_text(value)}, step, epoch)
    for name, text in pairs:
        if _is_text(text):
            run.log_text(text_of(name), text, step)


def _is_text(value: Any) -> bool:
    return issubclass(type(value), str)  # a user's value may raise when isinstance asks it
