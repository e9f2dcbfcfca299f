"""`multitrack gc`: remove the staged files that every backend of their run has."""

from __future__ import annotations

from typing import Annotated

import typer

from multitrack.cli._output import console, plural, size
from multitrack.cli._select import find_targets, short_id
from multitrack.trackers.history import UnreadableRunError
from multitrack.trackers.pruning import KeptError, find_unneeded, prune


def collect(
    target: Annotated[
        str | None,
        typer.Argument(metavar="RUN|DIR", help="A run, or a directory of runs; all, if none."),
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing, only say what would go.")
    ] = False,
) -> None:
    """Remove staged files that every backend of their run has; the journals stay."""
    out = console()
    count, freed = 0, 0
    for run in find_targets(target):
        try:
            found = find_unneeded(run) if dry_run else prune(run)
        except (KeptError, UnreadableRunError, OSError) as error:
            if run.files.is_dir():
                out.print(f"{short_id(run.run_id)} kept: {error}", soft_wrap=True)
            continue
        count += len(found.files)
        freed += found.size
        if found.files or found.kept:
            kept = f", {plural(found.kept, 'file')} kept" if found.kept else ""
            what = f"{plural(len(found.files), 'file')}, {size(found.size)}{kept}"
            out.print(f"{short_id(run.run_id)} {what}")
    verb = "Would free" if dry_run else "Freed"
    out.print(f"{verb} {size(freed)} in {plural(count, 'file')}.")
