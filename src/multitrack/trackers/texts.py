"""What any value is called: its text, its type, an error's reason; whatever the value does.

Nothing here raises, but for what ends a program: a class of a user's may raise in every method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar, final

P = ParamSpec("P")
T = TypeVar("T")

ENDING = (KeyboardInterrupt, SystemExit)
"""What goes through wherever a user's value is looked at: somebody wants the program to end."""
LONGEST_REASON = 2_000
"""Characters of an error's message that are kept."""

_NAME = type.__dict__["__name__"].__get__  # a metaclass may say something else, or raise


@final
class Unread(NamedTuple):
    """Stands where something raised, or could not be read.

    It is known by ``type(value) is Unread``: a user's value may raise when ``isinstance`` asks it.
    """

    error: BaseException

    @property
    def reason(self) -> str:
        """Why, as one line."""
        return f"it could not be read: {reason_of(self.error)}"


def attempt(look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Unread:
    """Return what a call gives, or what it raised: a user's class may raise anything.

    >>> attempt(int, "x").reason
    "it could not be read: invalid literal for int() with base 10: 'x'"
    """
    try:
        return look(*args, **kwargs)
    except ENDING:
        raise
    except BaseException as error:
        return Unread(error)


def kind_of(value: Any) -> str:
    """Return the name of a value's type.

    >>> kind_of([1])
    'list'
    """
    name: str = _NAME(type(value))
    return name


def text_of(value: Any) -> str:
    """Return a value's ``str``, else its ``repr``, else the name of its type.

    >>> text_of(0.5)
    '0.5'
    """
    for describe in (str, repr):
        text = attempt(describe, value)
        if isinstance(text, str):
            return clean(str.__str__(text))
    return kind_of(value)


def clean(text: str) -> str:
    """Return a text as UTF-8 can hold it: lone surrogates, as in odd file names, become escapes."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def shorten(text: str, limit: int) -> str:
    """Return a text; of a long one its beginning, and how long it is.

    >>> shorten("x" * 50, 5)
    'xxxxx… (50 characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def reason_of(error: BaseException) -> str:
    """Return an error's message, its first line; else its type.

    >>> reason_of(ValueError("no"))
    'no'
    """
    lines = text_of(error).splitlines()
    return shorten(lines[0], LONGEST_REASON) if lines and lines[0] else kind_of(error)
