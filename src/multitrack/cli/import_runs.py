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
from multitrack.migrate.importing import Importer, Outcome, Word
from multitrack.migrate.intake import take_in
from multitrack.trackers.folder import default_directory

FAILED = 1
"""Exit code when a run could not be imported."""
STYLES = {"imported": "green", "updated": "green", "failed": "red", "left out": "cyan"}
MEANINGS: dict[Word, str] = {
    "imported": "imported",
    "updated": "brought up to date",
    "present": "there already",
    "left out": "left out, not ended",
    "failed": "failed",
    "passed by": "passed by",
}
MOST_TOLD = 20
"""Things that were passed by, of which each has a line."""


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
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="PLACE", help="Where its files may be read from, too."),
    ] = None,
    ended: Annotated[
        bool, typer.Option("--ended", help="Leave out runs that still go on.")
    ] = False,
) -> None:
    """Import runs of other trackers, all that a folder holds. Exit code 1 if one could not be."""
    where = (directory or default_directory()).expanduser().absolute()
    out = console()
    importer = Importer(where, project=project, only_ended=ended)
    outcomes = []
    with importer, out.status("Reading", spinner="line") as status:
        for outcome in take_in(source, importer, kind=kind, also=also or ()):
            status.update(f"Read {outcome.label}")
            outcomes.append(outcome)
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
        if one.word != "passed by":
            records = number(one.records) if one.records else NOTHING
            word = Text(one.word, STYLES.get(one.word, "dim"))
            made.add_row(one.label, word, records, one.run_id or NOTHING)
    if made.rows:
        out.print(made)
    _print_reasons(out, [one for one in outcomes if one.word == "failed"], "red")
    passed = [one for one in outcomes if one.word == "passed by"]
    _print_reasons(out, passed[:MOST_TOLD], "yellow")
    counts = Counter(one.word for one in outcomes)
    said = [f"{counts[word]:,} {meaning}" for word, meaning in MEANINGS.items() if counts[word]]
    out.print(f"\n{plural(len(outcomes) - len(passed), 'run')}: {', '.join(said)}.", soft_wrap=True)
    if counts["imported"] or counts["updated"]:
        out.print(
            f"They are in {where}; play them with: multitrack sync {where} --to NAME",
            soft_wrap=True,
        )


def _print_reasons(out: Console, outcomes: Sequence[Outcome], style: str) -> None:
    for one in outcomes:
        out.print(Text(f"{one.label}: {one.reason}", style=style), soft_wrap=True)
