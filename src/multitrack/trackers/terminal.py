"""Text of others, made safe for a terminal: it can be read, and commands nothing."""

from __future__ import annotations

import re

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of writing."""


def harmless(text: str) -> str:
    r"""Return text without what a terminal would obey instead of showing.

    >>> harmless("loss\x1b[2J")
    'loss[2J'
    """
    return _COMMANDS.sub("", text)


def escaped(text: str) -> str:
    r"""Return the text of a JSON document with such characters as escapes: nothing is lost.

    >>> escaped('"\x9b2J"')
    '"\\u009b2J"'
    """
    return _COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
