"""`multitrack export`: what runs hold, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from multitrack.cli._commands import UsageError
from multitrack.cli._output import console, number, plural, table
from multitrack.cli._select import NoSuchRunError, find_targets
from multitrack.migrate.tables import COLUMNS, FORMATS, Tables
from multitrack.trackers.folder import RunFolder, default_directory
from multitrack.trackers.history import UnreadableRunError

FAILED = 1
"""Exit code when a run could not be read."""


def export_runs(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs, or directories of runs; all, if none."),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="parquet, csv or jsonl.")
    ] = "parquet",
) -> None:
    """Write what runs hold as tables. The exit code is 1 if one could not be read."""
    chosen = next((one for one in FORMATS if one == format_), None)
    if chosen is None:
        raise UsageError(f"--format is {format_!r}; allowed: {', '.join(FORMATS)}.")
    folders = _find(runs)
    out = console()
    made = table("run", "rows", numbers=("rows",))
    failed = 0
    with Tables(output.expanduser(), chosen) as tables, out.status("Writing", spinner="line"):
        for folder in folders:
            try:
                made.add_row(folder.run_id, number(tables.add(folder)))
            except (UnreadableRunError, OSError) as error:  # noqa: PERF203 - the others shall be written
                made.add_row(folder.run_id, Text(str(error), style="red"))
                failed += 1
    out.print(made)
    names = ", ".join(f"{name}.{chosen}" for name in COLUMNS)
    left = f"; {plural(failed, 'run')} left out" if failed else ""
    written = plural(len(folders) - failed, "run")
    out.print(f"\n{written} in {output}: {names}{left}.", soft_wrap=True)
    if failed:
        raise typer.Exit(FAILED)


def _find(runs: list[str] | None) -> list[RunFolder]:
    """Return the runs that are named, each once."""
    targets: Sequence[str | None] = runs or [None]
    found = [folder for text in targets for folder in find_targets(text)]
    if not found:
        raise NoSuchRunError(
            f"there is no run in {', '.join(runs or [str(default_directory())])}; name another "
            "directory by its path or with MULTITRACK_DIR."
        )
    return list({folder.path: folder for folder in found}.values())
