"""Errors of the command line: one clear line, exit code 2, no traceback."""

from __future__ import annotations

from typing import Any

import msgspec
import typer
from rich.text import Text
from typer.core import TyperGroup

from multitrack.cli._output import console
from multitrack.cli._select import NoSuchRunError
from multitrack.migrate.source import SourceError
from multitrack.trackers.history import UnreadableRunError

EXPECTED = (
    NoSuchRunError,
    UnreadableRunError,
    SourceError,
    ImportError,
    OSError,
    msgspec.DecodeError,
)
"""What a person or a disk can cause; anything else is a fault of ours and shows its traceback."""
ERROR = 2


class UsageError(ValueError):
    """A command was given what it cannot take."""


class Commands(TyperGroup):
    """The group of all commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command, and turn what a person can mend into one line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # typer ends quietly when the reader of a pipe is gone
        except (*EXPECTED, UsageError) as error:
            console(stderr=True).print(
                Text.assemble(("Error: ", "red"), str(error)), soft_wrap=True
            )
            raise typer.Exit(ERROR) from None
