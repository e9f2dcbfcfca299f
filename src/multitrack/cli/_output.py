"""How the command line speaks: one console, one way to write a number, a time or an error."""

from __future__ import annotations

import io
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from multitrack.trackers.records import spell, spelled
from multitrack.trackers.terminal import escaped, harmless

PIPE_WIDTH = 1000
"""Columns when nobody looks: what goes into a pipe is never folded."""
NOTHING = "-"
GAP = 2
"""Columns between the cells of a table."""
MINUTE, HOUR, DAY = 60, 3600, 86400
STATUS_STYLES = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "interrupted": "yellow",
    "killed": "red",
    "unreadable": "red",
}


class SafeConsole(Console):
    """A console on which nothing of a journal or a server's answer can command the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is to be written, its text made harmless."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr, as wide as the terminal, or not folding in a pipe."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal that knows ASCII only gets what it can
    is_fixed = stream.isatty() or "COLUMNS" in os.environ
    width = None if is_fixed else PIPE_WIDTH
    return SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table in the style of the house.

    Args:
        columns: the headings.
        numbers: those of them whose cells are aligned to the right.
    """
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    return made


def print_lines(
    out: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[Text | str]],
    *,
    numbers: Sequence[str],
    cut: str,
) -> None:
    """Print a table of one line a row, of which there may be thousands: rich's takes 5 ms a row.

    Args:
        out: where to.
        columns: the headings.
        rows: the cells.
        numbers: the columns whose cells are aligned to the right.
        cut: the column whose cells may be cut, so that the others fit.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    heading = [Text(column, style="bold") for column in columns]
    widths = [max(cell.cell_len for cell in column) for column in zip(heading, *cells, strict=True)]
    at = columns.index(cut)
    others = sum(widths) - widths[at] + GAP * (len(widths) - 1)
    widths[at] = max(len(cut), min(widths[at], out.width - others))
    for row in (heading, *cells):
        for cell, width, column in zip(row, widths, columns, strict=True):
            cell.truncate(width, overflow="ellipsis")
            cell.align("right" if column in numbers else "left", width)
        row[-1].rstrip()
    lines = Text("\n").join(Text(" " * GAP).join(row) for row in (heading, *cells))
    out.print(lines, soft_wrap=True)


def _one_line(cell: Text | str) -> Text:
    return cell if isinstance(cell, Text) else Text(harmless(" ".join(cell.split())))


def print_title(out: Console, title: str) -> None:
    """Print the title of a section, after an empty line."""
    out.print(f"\n{title}", style="bold")


def write_json(value: Any) -> None:
    """Write a value as JSON, indented; the numbers that JSON lacks are spelled as in a journal."""
    text = msgspec.json.format(msgspec.json.encode(spelled(value)), indent=2)
    sys.stdout.write(escaped(text.decode()) + "\n")


def number(value: float | str) -> str:
    """Return a value with four significant digits, or a whole number with its thousands.

    >>> number(12345), number(0.123456), number(float("nan"))
    ('12,345', '0.1235', 'NaN')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if math.isfinite(value) else str(spell(value))


def duration(seconds: float) -> str:
    """Return a time span in its two largest units.

    >>> duration(0.25), duration(75), duration(7300)
    ('0.2s', '1m 15s', '2h 01m')
    """
    if seconds < MINUTE:
        return f"{max(0.0, seconds):.1f}s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f}m {seconds % MINUTE:02.0f}s"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f}h {seconds % HOUR // MINUTE:02.0f}m"
    return f"{seconds // DAY:.0f}d {seconds % DAY // HOUR:02.0f}h"


def moment(seconds: float, *, with_time: bool = True) -> str:
    """Return a Unix time as local time: the time of day, or the day when it is long past."""
    local = time.localtime(seconds)
    if time.time() - seconds < DAY:
        return time.strftime("%H:%M", local)
    if local.tm_year != time.localtime().tm_year:
        return time.strftime("%Y-%m-%d", local)
    return time.strftime("%b %d %H:%M" if with_time else "%b %d", local)


def size(count: float) -> str:
    """Return a number of bytes with three digits and its unit.

    >>> size(512), size(3_000_000)
    ('512 B', '3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def plural(count: int, word: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "run"), plural(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
