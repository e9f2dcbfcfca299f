"""Keras: the files of its CSVLogger, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from multitrack.migrate.rows.delimited import headings_of, read_delimited
from multitrack.migrate.rows.records import History
from multitrack.migrate.rows.row import Fault, Rows
from multitrack.migrate.rows.run import Beside, RowsRun
from multitrack.migrate.source import Place, Reach, Source, SourceRun, Store

SUFFIXES = (".csv", ".log", ".tsv")
ABSENT = "NA"
"""What it writes where an epoch has no such value."""


class KerasSource(Source):
    """Files whose first column is ``epoch``, and that have a ``loss``."""

    name: ClassVar[str] = "keras"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield the files of a folder; each is a run."""
        for name in sorted(place.files):
            path = place.path / name
            if path.suffix.lower() in SUFFIXES and _is_log(headings_of(path)):
                yield Store(path, frozenset({name}))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a file."""
        path = reach.file(location)
        history = History.of(partial(_rows, path), path, reach.name(path))
        yield RowsRun(history, partial(Beside, name=path.stem), reach)


def _is_log(headings: list[str]) -> bool:
    """Tell a log from those of other programs, which have steps, too."""
    return headings[:1] == ["epoch"] and "loss" in headings and "step" not in headings


def _rows(path: Path) -> Rows:
    for row in read_delimited(path):
        if isinstance(row, Fault):
            yield row
        else:
            yield row._replace(cells={n: c for n, c in row.cells.items() if c != ABSENT})
