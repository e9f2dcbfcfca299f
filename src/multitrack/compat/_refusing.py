"""What the hosts' loggers share: nothing that they are given raises into training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec

from multitrack.trackers.run import Run
from multitrack.trackers.texts import Unread, attempt, text_of

P = ParamSpec("P")


def refusing(method: Callable[P, None]) -> Callable[P, None]:
    """Turn what a logger was given wrongly into a refusal by its name; the logger has a ``run``."""

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        done = attempt(method, *args, **kwargs)
        if type(done) is Unread:
            logger, *given = args
            run: Run | None = getattr(logger, "run", None)
            is_named = given and isinstance(given[0], str)
            if run is not None:
                run.refuse(str(given[0]) if is_named else method.__name__, done.reason)

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
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    run.log({name: row[name] for name in row if name not in texts}, step, epoch)
    for name, text in texts.items():
        run.log_text(name, text, step)
