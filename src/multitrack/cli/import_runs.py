"""`multitrack import`: runs of another tracker become run folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from multitrack.cli._output import NOTHING, console, number, plural, table
from multitrack.migrate import registry
from multitrack.migrate.importing import Importer, Outcome
from multitrack.trackers.folder import default_directory

FAILED = 1
"""Exit code when a run could not be imported."""
STYLES = {"imported": "green", "present": "dim", "running": "cyan", "failed": "red"}
MEANINGS = {
    "imported": "imported",
    "present": "there already",
    "running": "not ended: --running takes them in as killed",
    "failed": "failed",
}


def import_runs(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A path or an address of another tracker.")
    ],
    *,
    kind: Annotated[
        str | None,
        typer.Option("--from", metavar="KIND", help="What it is, if it does not show."),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where runs go: MULTITRACK_DIR, ./multitrack."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="NAME", help="Of all runs, instead of theirs."),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Take runs that never ended, as killed.")
    ] = False,
) -> None:
    """Import finished runs of another tracker. The exit code is 1 if one could not be."""
    where = (directory or default_directory()).expanduser().absolute()
    found = registry.choose(source, kind)
    out = console()
    importer = Importer(found.name, source, where, project=project, with_running=running)
    outcomes = []
    with importer, out.status(f"Reading {found.name}", spinner="line") as status:
        for run in found.find(source):
            status.update(f"Reading {run.label}")
            outcomes.append(importer.bring(run))
    _print(out, outcomes, where)
    if any(outcome.word == "failed" for outcome in outcomes):
        raise typer.Exit(FAILED)


def _print(out: Console, outcomes: Sequence[Outcome], where: Path) -> None:
    if not outcomes:
        out.print("There is no run.")
        return
    made = table("source", "result", "records", "run", numbers=("records",))
    made.columns[0].overflow = "fold"
    made.columns[0].no_wrap = False
    for one in outcomes:
        records = number(one.records) if one.records else NOTHING
        made.add_row(one.label, Text(one.word, STYLES[one.word]), records, one.run_id or NOTHING)
    out.print(made)
    for one in outcomes:
        if one.word == "failed":
            out.print(Text(f"{one.label}: {one.reason}", style="red"), soft_wrap=True)
    counts = Counter(one.word for one in outcomes)
    said = [f"{counts[word]:,} {MEANINGS[word]}" for word in counts]
    out.print(f"\n{plural(len(outcomes), 'run')}: {', '.join(said)}.", soft_wrap=True)
    if counts["imported"]:
        out.print(
            f"They are in {where}; play them with: multitrack sync {where} --to NAME",
            soft_wrap=True,
        )
