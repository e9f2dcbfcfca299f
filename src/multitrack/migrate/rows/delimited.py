"""Rows of cells apart by commas, tabs or semicolons, under a line of headings."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from multitrack.migrate.rows.numbers import Cell, cell_of
from multitrack.migrate.rows.row import Fault, Row, Rows
from multitrack.migrate.rows.text import head_of, read_lines

DELIMITERS = (",", "\t", ";")
EMPTY = "rows below the headings"
"""Key of the fault of a table that has none."""
MOST_LINES = 1000
"""Lines that one quoted cell may have; a quote that none of them closes is a character."""


def read_delimited(path: Path) -> Rows:
    """Yield the rows of a file; what is odd in one costs no other cell."""
    lines = _Lines(read_lines(path))
    heading = lines.heading()
    if heading is None:
        return
    delimiter = delimiter_of(heading)
    names = _names(_split(heading, delimiter))
    yield from _doubles(names)
    columns = [name for name, _ in names]
    is_empty = True
    while cells := lines.cells(delimiter, len(columns)):
        place = f"row {lines.number}"
        if more := next((cell for cell in cells[len(columns) :] if cell.strip()), None):
            reason = f"{place}: the first line has no name for {_shown(more)}"
            yield Fault(f"cell {len(columns) + 1}", reason)
        if [cell.strip() for cell in cells] != columns:  # written again by a program that went on
            is_empty = False
            yield Row(place, dict(_filled(columns, cells, comma=delimiter == ";")))
    if is_empty:
        yield Fault(EMPTY, f"there is no row below the headings {', '.join(columns)}")


def headings_of(path: Path) -> list[str]:
    """Return the headings of a file, by its first line alone."""
    line = next((line for line in head_of(path).splitlines() if line.strip()), "")
    return [name for name, _ in _names(_split(line, delimiter_of(line)))]


def delimiter_of(heading: str) -> str:
    """Return what is between the cells of a line.

    >>> [delimiter_of(line) for line in ("a,b", '"a;,b";c', "a b", "a,b;c;d")]
    [',', ';', ',', ';']
    """
    bare = "".join(heading.split('"')[::2])  # without what is quoted
    return max(DELIMITERS, key=bare.count)


class _Lines:
    """A file's lines, cut into records: a quoted cell may hold line ends.

    Args:
        lines: of the file.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._ahead: deque[str] = deque()
        self._next = 1
        self.number = 0

    def heading(self) -> str | None:
        """Return the first line that is not empty."""
        while (line := self._take()) is not None:
            if line.strip():
                return line
        return None

    def cells(self, delimiter: str, width: int) -> list[str] | None:
        """Return the cells of the next record, None after the last."""
        line = self.heading()
        if line is None:
            return None
        self.number = self._next - 1
        if '"' not in line:
            return line.split(delimiter)
        return self._quoted(line, delimiter, width) or _split(line, delimiter)

    def _quoted(self, line: str, delimiter: str, width: int) -> list[str] | None:
        """Return a record that ends lines later, None if it is one line."""
        taken: list[str] = []
        cells = _strict(self._following(line, taken), delimiter)
        if cells is not None and (not taken or len(cells) == width):
            return cells
        self._ahead.extendleft(reversed(taken))
        self._next -= len(taken)
        return None

    def _following(self, line: str, taken: list[str]) -> Iterator[str]:
        yield f"{line}\n"
        while len(taken) < MOST_LINES and (more := self._take()) is not None:
            taken.append(more)
            yield f"{more}\n"

    def _take(self) -> str | None:
        line = self._ahead.popleft() if self._ahead else next(self._lines, None)
        self._next += line is not None
        return line


def _strict(lines: Iterator[str], delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True))
    except (csv.Error, StopIteration):
        return None


def _split(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line; a quote that does not close is a character like others."""
    cells = _strict(iter([line]), delimiter)
    return cells or [_unquoted(cell) for cell in line.split(delimiter)]


def _unquoted(cell: str) -> str:
    bare = cell.strip()
    is_quoted = len(bare) > 1 and bare[0] == bare[-1] == '"'
    return bare[1:-1].replace('""', '"') if is_quoted else cell


def _names(headings: list[str]) -> list[tuple[str, str]]:
    """Return headings, all different and none empty, each with how it is written."""
    while headings and not headings[-1].strip():
        headings = headings[:-1]  # lines that end in a delimiter
    names: dict[str, str] = {}
    for number, heading in enumerate(headings, start=1):
        name = heading.strip() or f"column {number}"
        while name in names:
            name += f" ({number})"
        names[name] = heading.strip()
    return list(names.items())


def _doubles(names: list[tuple[str, str]]) -> Iterator[Fault]:
    for name, heading in names:
        if heading and name != heading:
            yield Fault(heading, f"two columns are called that: the second is read as {name!r}")


def _filled(columns: list[str], cells: list[str], *, comma: bool) -> Iterator[tuple[str, Cell]]:
    for name, text in zip(columns, islice(cells, len(columns)), strict=False):
        if (cell := cell_of(text, comma=comma)) is not None:
            yield name, cell


def _shown(text: str) -> str:
    return repr(text.strip()[:80])
