"""CSV and JSON Lines: one file a run, one row a step."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import NON_FINITE, AnyRecord, Metrics, Refused, Text
from multitrack.trackers.values import as_step, take_metrics

SUFFIXES = (".csv", ".jsonl")
STEP, TIME = "step", "time"
"""Columns that are no metrics."""


class TableSource(Source):
    """Files with a row a step: ``step`` and ``time`` if they have them, all else metrics."""

    name: ClassVar[str] = "table"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    is_generic: ClassVar[bool] = True

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield each such file."""
        for name in sorted(place.files):
            if name.lower().endswith(SUFFIXES):
                yield Store(place.path / name, frozenset({name}))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a file."""
        yield TableRun(reach.file(location))


class TableRun(SourceRun):
    """One file.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        self._path = path.resolve()

    def describe(self) -> About:
        """Return the file's name, and the time of its first row, else that of the file."""
        row = next(self._rows(), {})
        return About(id=str(self._path), time=self._time(row), name=self._path.stem)

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield the rows; a row without a step has the next one."""
        step = -1
        for row in self._rows():
            time = self._time(row)
            step = as_step(row[STEP]) if row.get(STEP) not in {None, ""} else step + 1
            cells = {str(name): cell for name, cell in row.items() if name not in {STEP, TIME}}
            texts = {name: cell for name, cell in cells.items() if isinstance(cell, str)}
            values, refused = take_metrics({n: c for n, c in cells.items() if n not in texts})
            if values:
                yield Metrics(time=time, step=step, values=values)
            for name, text in texts.items():
                yield Text(time=time, step=step, key=name, text=text)
            for name, reason in refused.items():
                yield Refused(time=time, key=name, reason=reason)

    def _rows(self) -> Iterator[dict[Any, Any]]:
        read = _read_csv if self._path.suffix.lower() == ".csv" else _read_lines
        for row in read(self._path):
            yield {name: cell for name, cell in row.items() if cell is not None}

    def _time(self, row: Mapping[str, Any]) -> float:
        """Return a row's time: Unix time in seconds, or a date as ISO 8601 has it."""
        cell = row.get(TIME)
        if cell is None or cell == "":
            return self._path.stat().st_mtime
        if not isinstance(cell, str):
            return float(cell)
        moment = datetime.fromisoformat(cell.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _read_csv(path: Path) -> Iterator[dict[Any, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file, strict=True):
            if None in row:
                raise SourceError(f"a row of {path} has more cells than its first line has names")
            yield {name: _cell(text) for name, text in row.items()}


def _read_lines(path: Path) -> Iterator[dict[Any, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _decode(line, f"line {number} of {path}")


def _decode(line: bytes, place: str) -> dict[Any, Any]:
    try:
        row: dict[Any, Any] = msgspec.json.decode(line, type=dict)
    except msgspec.DecodeError as error:
        raise SourceError(f"{place} is no JSON object: {error}") from None
    return {n: NON_FINITE.get(c, c) if isinstance(c, str) else c for n, c in row.items()}


def _cell(text: str | None) -> bool | int | float | str | None:
    """Return a cell's number, its text if it is none, or None if it is empty."""
    if text is None or not text.strip():
        return None
    kinds: tuple[type[int], type[float]] = (int, float)
    for kind in kinds:
        with suppress(ValueError):
            return kind(text)
    return {"true": True, "false": False}.get(text.strip().lower(), text)
