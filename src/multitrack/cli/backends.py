"""`multitrack backends`: what can be reported to, and where each kind of record goes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from multitrack.cli._clients import find_client
from multitrack.cli._commands import UsageError
from multitrack.cli._output import GAP, console, table
from multitrack.trackers import registry
from multitrack.trackers.protocol import RECORD_METHODS, Tracker, Unsupported, describe

KIND_WIDTH = 12
CELL_WIDTH = 32
"""Columns that one backend needs at least in the table of what it holds."""


def list_backends(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Only these backends.")
    ] = None,
) -> None:
    """List the backends, their clients, and where each keeps what is logged."""
    trackers, broken = _load_all(names or registry.names())
    if names and broken:
        raise UsageError(next(iter(broken.values())))
    chosen = list(trackers)
    out = console()
    _print_clients(out, chosen)
    for name, reason in broken.items():
        out.print(Text(f"{name}: {reason}", style="red"))
    in_a_row = max(1, (out.width - KIND_WIDTH) // CELL_WIDTH)
    stores = [name for name in chosen if trackers[name].placement != "source"]
    for start in range(0, len(stores), in_a_row):
        _print_kinds(out, {name: trackers[name] for name in stores[start : start + in_a_row]})


def kind_of(method: str) -> str:
    """Return what a tracker's method stores.

    >>> kind_of("log_params"), kind_of("set_tags")
    ('params', 'tags')
    """
    return method.partition("_")[2]


def cell_of(method: object) -> Text:
    """Return what a tracker's method declares, for a terminal."""
    what = describe(method)
    if isinstance(what, Unsupported):
        return Text(f"{what.gap.value}: {what.reason}", style="yellow")
    return Text(what.replace("`", ""))  # marked up for the documentation


def _load_all(names: Sequence[str]) -> tuple[dict[str, type[Tracker]], dict[str, str]]:
    """Return the trackers, and of those that cannot be loaded the reason."""
    trackers, broken = {}, {}
    for name in names:
        try:
            trackers[name] = registry.load(name)
        except (ImportError, ValueError, TypeError) as error:  # noqa: PERF203 - each for itself
            broken[name] = str(error)
    return trackers, broken


def _print_clients(out: Console, names: Sequence[str]) -> None:
    made = table("backend", "client", "tested with", "install")
    for name in names:
        made.add_row(name, *_client_cells(name))
    out.print(made)


def _client_cells(name: str) -> list[Text | str]:
    client = find_client(name)
    if client is None:
        return ["none needed", "", ""]
    asked = f"{client.name}{client.asked}"
    if client.version is None:
        return [Text("none", style="dim"), asked, client.command]
    return [Text(client.version, style="green"), asked, ""]


def _print_kinds(out: Console, trackers: dict[str, type[Tracker]]) -> None:
    made = table("", *trackers)
    for column in made.columns[1:]:
        column.no_wrap = False
        column.max_width = (out.width - KIND_WIDTH) // len(trackers) - GAP
    for method in RECORD_METHODS:
        cells = [cell_of(getattr(tracker, method)) for tracker in trackers.values()]
        made.add_row(Text(kind_of(method), style="dim"), *cells)
    out.print()
    out.print(made)
