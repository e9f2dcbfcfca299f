"""Lightning: the folders of its CSVLogger, ``metrics.csv`` and ``hparams.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from multitrack.migrate.rows.delimited import headings_of, read_delimited
from multitrack.migrate.rows.records import History
from multitrack.migrate.rows.run import Beside, RowsRun
from multitrack.migrate.rows.yamls import load_yaml
from multitrack.migrate.source import Place, Reach, Source, SourceRun, Store

METRICS, PARAMS, CHECKPOINTS = "metrics.csv", "hparams.yaml", "checkpoints"
FOLDER = "lightning_logs"
"""What Lightning calls the folder of all runs if nobody names it."""
_VERSION = re.compile(r"version_\d+")


class LightningSource(Source):
    """A folder ``version_N``, or any that has both files."""

    name: ClassVar[str] = "lightning"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder is that of a run."""
        if METRICS not in place.files:
            return
        is_version = _VERSION.fullmatch(place.path.name) or PARAMS in place.files
        if is_version and "step" in headings_of(place.path / METRICS):
            yield Store(place.path / METRICS, frozenset({METRICS, PARAMS, CHECKPOINTS}))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder."""
        path = Path(location)
        path = reach.file(path / METRICS if path.is_dir() else path)
        history = History.of(partial(read_delimited, path), path, reach.name(path.parent))
        yield RowsRun(history, partial(_look, path.parent, reach), reach)


def _look(folder: Path, reach: Reach) -> Beside:
    above = folder.parent.name
    beside = Beside(name=folder.name, project=above if above != FOLDER else None)
    beside.params = beside.read(PARAMS, lambda: load_yaml(reach.file(folder / PARAMS)))
    if names := sorted(path.name for path in folder.glob(f"{CHECKPOINTS}/*.ckpt")):
        beside.refused[CHECKPOINTS] = f"checkpoints stay where they are: {', '.join(names)}"
    return beside
