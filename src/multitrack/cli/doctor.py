"""`multitrack doctor`: what is wrong on this machine, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from multitrack.cli._checks import check_backend, check_directory, check_python, check_report_to
from multitrack.cli._deliveries import check_deliveries
from multitrack.cli._finding import Finding
from multitrack.cli._output import console, plural, table, write_json
from multitrack.trackers import registry
from multitrack.trackers.folder import default_directory

FAULT = 1
"""Exit code when something is wrong."""
MARKS = {"ok": Text("✓", "green"), "fault": Text("✗", "bold red"), "absent": Text("·", "dim")}
AT_ONCE = 16
"""Backends that are checked at the same time: most of it is waiting for a server."""


def examine(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where runs go: MULTITRACK_DIR, ./multitrack."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Check this machine: Python, the runs' directory, clients, keys, servers and deliveries."""
    where = directory or default_directory()
    machine = [check_python(), *check_directory(where), check_report_to()]
    backends = list(_check_backends())
    deliveries = list(check_deliveries(where))
    findings = [*machine, *backends, *deliveries]
    if as_json:
        write_json([finding._asdict() for finding in findings])
    else:
        _print(machine, backends, deliveries)
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(FAULT)


def _check_backends() -> Iterator[Finding]:
    try:
        wanted = registry.resolve(None)
    except (ImportError, ValueError, TypeError):  # which is a finding of its own
        wanted = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checks = pool.map(
            lambda name: list(check_backend(name, is_wanted=name in wanted)), registry.names()
        )
        for found in checks:
            yield from found


def _print(machine: list[Finding], backends: list[Finding], deliveries: list[Finding]) -> None:
    out = console()
    missing = [one for one in backends if one.verdict == "absent" and one.what in registry.names()]
    made = _grid()
    for title, findings in (
        ("machine", machine),
        ("backends", [one for one in backends if one not in missing]),
        ("deliveries", deliveries),
    ):
        if findings:
            made.add_row("", Text(title, "bold"), "")
            _add(made, findings)
    if missing:
        names = ", ".join(one.what for one in missing)
        made.add_row(MARKS["absent"], Text("not installed", "dim"), Text(names, "dim"))
        made.add_row("", "", Text(f"→ {missing[0].remedy}, and so on", "dim"))
    out.print(made)
    _print_end(out, sum(one.verdict == "fault" for one in (*machine, *backends, *deliveries)))


def _grid() -> Table:
    made = table("", "what", "found")
    made.show_header = False
    made.columns[2].no_wrap = False
    made.columns[2].overflow = "fold"
    return made


def _add(made: Table, findings: list[Finding]) -> None:
    """Add a row for each finding; those of one backend are indented below its name."""
    above = ""
    for one in findings:
        is_part = bool(above) and one.what.startswith(f"{above} ")
        above = above if is_part else one.what
        what = f"  {one.what.removeprefix(above + ' ')}" if is_part else one.what
        style = "dim" if one.verdict == "absent" else ""
        made.add_row(MARKS[one.verdict], Text(what, style), Text(one.found, style))
        if one.remedy:
            made.add_row("", "", Text(f"→ {one.remedy}", style or "bold"))


def _print_end(out: Console, faults: int) -> None:
    if faults:
        out.print(Text(f"\n{plural(faults, 'fault')}; each → says what mends it", "red"))
    else:
        out.print(Text("\nnothing is wrong", "green"))
