"""`multitrack view`: look at the runs in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multitrack.cli._output import console
from multitrack.trackers.folder import default_directory

if TYPE_CHECKING:
    from multitrack.view.server import Server


def view_runs(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where the runs are: MULTITRACK_DIR, ./multitrack."),
    ] = None,
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where to listen; 0 for any that is free."),
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open a browser; by default where one can be seen."),
    ] = None,
) -> None:
    """Show the runs in a browser: curves, media, artifacts and deliveries, as they come."""
    where = (directory or default_directory()).expanduser().absolute()
    server = _make_server(where, port)
    out = console()
    out.print(f"The runs in {where} are shown at", soft_wrap=True)
    out.print(f"  {server.url}", style="bold", soft_wrap=True)
    out.print("Ctrl-C ends it.", style="dim")
    sys.stdout.flush()
    if _can_be_seen() if browser is None else browser:
        webbrowser.open(server.address_once())
    with suppress(KeyboardInterrupt):
        server.run()


def _make_server(directory: Path, port: int | None) -> Server:
    try:
        from multitrack.view.server import Server
    except ImportError as error:
        raise ImportError(
            f'multitrack view needs {error.name}: pip install "multitrack[view]"'
        ) from error
    return Server(directory, port)


def _can_be_seen() -> bool:
    """Tell whether a person sits here, before a screen."""
    has_screen = sys.platform == "darwin" or any(
        map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))
    )
    return sys.stdout.isatty() and has_screen and "SSH_CONNECTION" not in os.environ
