"""What was logged beside numbers: pictures, sounds, films, texts, tables and histograms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
from PIL import Image as Pillow

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import (
    AnyRecord,
    Codec,
    Histogram,
    StagedFile,
    Table,
    Text,
    files_of,
)
from multitrack.view.index import Recorded, Span
from multitrack.view.places import type_of, url_of

MOST_ROWS = 1000
MOST_TABLE = 64 * 1024 * 1024
"""Bytes of the largest table that is shown."""
MOST_TEXT = 100_000
"""Characters of a text that are shown."""
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


class _Stored(msgspec.Struct):
    """What the file of a table holds."""

    columns: list[Any]
    data: list[list[Any]]


def entries(
    recorded: Recorded, kind: str, name: str, *, offset: int, limit: int
) -> list[dict[str, Any]]:
    """Return what was logged under a name, in order, from the ``offset``-th on."""
    spans = recorded.spans.get((kind, name), [])[offset : offset + limit]
    return [_entry(recorded.folder, record) for record in _records(recorded.folder, spans)]


def _records(folder: RunFolder, spans: list[Span]) -> Iterator[AnyRecord]:
    with folder.journal.open("rb") as journal:
        for span in spans:
            line = os.pread(journal.fileno(), span.end - 1 - span.start, span.start)
            yield Codec.decode(line)


def _entry(folder: RunFolder, record: AnyRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {"time": record.time, "step": getattr(record, "step", None)}
    if caption := getattr(record, "caption", None):
        entry["caption"] = caption
    if isinstance(record, Text):
        return entry | _text(record)
    if isinstance(record, Histogram):
        return entry | {"histogram": {"edges": record.edges, "counts": record.counts}}
    if isinstance(record, Table):
        return entry | _table(folder, record)
    return entry | {"files": [_file(folder, file) for file in files_of(record)]}


def _text(record: Text) -> dict[str, Any]:
    is_long = len(record.text) > MOST_TEXT
    return {"text": record.text[:MOST_TEXT]} | ({"truncated": True} if is_long else {})


def _table(folder: RunFolder, record: Table) -> dict[str, Any]:
    """Return the first rows of a table, and the file that has all of them."""
    file = _file(folder, record.file)
    if "error" in file:
        return {"error": file["error"]}
    if (folder.path / record.file.path).stat().st_size > MOST_TABLE:
        return {"error": "the table is too large to be shown", "files": [file]}
    content = (folder.path / record.file.path).read_bytes()
    try:
        stored = msgspec.json.decode(content, type=_Stored)
    except (msgspec.DecodeError, RecursionError) as error:
        return {"error": f"the table cannot be read: {error}", "files": [file]}
    table = {"columns": stored.columns, "rows": stored.data[:MOST_ROWS], "total": len(stored.data)}
    return {"table": table, "files": [file]}


def _file(folder: RunFolder, file: StagedFile) -> dict[str, Any]:
    """Return where a file is, and what it is; or why it cannot be had."""
    url = url_of(folder, file)
    if url is None:
        return {"name": file.name, "error": "the file is not in the run's folder (any more)"}
    described = {"url": url, "type": type_of(file), "name": file.name, "size": file.size}
    if type_of(file).startswith("image/"):
        described |= _size(folder, file)
    return described


def _size(folder: RunFolder, file: StagedFile) -> dict[str, int]:
    try:
        with Pillow.open(folder.path / file.path, formats=FORMATS) as image:
            return {"width": image.width, "height": image.height}
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return {}
