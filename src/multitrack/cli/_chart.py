"""Curves in a terminal: four by two dots a character, with axes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter

from rich.text import Text

from multitrack.cli._output import number
from multitrack.trackers.history import Point, Series

DOTS_X, DOTS_Y = 2, 4
"""Dots of one braille character."""
BRAILLE = 0x2800
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each dot in the code of a braille character, by column and row."""


class Canvas:
    """A field of dots; the origin is the lower left.

    Args:
        columns: characters in a row.
        rows: rows of characters.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.width = columns * DOTS_X
        self.height = rows * DOTS_Y
        self._cells = [[0] * columns for _ in range(rows)]

    def dot(self, x: int, y: int) -> None:
        """Set one dot."""
        row = self.height - 1 - y
        self._cells[row // DOTS_Y][x // DOTS_X] |= BITS[x % DOTS_X][row % DOTS_Y]

    def line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Set the dots of a straight line."""
        (x0, y0), (x1, y1) = start, end
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(steps + 1):
            self.dot(round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps))

    def rows(self, *, ascii_only: bool = False) -> list[str]:
        """Return the rows of characters, the top one first."""
        if ascii_only:
            return ["".join("*" if cell else " " for cell in row) for row in self._cells]
        return [
            "".join(chr(BRAILLE + cell) if cell else " " for cell in row) for row in self._cells
        ]


def draw(name: str, series: Series, width: int, height: int, *, ascii_only: bool = False) -> Text:
    """Return a metric's curve over its steps, with a title and axes.

    Values that are not finite have no place on the axis: they are counted in the title.

    Args:
        name: the metric.
        series: its points; at least one is finite.
        width: characters in a row.
        height: rows of the curve; the title and the axis take three more.
        ascii_only: whether the terminal knows only ASCII.
    """
    points = sorted(series.finite(), key=itemgetter(0))
    low, high = min(p.value for p in points), max(p.value for p in points)
    labels = [number(high), number(low)]
    margin = max(map(len, labels)) + 1
    columns = max(4, width - margin - 1)
    canvas = Canvas(columns, height)
    _trace(canvas, points, low, high)
    rows = canvas.rows(ascii_only=ascii_only)
    marks = ("|", "+", "-") if ascii_only else ("│", "└", "─")
    chart = _title(name, len(series.values) - len(points), series, width)
    for index, row in enumerate(rows):
        label = labels[0] if index == 0 else labels[1] if index == height - 1 else ""
        chart.append(f"{label:>{margin - 1}} {marks[0]}", style="dim")
        chart.append(f"{row}\n", style="cyan")
    first, last = number(points[0].step), number(points[-1].step)
    chart.append(f"{'':{margin}}{marks[1]}{marks[2] * columns}\n", style="dim")
    steps = first if first == last else f"{first}{last:>{max(1, columns - len(first))}}"
    chart.append(f"{'':{margin + 1}}{steps}", style="dim")
    return chart


def _title(name: str, missing: int, series: Series, width: int) -> Text:
    note = number(series.last.value) + (f" ({missing:,} not finite)" if missing else "")
    room = max(8, width - len(note) - 1)
    if len(name) > room:
        name = f"…{name[-room + 1 :]}"
    title = Text(no_wrap=True)
    title.append(name, style="bold")
    return title.append(f"{note:>{max(len(note) + 1, width - len(name))}}\n")


def _trace(canvas: Canvas, points: list[Point], low: float, high: float) -> None:
    columns = list(_columns(canvas, points, low, high))
    for x, heights in columns:
        canvas.line((x, min(heights)), (x, max(heights)))
    for (x0, before), (x1, after) in pairwise(columns):
        canvas.line((x0, before[-1]), (x1, after[0]))


def _columns(
    canvas: Canvas, points: list[Point], low: float, high: float
) -> Iterator[tuple[int, list[int]]]:
    """Yield each column of dots that has points, with the heights of those, in order."""
    first, last = points[0][0], points[-1][0]
    column: list[int] = []
    at = 0
    for step, value in points:
        x = _scaled(step, first, last, canvas.width)
        if x != at and column:
            yield at, column
            column = []
        at = x
        column.append(_scaled(value, low, high, canvas.height))
    yield at, column


def _scaled(value: float, low: float, high: float, size: int) -> int:
    """Return the dot of a value on an axis of ``size`` dots; the middle if all are equal."""
    if high == low:
        return (size - 1) // 2
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # a whole difference may overflow
    return min(size - 1, max(0, round(share * (size - 1))))
