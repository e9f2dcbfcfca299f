"""`multitrack runs`: what was recorded, and how far each run was delivered."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from multitrack.cli._output import (
    NOTHING,
    STATUS_STYLES,
    console,
    duration,
    moment,
    number,
    plural,
    print_lines,
    write_json,
)
from multitrack.cli._select import short_id
from multitrack.trackers.folder import RunFolder, default_directory, find_runs
from multitrack.trackers.history import Glance, UnreadableRunError, glance
from multitrack.trackers.standing import Standing, standing

COLUMNS = ("run", "name", "status", "started", "took", "steps", "delivery")
WIDE = 110
"""Columns from which on ids, times and backends are shown in full."""


def list_runs(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where the runs are: MULTITRACK_DIR, ./multitrack."),
    ] = None,
    *,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, help="How many, the newest first; 0 for all.")
    ] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List the recorded runs, the newest first."""
    where = directory or default_directory()
    found = find_runs(where)
    chosen = found[-last:][::-1]
    if as_json:
        write_json([_as_json(folder) for folder in chosen])
        return
    out = console()
    if not found:
        out.print(f"No runs in {where}.", soft_wrap=True)
        return
    _print_table(out, chosen)
    if len(found) > len(chosen):
        left = plural(len(found) - len(chosen), "older run")
        out.print(f"\n{left} in {where}: --last 0 lists all.", style="dim", soft_wrap=True)


def standings(seen: Glance) -> list[Standing]:
    """Return how far each backend of a run is."""
    return [
        standing(seen.folder, backend, state, size=seen.size, status=seen.status)
        for backend, state in seen.couriers.items()
    ]


def status_text(status: str) -> Text:
    """Return a run's status in its colour."""
    return Text(status, style=STATUS_STYLES[status])


def run_seconds(seen: Glance) -> float:
    """Return how long a run took, or has been going on."""
    end = time.time() if seen.status == "running" else seen.updated
    return end - seen.header.time


def _print_table(out: Console, folders: list[RunFolder]) -> None:
    is_wide = out.width >= WIDE
    rows = [_row(folder, is_wide=is_wide) for folder in folders]
    print_lines(out, COLUMNS, rows, numbers=("took", "steps"), cut="name")


def _row(folder: RunFolder, *, is_wide: bool) -> list[Text | str]:
    run_id = folder.run_id if is_wide else short_id(folder.run_id)
    try:
        seen = glance(folder)
    except (UnreadableRunError, OSError):
        return [run_id, NOTHING, status_text("unreadable"), *[NOTHING] * 4]
    header = seen.header
    return [
        run_id,
        "/".join(part for part in (header.project, header.name) if part) or NOTHING,
        status_text(seen.status),
        moment(header.time, with_time=is_wide),
        duration(run_seconds(seen)),
        NOTHING if seen.last_step is None else number(seen.last_step),
        _delivery(standings(seen), with_backend=is_wide),
    ]


def _delivery(all_of_them: list[Standing], *, with_backend: bool) -> Text:
    """Return how many backends hold everything, and what the worst of the others does."""
    if not all_of_them:
        return Text(NOTHING, style="dim")
    open_ones = [one for one in all_of_them if not one.is_complete]
    count = f"{len(all_of_them) - len(open_ones)}/{len(all_of_them)}"
    if not open_ones:
        return Text(count, style="green")
    worst = next((one for one in open_ones if one.word == "parked"), open_ones[0])
    word = f"{worst.backend} {worst.word}" if with_backend else worst.word
    return Text.assemble(count, " ", (word, worst.style))


def _as_json(folder: RunFolder) -> dict[str, Any]:
    try:
        seen = glance(folder)
    except (UnreadableRunError, OSError) as error:
        return {"id": folder.run_id, "path": str(folder.path), "error": str(error)}
    return {
        "id": seen.header.run_id,
        "path": str(folder.path),
        "project": seen.header.project,
        "name": seen.header.name,
        "status": seen.status,
        "started": seen.header.time,
        "updated": seen.updated,
        "last_step": seen.last_step,
        "delivery": {one.backend: one.word for one in standings(seen)},
    }
