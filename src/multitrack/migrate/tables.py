"""What runs hold, as tables for a notebook or a database: Parquet, CSV or JSON Lines.

Four tables, a row each: `runs`, a run; `params`, a leaf of a run's params; `metrics`, a value at a
step; `summary`, a single value. Runs are read record by record, so that their size does not matter.
"""

from __future__ import annotations

import csv
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias, get_args

import msgspec

from multitrack.trackers.folder import FILE_MODE, RunFolder
from multitrack.trackers.history import UnreadableRunError, status_of
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.names import flatten, merge
from multitrack.trackers.records import (
    AnyRecord,
    Header,
    Metrics,
    Params,
    Scalar,
    Summary,
    Tags,
    Tree,
    spell,
)

Format: TypeAlias = Literal["parquet", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
COLUMNS: dict[str, dict[str, type]] = {
    "runs": {
        "run": str,
        "project": str,
        "name": str,
        "status": str,
        "started": float,
        "ended": float,
        "notes": str,
        "tags": str,
    },
    "params": {"run": str, "name": str, "value": str},
    "metrics": {
        "run": str,
        "name": str,
        "step": int,
        "time": float,
        "epoch": float,
        "value": float,
    },
    "summary": {"run": str, "name": str, "value": float, "text": str},
}
"""The tables and their columns. Times are Unix times, in seconds; tags and params are JSON."""
BATCH = 10_000
"""Rows that a Parquet table gets at once."""


class Writer(Protocol):
    """A table that is being written."""

    @abstractmethod
    def add(self, row: tuple[Any, ...]) -> None:
        """Add a row, whose cells are in the order of the columns."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left, and close the file."""


class Tables:
    """The tables of some runs; a context manager, which puts whole files in place at its end.

    Args:
        directory: where the files go, one a table; files of an earlier export are replaced.
        format: of the files.

    Raises:
        ImportError: Parquet needs pyarrow, which is not installed; the message has the command.

    Example:
        >>> with Tables(Path("tables"), "csv") as tables:
        ...     tables.add(RunFolder("multitrack/20261124-101502-123-9f3ac1"))
    """

    def __init__(self, directory: Path, format: Format) -> None:  # noqa: A002 - its name
        self._directory = directory
        self._format = format
        self._open_table = _WRITERS[format]
        if format == "parquet":
            _pyarrow()

    def __enter__(self) -> Tables:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        name = self._stack.enter_context(tempfile.TemporaryDirectory(dir=self._directory))
        self._scratch = Path(name)
        self._writers = {
            table: self._open_table(self._scratch / f"{table}.{self._format}", columns)
            for table, columns in COLUMNS.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            for writer in self._writers.values():
                writer.close()
            for path in self._scratch.iterdir() if error is None else ():
                path.chmod(FILE_MODE)
                path.replace(self._directory / path.name)

    def add(self, folder: RunFolder) -> int:
        """Add a run; return how many rows it has.

        Raises:
            UnreadableRunError: its journal does not start with a header.
            OSError: it cannot be read.
        """
        rows = 0
        for table, row in _rows(folder):
            self._writers[table].add(row)
            rows += 1
        return rows


class _Csv:
    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def add(self, row: tuple[Any, ...]) -> None:
        self._writer.writerow(row)

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        self._file = path.open("wb")
        self._columns = columns

    def add(self, row: tuple[Any, ...]) -> None:
        cells = (spell(cell) if isinstance(cell, float) else cell for cell in row)
        named = dict(zip(self._columns, cells, strict=True))
        self._file.write(msgspec.json.encode(named) + b"\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        arrow = _pyarrow()
        types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
        self._schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
        self._kinds = list(columns.values())
        self._writer = _parquet().ParquetWriter(path, self._schema)
        self._rows: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH:
            self._write()

    def close(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        arrow = _pyarrow()
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._kinds)
        pairs = zip(columns, self._kinds, strict=True)
        cells = [[None if c is None else kind(c) for c in column] for column, kind in pairs]
        self._writer.write_table(arrow.table(cells, schema=self._schema))
        self._rows = []


_WRITERS: dict[Format, Callable[[Path, dict[str, type]], Writer]] = {
    "parquet": _Parquet,
    "csv": _Csv,
    "jsonl": _JsonLines,
}


def _rows(folder: RunFolder) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield a run's rows with the names of their tables; what holds for the whole run is last."""
    records = _records(folder)
    header = next(records, None)
    if not isinstance(header, Header):
        raise UnreadableRunError(f"{folder.journal} does not start with the header of a run.")
    run = _WholeRun(header)
    for record in records:
        run.add(record)
        if isinstance(record, Metrics):
            for name, value in record.values.items():
                point = (folder.run_id, name, record.step, record.time, record.epoch, value)
                yield "metrics", point
    yield from run.rows(folder)


class _WholeRun:
    """What holds for a whole run, when all of it was read.

    Args:
        header: the journal's first record.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._last: AnyRecord = header
        self._params: Tree = dict(header.config)
        self._tags = dict(header.tags)
        self._summary: dict[str, Scalar] = {}

    def add(self, record: AnyRecord) -> None:
        self._last = record
        if isinstance(record, Params):
            merge(self._params, record.values)
        elif isinstance(record, Tags):
            self._tags |= record.values
        elif isinstance(record, Summary):
            self._summary |= record.values

    def rows(self, folder: RunFolder) -> Iterator[tuple[str, tuple[Any, ...]]]:
        header, run_id = self._header, folder.run_id
        for name, leaf in flatten(self._params):
            yield "params", (run_id, name, _json(leaf))
        for name, value in self._summary.items():
            cells = (None, value) if isinstance(value, str) else (value, None)
            yield "summary", (run_id, name, *cells)
        status, times = status_of(folder, self._last), (header.time, self._last.time)
        about = (header.project, header.name, status, *times, header.notes, _json(self._tags))
        yield "runs", (run_id, *about)


def _records(folder: RunFolder) -> Iterator[AnyRecord]:
    with closing(JournalReader(folder.journal)) as reader:
        while entries := reader.read():
            for entry in entries:
                if isinstance(entry, Entry):
                    yield entry.record
                elif entry.start == 0:
                    return  # no header: the caller says so


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise ImportError(
            "Parquet needs pyarrow, which is not installed: "
            'pip install "multitrack[migrate]"; or name another format: csv, jsonl'
        ) from None
    return pa


def _parquet() -> Any:
    from pyarrow import parquet

    return parquet
