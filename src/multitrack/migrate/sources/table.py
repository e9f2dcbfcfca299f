"""Tables: CSV, TSV, JSON, JSON Lines and Parquet; one file a run, one row a step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from multitrack.migrate.rows import delimited, jsons, parquet
from multitrack.migrate.rows.records import History
from multitrack.migrate.rows.row import Reader
from multitrack.migrate.rows.survey import STEPS, is_step
from multitrack.migrate.rows.text import head_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.sources import _downloads as downloads
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import AnyRecord

READERS = {
    ".csv": delimited.read_delimited,
    ".tsv": delimited.read_delimited,
    ".jsonl": jsons.read_json_lines,
    ".ndjson": jsons.read_json_lines,
    ".json": jsons.read_json,
    ".parquet": parquet.read_parquet,
}
MEANT = (".csv", ".tsv", ".jsonl", ".ndjson")
"""What lies in a folder that was named is a run, if it ends so."""
_STEP_KEY = re.compile(rf'"({"|".join(map(re.escape, STEPS))})"\s*:', re.IGNORECASE)


class TableSource(Source):
    """Files with a row a step: steps and times by their usual names, all else metrics."""

    name: ClassVar[str] = "table"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    is_generic: ClassVar[bool] = True

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield the tables in a folder; deeper in a tree, those that have a column of steps."""
        groups: dict[str, list[str]] = {}
        for name in sorted(place.files):
            path = place.path / name
            suffix = path.suffix.lower()
            is_meant = place.is_named and (suffix in MEANT or place.is_one_file)
            if suffix in READERS and (is_meant or is_history(path)):
                groups.setdefault(_run_of(path) or f"/{name}", []).append(name)
        for names in groups.values():
            yield Store(place.path / names[0], frozenset(names))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs of a file: one, or those that its headings name."""
        path, label = reach.file(location), reach.name(location)
        read = READERS.get(path.suffix.lower())
        if read is None:
            raise SourceError(f"{location} does not end in {', '.join(READERS)}.")
        if found := downloads.downloaded(path):
            yield TableRun(path, label, _together(path, reach), found.run or path.stem)
            return
        headings = delimited.headings_of(path) if read is delimited.read_delimited else []
        runs = downloads.runs_in_headings(headings)
        for run in runs:
            yield TableRun(
                path, f"{label}: {run}", downloads.rows_of(run, headings, partial(read, path)), run
            )
        if not runs:
            yield TableRun(path, label, partial(read, path), path.stem)


class TableRun(SourceRun):
    """One run.

    Args:
        path: the file.
        label: what a person knows it by.
        read: reads its rows.
        name: of the run.
    """

    def __init__(self, path: Path, label: str, read: Reader, name: str) -> None:
        self.label = label
        self._path = path
        self._read = read
        self._name = name

    @cached_property
    def _history(self) -> History:
        return History.of(self._read, self._path, self.label)

    def describe(self) -> About:
        """Return the name, and when the first row was written, else the file."""
        history = self._history
        return About(
            id=history.identity
            if self._name == self._path.stem
            else f"{self._name}/{history.identity}",
            by_content=True,
            former_ids=(str(self._path.resolve()),),
            time=history.began,
            name=self._name,
            details=history.details,
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield the rows."""
        time = self._history.began
        for record in self._history.records():
            time = max(time, record.time)
            yield record
        yield self._history.end(time)


def is_history(path: Path) -> bool:
    """Tell, by how a file begins, whether it has rows with steps."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return any(map(is_step, parquet.headings_of(path)))
    if suffix == ".json" and not jsons.are_lines(path):
        head = head_of(path).lstrip()
        return bool(downloads.downloaded(path)) or (
            head[:1] == "[" and bool(_STEP_KEY.search(head))
        )
    if suffix in MEANT[:2]:
        headings = delimited.headings_of(path)
        has_step = len(headings) > 1 and any(map(is_step, headings))
        return has_step or bool(downloads.runs_in_headings(headings))
    return bool(_STEP_KEY.search(head_of(path).partition("\n")[0]))


def _run_of(path: Path) -> str | None:
    """Return the run whose files belong together, as TensorBoard's page names them."""
    found = downloads.downloaded(path)
    return found.run if found else None


def _together(path: Path, reach: Reach) -> Reader:
    """Return a reader of all files of a run that TensorBoard's page downloaded."""
    run = _run_of(path)
    beside = [other for other in sorted(path.parent.iterdir()) if run and _run_of(other) == run]
    files = [file for file in beside if file.is_file() and reach.allows(file)] or [path]
    return partial(downloads.read_downloaded, _without_doubles(files))


def _without_doubles(files: list[Path]) -> list[Path]:
    """Return the files, of two of one tag the first: it was downloaded as CSV and as JSON."""
    by_tag: dict[str, Path] = {}
    for file in files:
        found = downloads.downloaded(file)
        by_tag.setdefault(found.tag if found else file.stem, file)
    return list(by_tag.values())
