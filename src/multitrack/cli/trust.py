"""`multitrack trust`: where runs of other people may go, and which folders are one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from multitrack.cli._commands import UsageError
from multitrack.cli._output import console
from multitrack.trackers import adopt, trust
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.locks import LockedError


def trust_places(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLACE|RUN]...",
            help="An address, a path, or the folder of a run; without any, what is trusted.",
        ),
    ] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Trust them no longer.")] = False,
) -> None:
    """List, add or remove places to which folders of other people may deliver."""
    out = console()
    if not places:
        _list(out)
    for text in places or []:
        run = RunFolder(Path(text).expanduser())
        if run.exists:
            _take(out, run, is_own=not remove)
        elif remove:
            _remove(out, trust.named(text))
        else:
            place = trust.named(text)
            trust.add(place)
            out.print(f"{place} is trusted.", soft_wrap=True)


def _list(out: Console) -> None:
    places = trust.trusted()
    if not places:
        out.print("Nothing is trusted but what this installation recorded itself.")
    for place in places:
        out.print(place, soft_wrap=True)


def _remove(out: Console, place: str) -> None:
    if not trust.remove(place):
        raise UsageError(f"{place} is not trusted; what is: multitrack trust")
    out.print(f"{place} is trusted no longer.", soft_wrap=True)


def _take(out: Console, run: RunFolder, *, is_own: bool) -> None:
    try:
        if is_own:
            adopt.adopt(run)
        else:
            adopt.disown(run)
    except LockedError as error:
        raise UsageError(f"{error}; wait for it") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    out.print(f"{run.path} is {'yours' if is_own else 'yours no longer'}.", soft_wrap=True)
    for backend, place in adopt.places_of(run) if is_own else ():
        out.print(f"  {backend}: {place}", soft_wrap=True)
