"""The command line: `multitrack`."""

from __future__ import annotations

from typing import Annotated

import typer

from multitrack import __version__
from multitrack.cli._commands import Commands
from multitrack.cli.backends import list_backends
from multitrack.cli.doctor import examine
from multitrack.cli.export_runs import export_runs
from multitrack.cli.gc import collect
from multitrack.cli.import_runs import import_runs
from multitrack.cli.runs import list_runs
from multitrack.cli.show import show_run
from multitrack.cli.sync import deliver
from multitrack.cli.trust import trust_places
from multitrack.cli.view import view_runs

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Record a training run once; deliver it to every experiment tracker.",
)
app.command("runs")(list_runs)
app.command("show")(show_run)
app.command("view")(view_runs)
app.command("sync")(deliver)
app.command("trust")(trust_places)
app.command("import")(import_runs)
app.command("export")(export_runs)
app.command("gc")(collect)
app.command("backends")(list_backends)
app.command("doctor")(examine)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"multitrack {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    pass
