"""Ray Tune and Ray Train: the folders of trials, with their results and params."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.rows.delimited import read_delimited
from multitrack.migrate.rows.jsons import load, read_json_lines
from multitrack.migrate.rows.records import History, renamed
from multitrack.migrate.rows.row import Reader, Row
from multitrack.migrate.rows.run import Beside, RowsRun
from multitrack.migrate.rows.text import head_of
from multitrack.migrate.source import Place, Reach, Source, SourceRun, Store

RESULTS, PROGRESS, PARAMS, ERROR = "result.json", "progress.csv", "params.json", "error.txt"
ITERATION = "training_iteration"
ABOUT = frozenset(
    {
        "checkpoint_dir_name",
        "config",
        "date",
        "done",
        "experiment_id",
        "experiment_tag",
        "hostname",
        "node_ip",
        "pid",
        "should_checkpoint",
        "trial_id",
    }
)
"""What each result says again of the trial as a whole."""


class RaySource(Source):
    """A trial's folder, in that of an experiment."""

    name: ClassVar[str] = "ray"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder is that of a trial."""
        has_results = {RESULTS, PROGRESS} & place.files
        if has_results and any(ITERATION in head_of(place.path / name) for name in has_results):
            yield Store(place.path)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a trial."""
        path = Path(location)
        folder = reach.place(path if path.is_dir() else path.parent)
        read, file = _reader(folder, reach)
        history = History.of(renamed(read, _metric), file, reach.name(folder))
        yield RowsRun(history, partial(_look, folder, read, reach), reach)


def _reader(folder: Path, reach: Reach) -> tuple[Reader, Path]:
    """Return what reads the results: all of them are in JSON, columns may be missing in CSV."""
    results = folder / RESULTS
    if results.is_file() and results.stat().st_size:
        file = reach.file(results)
        return partial(read_json_lines, file), file
    file = reach.file(folder / PROGRESS)
    return partial(read_delimited, file), file


def _metric(name: str) -> str | None:
    return None if name.partition("/")[0] in ABOUT else name


def _look(folder: Path, read: Reader, reach: Reach) -> Beside:
    last = _last(read)
    experiment = folder.parent.name
    beside = Beside(
        id=str(last["trial_id"]) if last.get("trial_id") else None,
        name=folder.name,
        hostname=str(last["hostname"]) if last.get("hostname") else None,
        tags={"experiment": experiment},
        details={"group": experiment},
        is_running=not last.get("done"),
    )
    beside.params = beside.read(PARAMS, lambda: load(reach.file(folder / PARAMS)))
    if not beside.params:
        named = ((name.partition("/"), cell) for name, cell in last.items())
        beside.params = {name: cell for (group, _, name), cell in named if group == "config"}
    if (folder / ERROR).is_file():
        said = head_of(reach.file(folder / ERROR)).strip().splitlines() or [""]
        beside.status, beside.error, beside.is_running = "failed", said[-1] or None, False
    if names := sorted(path.name for path in folder.glob("checkpoint_*")):
        beside.refused["checkpoints"] = f"checkpoints stay where they are: {', '.join(names)}"
    return beside


def _last(read: Reader) -> dict[str, Any]:
    """Return the last result."""
    cells: dict[str, Any] = {}
    for row in read():
        if isinstance(row, Row):
            cells = row.cells
    return cells
