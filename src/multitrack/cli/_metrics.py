"""The metrics of a run: a table of their ends and extremes, and their curves."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from multitrack.cli._chart import draw
from multitrack.cli._output import NOTHING, number, table
from multitrack.trackers.history import Point, Series

CHART_WIDTH = 38
MOST_CHARTS_WIDTH = 160
CHART_HEIGHT = 6


def metrics_table(series: Mapping[str, Series]) -> Table:
    """Return a table of each metric's last, lowest and highest value, with their steps."""
    columns = ("metric", "points", "last", "step", "lowest", "step", "highest", "step")
    made = table(*columns, numbers=columns[1:])
    made.columns[0].overflow = "ellipsis"
    for name, one in series.items():
        points = [cell for point in (one.last, one.lowest, one.highest) for cell in _cells(point)]
        made.add_row(name, number(len(one.values)), *points)
    return made


def charts(out: Console, series: Mapping[str, Series]) -> Table:
    """Return the curves of the metrics that have one, side by side as the width allows."""
    width = min(out.width, MOST_CHARTS_WIDTH)
    in_a_row = max(1, (width + 2) // (CHART_WIDTH + 2))
    each = (width + 2) // in_a_row - 2
    ascii_only = not out.encoding.lower().startswith("utf")
    drawn = [
        draw(name, one, each, CHART_HEIGHT, ascii_only=ascii_only)
        for name, one in series.items()
        if has_curve(one)
    ]
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for start in range(0, len(drawn), in_a_row):
        if start:
            grid.add_row()
        grid.add_row(*drawn[start : start + in_a_row])
    return grid


def has_curve(series: Series) -> bool:
    """Tell whether there is anything to draw: two points at least that are finite."""
    points = series.finite()
    return next(points, None) is not None and next(points, None) is not None


def _cells(point: Point | None) -> tuple[str, str]:
    return (number(point.value), number(point.step)) if point else (NOTHING, NOTHING)
