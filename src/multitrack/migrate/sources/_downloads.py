"""Tables that TensorBoard's and W&B's pages download: files' names and headings tell the runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from multitrack.migrate.rows.delimited import headings_of, read_delimited
from multitrack.migrate.rows.jsons import load
from multitrack.migrate.rows.records import renamed
from multitrack.migrate.rows.row import Fault, Reader, Row, Rows, merged

_DOWNLOADED = re.compile(r"run-(?P<run>.+?)-tag-(?P<tag>.+)\.(?:csv|json)", re.IGNORECASE)
_AGAIN = re.compile(r"\s*\(\d+\)$")
"""What a browser adds to the name of a file that is downloaded again."""
TENSORBOARD = ["wall time", "step", "value"]
EXTREMES = ("__MIN", "__MAX")
BETWEEN = " - "


class Downloaded(NamedTuple):
    """What TensorBoard's page says in a file's name.

    Attributes:
        run: the run's name, None if the file was renamed.
        tag: the name of its values.
    """

    run: str | None
    tag: str


def downloaded(path: Path) -> Downloaded | None:
    """Return what a file of TensorBoard's page holds, None if it is none.

    >>> downloaded(Path("run-seed-1-tag-train_loss.json"))
    Downloaded(run='seed-1', tag='train_loss')
    """
    if found := _DOWNLOADED.fullmatch(path.name):
        return Downloaded(found["run"], _AGAIN.sub("", found["tag"]))
    is_table = path.suffix.lower() == ".csv"
    if is_table and [name.lower() for name in headings_of(path)] == TENSORBOARD:
        return Downloaded(None, "Value")
    return None


def read_downloaded(paths: list[Path]) -> Rows:
    """Return the rows of a run's files, step by step."""
    return merged([_series(path) for path in paths])


def _series(path: Path) -> Rows:
    found = downloaded(path)
    tag = found.tag if found else path.stem
    rows = _documents(path) if path.suffix.lower() == ".json" else read_delimited(path)
    for row in rows:
        yield row if isinstance(row, Fault) else _named(row, tag)


def _documents(path: Path) -> Rows:
    for number, row in enumerate(load(path), start=1):
        if isinstance(row, list) and len(row) == len(TENSORBOARD):
            yield Row(f"row {number}", dict(zip(TENSORBOARD, row, strict=True)))
        else:
            yield Fault("rows", f"row {number} of {path.name} is no time, step and value")


def _named(row: Row, tag: str) -> Row:
    cells = {
        tag if name.lower() == TENSORBOARD[-1] else name.lower(): c for name, c in row.cells.items()
    }
    return row._replace(cells=cells)


def runs_in_headings(headings: list[str]) -> list[str]:
    """Return the runs that W&B's page named in a table's headings, none if it is none of its.

    >>> runs_in_headings(["Step", "a - loss", "a - loss__MIN", "a - loss__MAX"])
    ['a']
    """
    named = [name for name in headings[1:] if BETWEEN in name]
    has_extremes = any(
        name + EXTREMES[0] in named and name + EXTREMES[1] in named for name in named
    )
    if not has_extremes or len(named) < len(headings) - 1:
        return []
    return list(dict.fromkeys(name.rpartition(BETWEEN)[0] for name in named))


def rows_of(run: str, headings: list[str], read: Reader) -> Reader:
    """Return a reader of one run's columns in a table of W&B's page."""

    def rename(name: str) -> str | None:
        if name == headings[0]:
            return name
        owner, between, key = name.rpartition(BETWEEN)
        is_extreme = name.endswith(EXTREMES)
        return key if between and owner == run and not is_extreme else None

    return lambda: _with_values(renamed(read, rename), headings[0])


def _with_values(read: Reader, axis: str) -> Iterator[Row | Fault]:
    """Yield the rows in which a run has more than its place on the axis."""
    for row in read():
        if isinstance(row, Fault) or set(row.cells) != {axis}:
            yield row
