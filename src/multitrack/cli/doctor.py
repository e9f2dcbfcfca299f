"""`multitrack doctor`: what is wrong on this machine, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from multitrack.cli._checks import (
    Finding,
    check_backend,
    check_directory,
    check_python,
    check_report_to,
)
from multitrack.cli._deliveries import check_deliveries
from multitrack.cli._output import console, table, write_json
from multitrack.trackers import registry
from multitrack.trackers.folder import default_directory

FAULT = 1
"""Exit code when something is wrong."""
STYLES = {"ok": "green", "fault": "red", "absent": "dim"}


def examine(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where runs go: MULTITRACK_DIR, ./multitrack."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Check this machine: Python, the runs' directory, clients, settings and deliveries."""
    where = directory or default_directory()
    findings = [check_python(), *check_directory(where)]
    findings.append(check_report_to())
    for name in registry.names():
        findings += check_backend(name)
    findings += check_deliveries(where)
    if as_json:
        write_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(FAULT)


def _print(findings: list[Finding]) -> None:
    out = console()
    made = table("", "what", "found")
    made.show_header = False
    made.columns[2].no_wrap = False
    made.columns[2].overflow = "fold"
    for finding in findings:
        made.add_row(Text(finding.verdict, STYLES[finding.verdict]), finding.what, finding.found)
        if finding.remedy:
            made.add_row("", "", Text(f"→ {finding.remedy}", style="bold"))
    out.print(made)
