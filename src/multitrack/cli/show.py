"""`multitrack show`: one run, whole: what it is, its metrics and curves, and where to look."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from multitrack.cli._delivery import delivery_as_json, print_delivery
from multitrack.cli._metrics import charts, has_curve, metrics_table
from multitrack.cli._output import (
    STATUS_STYLES,
    console,
    duration,
    number,
    plural,
    print_title,
    size,
    write_json,
)
from multitrack.cli._select import LATEST, find_run
from multitrack.trackers.history import History, Series, read_history
from multitrack.trackers.names import flatten

MOST_PARAMS = 16
MOST_METRICS = 200
MOST_CHARTS = 6


def show_run(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="An id or its start or end, a path, or latest.")
    ] = LATEST,
    *,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", metavar="PATTERN", help="Only these, such as 'eval/*'."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every param, metric and curve.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Show a run: params, metrics, curves, and how far each backend is."""
    history = read_history(find_run(run))
    chosen = _chosen(history.series, metric or ["*"])
    if as_json:
        write_json(_as_json(history, chosen))
        return
    out = console()
    _print_heading(out, history)
    _print_values(out, "Params", dict(flatten(history.params)), everything=everything)
    _print_values(out, "Tags", history.tags, everything=True)
    _print_values(out, "Summary", history.summary, everything=True)
    if chosen:
        _print_metrics(out, chosen, everything=everything)
    _print_things(out, history)
    print_delivery(out, history)


def _chosen(series: Mapping[str, Series], patterns: list[str]) -> dict[str, Series]:
    return {
        name: one
        for name, one in series.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def _print_heading(out: Console, history: History) -> None:
    header = history.header
    title = " / ".join(part for part in (header.project, header.name) if part)
    status = (history.status, STATUS_STYLES[history.status])
    out.print(Text.assemble((title or header.run_id, "bold"), "  ", status))
    out.print(str(history.folder.path), style="dim", soft_wrap=True)
    end = time.time() if history.status == "running" else history.updated
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(header.time))
    facts = [f"started {started}", f"took {duration(end - header.time)}"]
    facts += [plural(history.records, "record")]
    facts += [f"resumed {plural(len(history.resumed), 'time')}"] if history.resumed else []
    out.print(", ".join(facts))
    out.print(", ".join(_surroundings(history)), style="dim", soft_wrap=True)
    if header.command:
        out.print(f"$ {shlex.join(header.command)}", style="dim", soft_wrap=True)
    if header.notes:
        out.print(header.notes)
    if history.error:
        out.print(Text(history.error, style="red"), soft_wrap=True)


def _surroundings(history: History) -> list[str]:
    header = history.header
    facts = [f"on {header.host.hostname}", f"Python {header.host.python}"]
    if header.git:
        branch = f" ({header.git.branch})" if header.git.branch else ""
        dirty = ", changed files" if header.git.dirty else ""
        facts.append(f"git {header.git.commit[:9]}{branch}{dirty}")
    return facts


def _print_values(out: Console, title: str, values: Mapping[str, Any], *, everything: bool) -> None:
    if not values:
        return
    shown = list(values.items())[: None if everything else MOST_PARAMS]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in shown:
        grid.add_row(f"  {name}", Text(_as_text(value)))
    print_title(out, title)
    out.print(grid)
    if len(shown) < len(values):
        more = plural(len(values) - len(shown), "more param")
        out.print(f"  {more}: --all shows every one", style="dim")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value) if isinstance(value, float) else str(value)
    return msgspec.json.encode(value).decode()


def _print_metrics(out: Console, series: Mapping[str, Series], *, everything: bool) -> None:
    print_title(out, "Metrics")
    rows = dict(islice(series.items(), None if everything else MOST_METRICS))
    out.print(metrics_table(rows))
    if len(rows) < len(series):
        more = plural(len(series) - len(rows), "more metric")
        out.print(f"{more}: --all, or --metric PATTERN", style="dim")
    curves = {name: one for name, one in series.items() if has_curve(one)}
    shown = dict(list(curves.items())[: None if everything else MOST_CHARTS])
    if not shown:
        return
    print_title(out, "Curves")
    out.print(charts(out, shown))
    if len(shown) < len(curves):
        more = plural(len(curves) - len(shown), "more curve")
        out.print(f"{more}: --all, or --metric PATTERN", style="dim")


def _print_things(out: Console, history: History) -> None:
    """Print what else was logged: media, artifacts, and what was refused at the call."""
    rows = [f"{kind} {name} ({plural(n, 'time')})" for (kind, name), n in history.media.items()]
    for artifact in history.artifacts:
        total = sum(file.size for file in artifact.files)
        aliases = f", {', '.join(artifact.aliases)}" if artifact.aliases else ""
        files = plural(len(artifact.files), "file")
        rows.append(f"{artifact.kind} {artifact.name} ({files}, {size(total)}{aliases})")
    rows += [f"refused {name}: {reason}" for name, reason in history.refused.items()]
    if history.corrupt:
        rows.append(f"{plural(history.corrupt, 'unreadable line')} in the journal")
    if rows:
        print_title(out, "Also logged")
    for row in rows:
        out.print(f"  {row}", soft_wrap=True)


def _as_json(history: History, series: Mapping[str, Series]) -> dict[str, Any]:
    header = msgspec.to_builtins(history.header)
    return {
        "id": history.header.run_id,
        "path": str(history.folder.path),
        "status": history.status,
        "error": history.error,
        "updated": history.updated,
        "resumed": history.resumed,
        "header": header,
        "params": history.params,
        "tags": history.tags,
        "summary": history.summary,
        "metrics": {name: _series_as_json(one) for name, one in series.items()},
        "media": [
            {"kind": kind, "name": name, "count": count}
            for (kind, name), count in history.media.items()
        ],
        "artifacts": [msgspec.to_builtins(artifact) for artifact in history.artifacts],
        "refused": history.refused,
        "delivery": delivery_as_json(history),
    }


def _series_as_json(series: Series) -> dict[str, Any]:
    ends = {"last": series.last, "lowest": series.lowest, "highest": series.highest}
    return {
        "points": len(series.values),
        **{name: point and point._asdict() for name, point in ends.items()},
        "steps": list(series.steps),
        "values": list(series.values),
    }
