"""Rows of Parquet files, in little memory however much a small file unfolds to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multitrack.migrate.rows.row import Row, Rows, row_of
from multitrack.migrate.source import SourceError

BATCH = 1024
"""Rows in memory at a time."""
LARGEST = 256 << 20
"""Bytes that a column may unfold to between two points at which reading can stop."""


def require() -> Any:
    """Return pyarrow's reader.

    Raises:
        ImportError: it is not installed; the message has the command.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError(
            "reading Parquet needs pyarrow, which is not installed: "
            'pip install "multitrack[migrate]"'
        ) from None
    return parquet


def read_parquet(path: Path, columns: list[str] | None = None) -> Rows:
    """Yield the rows of a file."""
    for number, cells in enumerate(records_in(path, columns), start=1):
        row: Row = row_of(f"row {number}", cells)
        yield row


def records_in(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield a file's rows as they are; texts that come again are in memory once.

    Raises:
        SourceError: it is no Parquet file, or unfolds to more than fits.
    """
    import pyarrow as pa

    parquet = require()
    try:
        with parquet.ParquetFile(path, read_dictionary=_texts_of(path)) as table:
            _check_size(path, table.metadata)
            for batch in table.iter_batches(BATCH, columns=columns):
                for index in range(batch.num_rows):
                    yield {name: _cell(batch[name][index]) for name in batch.schema.names}
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as Parquet: {error}") from None


def headings_of(path: Path) -> list[str]:
    """Return the names of a file's columns."""
    names: list[str] = require().read_schema(path).names
    return names


def _cell(scalar: Any) -> Any:
    value = scalar.as_py()
    return f"<{len(value)} bytes>" if isinstance(value, bytes) and len(value) > BATCH else value


def _texts_of(path: Path) -> list[str]:
    """Return the columns whose texts are kept as numbers in a dictionary."""
    import pyarrow as pa

    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    schema = require().read_schema(path)
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in kinds)]


def _check_size(path: Path, metadata: Any) -> None:
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            about = metadata.row_group(group).column(column)
            if about.total_uncompressed_size > LARGEST:
                raise SourceError(
                    f"column {about.path_in_schema!r} of {path} unfolds to "
                    f"{about.total_uncompressed_size:,} bytes; write it in smaller row groups"
                )
