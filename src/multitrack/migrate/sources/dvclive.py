"""DVCLive: its folders, with metrics, params, pictures and plots in plain files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.rows.delimited import read_delimited
from multitrack.migrate.rows.jsons import load
from multitrack.migrate.rows.records import History
from multitrack.migrate.rows.row import Fault, Rows, merged, row_of
from multitrack.migrate.rows.run import Beside, FileBeside, RowsRun
from multitrack.migrate.rows.yamls import load_yaml
from multitrack.migrate.source import Place, Reach, Source, SourceRun, Store
from multitrack.trackers.records import Image

METRICS, PARAMS, PLOTS = "metrics.json", "params.yaml", "plots"
FOLDER = "dvclive"
"""What DVCLive calls its folder if nobody names it."""
PICTURES = {".png", ".jpg", ".jpeg", ".gif"}
_STEP = re.compile(r"\d+")


class DvcliveSource(Source):
    """A folder with ``plots/metrics``, or ``metrics.json`` in one of DVCLive's name."""

    name: ClassVar[str] = "dvclive"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "dvclive"

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder is one."""
        has_series = PLOTS in place.folders and (place.path / PLOTS / "metrics").is_dir()
        is_named_so = METRICS in place.files and place.path.name == FOLDER
        if has_series or is_named_so:
            yield Store(place.path)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder."""
        folder = reach.place(location)
        files = sorted(folder.glob(f"{PLOTS}/metrics/**/*.tsv"))
        files = [reach.file(file) for file in files]
        newest = max((path.stat().st_mtime for path in (*files, folder)), default=0.0)
        history = History(partial(_rows, folder, files), newest, reach.name(folder))
        yield RowsRun(history, partial(_look, folder, reach), reach)


def _rows(folder: Path, files: list[Path]) -> Rows:
    """Yield the rows of all metrics, step by step, under their names."""
    yield from merged([_series(folder, file) for file in files])
    if not files:
        yield row_of(METRICS, {})


def _series(folder: Path, file: Path) -> Rows:
    name = file.relative_to(folder / PLOTS / "metrics").with_suffix("").as_posix()
    for row in read_delimited(file):
        if isinstance(row, Fault):
            yield row._replace(key=name)
            continue
        last = next((key for key in row.cells if key not in {"step", "timestamp"}), None)
        cells = {name if key == last else key: cell for key, cell in row.cells.items()}
        yield row._replace(place=f"{name}.tsv, {row.place}", cells=cells)


def _look(folder: Path, reach: Reach) -> Beside:
    name = folder.parent.name if folder.name == FOLDER else folder.name
    beside = Beside(name=name)
    beside.params = beside.read(PARAMS, lambda: load_yaml(reach.file(folder / PARAMS)))
    latest = row_of("", beside.read(METRICS, lambda: load(reach.file(folder / METRICS)))).cells
    series = {
        path.relative_to(folder / PLOTS / "metrics").with_suffix("").as_posix()
        for path in folder.glob(f"{PLOTS}/metrics/**/*.tsv")
    }
    beside.summary = {
        name: value
        for name, value in latest.items()
        if name not in {*series, "step"} and isinstance(value, str | int | float)
    }
    beside.files = [*_pictures(folder), *_others(folder), *_artifacts(folder, beside, reach)]
    return beside


def _pictures(folder: Path) -> Iterator[FileBeside]:
    """Yield the pictures: those in a folder of their own are named by their steps."""
    root = folder / PLOTS / "images"
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in PICTURES:
            bare = path.relative_to(root).with_suffix("")
            is_step = len(bare.parts) > 1 and _STEP.fullmatch(bare.name)
            step = int(bare.name) if is_step else 0
            yield FileBeside(path, (bare.parent if is_step else bare).as_posix(), Image, step)


def _others(folder: Path) -> Iterator[FileBeside]:
    """Yield plots that are tables, and files that belong to none of these."""
    for path in sorted(folder.glob(f"{PLOTS}/*/**/*.json")):
        yield FileBeside(path, path.relative_to(folder).as_posix(), kind="plot")


def _artifacts(folder: Path, beside: Beside, reach: Reach) -> Iterator[FileBeside]:
    """Yield what ``dvc.yaml`` names as artifacts; those that are elsewhere are told."""
    places = (folder / "dvc.yaml", folder.parent / "dvc.yaml")
    place = next((path for path in places if path.is_file() and reach.allows(path)), None)
    if place is None:
        return
    found: dict[str, Any] = beside.read("dvc.yaml", lambda: load_yaml(reach.file(place)))
    artifacts = found.get("artifacts")
    for name, about in artifacts.items() if isinstance(artifacts, dict) else ():
        if isinstance(about, dict) and about.get("path"):
            labels, meta = about.get("labels"), about.get("meta")
            yield FileBeside(
                place.parent / str(about["path"]),
                str(name),
                kind=str(about.get("type") or "file"),
                aliases=tuple(map(str, labels)) if isinstance(labels, list) else (),
                metadata=meta if isinstance(meta, dict) else {},
            )
