"""Exports of Neptune, as neptune-exporter writes them: Parquet tables, and files beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.files import artifact_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.sources._neptune_state import params_of
from multitrack.migrate.spool import Spool, SpooledPoint
from multitrack.trackers import media
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import (
    AnyRecord,
    End,
    Histogram,
    Params,
    Refused,
    Tags,
    Text,
)

PART = "*_part_*.parquet"
VALUES = {
    "float": "float_value",
    "int": "int_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
    "string_set": "string_set_value",
}
"""The column of each type of attribute that is one value."""
FILES = ("file", "file_set", "file_series", "artifact")
TAGS = ("sys/tags", "sys/group_tags")
FORMAT = {"project_id", "run_id", "attribute_path", "attribute_type", "step", "timestamp"}
"""Columns by which such a table is known."""
MOST_PLACES = 6
"""Decimal places that steps have."""
BATCH = 1000
FEW = 10
"""Rows in memory at a time: a small file can hold one long text for millions of rows."""
TEXTS = {"string_value", "attribute_path", "attribute_type", "project_id", "run_id"}
"""Columns of which each text is in memory once, however many rows have it."""
MOST_TEXT = 1024 * 1024
"""Characters of a text that are kept."""


class NeptuneExportSource(Source):
    """The folder of the tables, or the one above it that has ``files`` too."""

    name: ClassVar[str] = "neptune_export"
    distributions: ClassVar[tuple[str, ...]] = ("pyarrow",)
    extra: ClassVar[str] = "migrate"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield a folder of tables with the names of such parts."""
        if parts := frozenset(name for name in place.files if fnmatch(name, PART)):
            yield Store(place.path, parts)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs, each with all its parts."""
        root = reach.place(location)
        runs: dict[str, list[Path]] = {}
        for part in _parts(root):
            runs.setdefault(str(part).rpartition("_part_")[0], []).append(part)
        for parts in runs.values():
            yield NeptuneExportRun(sorted(parts, key=_number_of), _files_of(root, reach))


@dataclass
class Facts:
    """What a run's tables say of it as a whole.

    Attributes:
        run: its project and its id, None if there is no row.
        attributes: single values by path.
        tags: in order.
        places: decimal places of its steps.
    """

    run: tuple[str, str] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    places: int = 0

    @property
    def factor(self) -> int:
        """What steps are multiplied by: a journal's are whole."""
        return int(10**self.places)

    @property
    def is_failed(self) -> bool:
        """Whether the run failed; Neptune knows no other outcome."""
        return bool(self.attributes.get("sys/failed"))

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        self.run = self.run or (row["project_id"], row["run_id"])
        path, column = row["attribute_path"], VALUES.get(row["attribute_type"])
        if path in TAGS:
            self.tags += row["string_set_value"] or []
        elif column:
            self.attributes[path] = row[column]
        elif row["step"] is not None:
            self.places = max(self.places, _places_of(row["step"]))


class NeptuneExportRun(SourceRun):
    """One run.

    Args:
        parts: its tables, in order.
        files: where the paths of files begin, None if no such folder is there.
    """

    def __init__(self, parts: list[Path], files: Path | None) -> None:
        self.label = parts[0].name.rpartition("_part_")[0]
        self._parts = parts
        self._files = files

    @cached_property
    def _facts(self) -> Facts:
        facts = Facts()
        for row in self._rows():
            facts.add(row)
        return facts

    def describe(self) -> About:
        """Return what Neptune's own attributes say of the run."""
        facts, attributes = self._facts, self._facts.attributes
        if facts.run is None:
            raise SourceError("its tables are empty")
        project, run_id = facts.run
        created = attributes.get("sys/creation_time")
        details = {"parent": attributes.get("sys/forking/parent"), "step_factor": facts.factor}
        return About(
            id=f"{project}/{run_id}",
            time=created.timestamp() if created else self._parts[0].stat().st_mtime,
            project=project,
            name=attributes.get("sys/name") or attributes.get("sys/experiment/name") or run_id,
            notes=attributes.get("sys/description"),
            details={name: value for name, value in details.items() if value not in {None, 1}},
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params and tags, texts and files as they stand, numbers in the order of time."""
        facts, began = self._facts, self.describe().time
        reader = _Reader(run, self._files, began, facts.factor)
        if params := params_of({name: _plain(v) for name, v in facts.attributes.items()}):
            yield Params(time=began, values=params)
        if facts.tags:
            yield Tags(time=began, values=dict.fromkeys(facts.tags, ""))
        with ExitStack() as stack:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=run.path))
            spool = stack.enter_context(closing(Spool(Path(scratch, "points"))))
            for row in self._rows():
                if row["attribute_type"] == "float_series":
                    spool.add([reader.point(row)])
                else:
                    yield from reader.records(row)
            yield from spool.records()
        yield End(time=reader.time, status="failed" if facts.is_failed else "finished")

    def _rows(self) -> Iterator[dict[str, Any]]:
        from pyarrow import parquet

        for part in self._parts:
            names = set(parquet.read_schema(part).names)
            if missing := FORMAT - names:
                raise SourceError(f"{part} has no column {', '.join(sorted(missing))}")
            with parquet.ParquetFile(part, read_dictionary=sorted(TEXTS & names)) as table:
                for batch in table.iter_batches(BATCH):
                    for start in range(0, batch.num_rows, FEW):
                        yield from batch.slice(start, FEW).to_pylist()


class _Reader:
    """Turn rows into records.

    Args:
        run: where files are staged.
        files: where the paths of files begin.
        time: when the run began, for rows without a time.
        factor: what steps are multiplied by to be whole.

    Attributes:
        time: that of the latest row so far.
    """

    def __init__(self, run: RunFolder, files: Path | None, time: float, factor: int) -> None:
        self.time = time
        self._began = time
        self._run = run
        self._files = files
        self._factor = factor

    def point(self, row: dict[str, Any]) -> SpooledPoint:
        """Return a row of a series of numbers."""
        time, step = self._moment(row)
        value = row["float_value"]
        return SpooledPoint(
            time, step, row["attribute_path"], float("nan") if value is None else value
        )

    def records(self, row: dict[str, Any]) -> Iterator[AnyRecord]:
        """Yield the record of a row that is no number."""
        kind, key = row["attribute_type"], row["attribute_path"]
        if kind in VALUES:
            return
        time, step = self._moment(row)
        if kind == "string_series":
            yield Text(time=time, step=step, key=key, text=_short(row["string_value"] or ""))
        elif kind == "histogram_series":
            yield self._histogram(row["histogram_value"], key, time, step)
        elif kind in FILES and row["file_value"]:
            yield self._file(row["file_value"]["path"], key, time, step)
        else:
            yield Refused(time=time, key=key, reason=f"attributes of type {kind!r} are not read")

    def _moment(self, row: dict[str, Any]) -> tuple[float, int]:
        time = row["timestamp"].timestamp() if row["timestamp"] else self._began
        self.time = max(self.time, time)
        return time, int((row["step"] or 0) * self._factor)

    def _histogram(self, value: dict[str, Any], key: str, time: float, step: int) -> AnyRecord:
        try:
            bins = media.make_histogram((value["values"], value["edges"]))
        except (TypeError, ValueError) as error:
            return Refused(time=time, key=key, reason=str(error))
        return Histogram(time=time, step=step, key=key, **bins._asdict())

    def _file(self, path: str, key: str, time: float, step: int) -> AnyRecord:
        if self._files is None:
            reason = "there is no folder files beside the tables"
            return Refused(time=time, key=key, reason=reason)
        try:
            real = Reach([self._files]).place(self._files / path)
        except SourceError as error:
            return Refused(time=time, key=key, reason=str(error))
        return artifact_of(self._run, real, key, time=time, step=step)


def _parts(root: Path) -> list[Path]:
    return sorted(root.glob(PART)) if root.is_dir() else []


def _number_of(part: Path) -> int:
    return int(part.stem.rpartition("_part_")[2])


def _files_of(root: Path, reach: Reach) -> Path | None:
    """Return the folder of files: in the one that was named, or beside it."""
    places = (root / "files", root.parent / "files", root.parent.parent / "files")
    beside = reach.and_below(root.parent.parent)
    return next((place for place in places if place.is_dir() and beside.allows(place)), None)


def _places_of(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return min(MOST_PLACES, max(0, -exponent)) if isinstance(exponent, int) else 0


def _short(text: str) -> str:
    """Return a text, cut with a mark if it is long beyond reason."""
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}… ({len(text):,} characters)"


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
