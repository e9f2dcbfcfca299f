"""JSON as programs write it: with NaN and Infinity, in lines, in one document, cut short."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from multitrack.migrate.rows.row import Fault, Row, Rows, row_of
from multitrack.migrate.rows.text import encoding_of, head_of, read_lines
from multitrack.migrate.source import SourceError

LARGEST = 1 << 30
"""Bytes of a document that is read at once."""
_TABLES = ("log_history", "history", "data", "rows", "metrics", "logs", "results")
"""Names under which documents keep their rows."""


def decode(text: str) -> Any:
    """Return what a text says; NaN and Infinity are numbers in it.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def load(path: Path) -> Any:
    """Return the document in a file.

    Raises:
        SourceError: it is no JSON, or too large to be read at once.
    """
    if path.stat().st_size > LARGEST:
        raise SourceError(f"{path} has more than {LARGEST:,} bytes; write it as JSON Lines")
    try:
        return decode(path.read_text(encoding=encoding_of(path)))
    except ValueError as error:
        raise SourceError(f"{path} is no JSON: {error}") from None


def are_lines(path: Path) -> bool:
    """Tell whether a file is JSON Lines, whatever its name: an object, and another below it."""
    first, _, rest = head_of(path).strip().partition("\n")
    try:
        return isinstance(decode(first), dict) and rest.lstrip()[:1] == "{"
    except ValueError:
        return False


def read_json_lines(path: Path) -> Rows:
    """Yield an object a line; a line that is none is told."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            yield _row(f"line {number}", line)


def read_json(path: Path) -> Rows:
    """Yield the rows of a document, in any of the forms that tables take there."""
    if are_lines(path):
        yield from read_json_lines(path)
        return
    for number, row in enumerate(rows_in(load(path)), start=1):
        if isinstance(row, Mapping):
            yield row_of(f"row {number}", row)
        else:
            yield Fault("rows", f"row {number} is no object")


def rows_in(document: Any) -> Iterator[Any]:
    """Yield the rows of a document.

    >>> list(rows_in({"step": [0, 1], "loss": [0.5, 0.25]}))
    [{'step': 0, 'loss': 0.5}, {'step': 1, 'loss': 0.25}]
    >>> list(rows_in({"loss": {"0": 0.5, "1": 0.25}}))
    [{'loss': 0.5}, {'loss': 0.25}]
    """
    if isinstance(document, list):
        yield from document
    elif isinstance(document, dict):
        yield from _rows_of_object(document)


def _rows_of_object(document: dict[str, Any]) -> Iterator[Any]:
    columns, data = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        yield from (_named(columns, row) for row in data)
    elif rows := _nested_rows(document):
        yield from rows
    elif document and all(isinstance(column, list) for column in document.values()):
        yield from _transposed(document)
    elif document and all(map(_is_numbered, document.values())):
        yield from _transposed({name: list(column.values()) for name, column in document.items()})
    elif document:
        yield document


def _named(columns: list[Any], row: Any) -> Any:
    return dict(zip(map(str, columns), row, strict=False)) if isinstance(row, list) else row


def _nested_rows(document: dict[str, Any]) -> list[Any] | None:
    for name in _TABLES:
        rows = document.get(name)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return rows
    return None


def _transposed(columns: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for number in range(max(map(len, columns.values()))):
        yield {name: cells[number] for name, cells in columns.items() if number < len(cells)}


def _is_numbered(column: Any) -> bool:
    """Tell whether a column is kept as pandas keeps it: cells by the numbers of their rows."""
    return isinstance(column, dict) and bool(column) and all(map(str.isdigit, column))


def _row(place: str, line: str) -> Row | Fault:
    try:
        row = decode(line)
    except ValueError as error:
        return Fault("rows", f"{place} is no JSON, perhaps cut: {error}")
    if not isinstance(row, dict):
        return Fault("rows", f"{place} is no JSON object")
    return row_of(place, row)
