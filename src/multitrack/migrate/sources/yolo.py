"""YOLO: the folders of its trainings, ``results.csv``, arguments, pictures and weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from multitrack.migrate.rows.delimited import headings_of, read_delimited
from multitrack.migrate.rows.records import History
from multitrack.migrate.rows.run import Beside, FileBeside, RowsRun
from multitrack.migrate.rows.yamls import load_yaml
from multitrack.migrate.source import Place, Reach, Source, SourceRun, Store
from multitrack.trackers.records import Image

METRICS, WEIGHTS = "results.csv", "weights"
ARGUMENTS = {"args.yaml": "args", "opt.yaml": "args", "hyp.yaml": "hyp"}
"""Files of arguments, and their groups in the config; version 5 has two."""
PICTURES = (".png", ".jpg", ".jpeg")


class YoloSource(Source):
    """A folder with ``results.csv`` and arguments beside it."""

    name: ClassVar[str] = "yolo"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder is that of a training."""
        has_files = METRICS in place.files and place.files & ARGUMENTS.keys()
        if has_files and "epoch" in headings_of(place.path / METRICS):
            pictures = {name for name in place.files if _is_picture(name)}
            takes = frozenset({METRICS, WEIGHTS, *ARGUMENTS, *pictures})
            yield Store(place.path / METRICS, takes)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder."""
        path = Path(location)
        path = reach.file(path / METRICS if path.is_dir() else path)
        history = History.of(partial(read_delimited, path), path, reach.name(path.parent))
        yield RowsRun(history, partial(_look, path.parent, reach), reach)


def _look(folder: Path, reach: Reach) -> Beside:
    beside = Beside(name=folder.name)
    for name, group in ARGUMENTS.items():
        if found := beside.read(name, partial(_arguments, folder / name, reach)):
            beside.params[group] = beside.params.get(group, {}) | found
    project = beside.params.get("args", {}).get("project")
    beside.project = Path(str(project)).name if project else None
    for path in sorted(folder.iterdir()):
        if _is_picture(path.name):
            beside.files.append(FileBeside(path, path.stem, Image))
    for path in sorted(folder.glob(f"{WEIGHTS}/*.pt")):
        weights = FileBeside(path, path.name, kind="model", aliases=(path.stem,))
        beside.files.append(weights)
    return beside


def _arguments(path: Path, reach: Reach) -> object:
    return load_yaml(reach.file(path))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURES)
