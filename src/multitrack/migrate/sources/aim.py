"""Aim: repositories, read with the client from a private copy, since reading one writes to it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote, urlsplit

from multitrack.migrate.files import artifact_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceRun, Store
from multitrack.migrate.sources import _aim_values as values
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import AnyRecord, End, Metrics, Params, Refused, Tags

FOLDER = ".aim"


class AimSource(Source):
    """A folder that has ``.aim`` in it, or that folder itself."""

    name: ClassVar[str] = "aim"
    distributions: ClassVar[tuple[str, ...]] = ("aim",)
    extra: ClassVar[str] = "aim"

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder has a repository, or is one."""
        if FOLDER in place.folders and (place.path / FOLDER / "meta").is_dir():
            yield Store(place.path / FOLDER, frozenset({FOLDER}))
        elif place.path.name == FOLDER and "meta" in place.folders:
            yield Store(place.path)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs of a repository."""
        from aim import Repo, Run

        with tempfile.TemporaryDirectory(prefix="multitrack-import-") as scratch:
            _copy(reach, Path(location), Path(scratch, FOLDER))
            repository = Repo.from_path(scratch)
            for run_hash in sorted(repository.list_all_runs()):
                _index(repository, run_hash)
                run = Run(run_hash, repo=repository, read_only=True)
                yield AimRun(run, Path(location).parent, reach)


class AimRun(SourceRun):
    """One run.

    Args:
        run: the client's.
        folder: in which the repository lies.
        reach: where files may be read.
    """

    def __init__(self, run: Any, folder: Path, reach: Reach) -> None:
        self.label = f"{reach.name(folder)}/{run.hash}"
        self._run = run
        self._reach = reach

    def describe(self) -> About:
        """Return what the repository says of the run."""
        run = self._run
        return About(
            id=str(run.hash),
            time=float(run.creation_time),
            project=run.experiment or None,
            name=run.name or None,
            notes=run.description or None,
            is_running=bool(run.active),
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params and tags, numbers in the order of time, other things, artifacts."""
        began = float(self._run.creation_time)
        yield from self._params(began)
        if tags := list(self._run.tags):
            yield Tags(time=began, values={str(tag): "" for tag in tags})
        latest = began
        for record in self._metrics():
            latest = max(latest, record.time)
            yield record
        yield from values.things(run, self._run, began)
        yield from self._artifacts(run, latest)
        if not self._run.active:
            yield End(time=float(self._run.end_time or latest), status="finished")

    def _params(self, began: float) -> Iterator[AnyRecord]:
        params = self._run.meta_run_attrs_tree.collect()
        tree = {str(n): value for n, value in params.items() if not str(n).startswith("__")}
        if tree:
            yield Params(time=began, values=tree)

    def _metrics(self) -> Iterator[Metrics]:
        points = sorted(self._points(), key=lambda point: (point.time, point.step))
        for (time, step, epoch), group in groupby(points, key=lambda point: point[:3]):
            taken: dict[str, bool | int | float | str] = {}
            for point in group:
                if point.name in taken:
                    yield Metrics(time=time, step=step, epoch=epoch, values=taken)
                    taken = {}
                taken[point.name] = point.value
            yield Metrics(time=time, step=step, epoch=epoch, values=taken)

    def _points(self) -> Iterator[_Point]:
        for name, context, _ in self._run.iter_metrics_info():
            steps, (numbers, epochs, times) = self._run.get_metric(name, context).data.numpy()
            key = values.key_of(name, context.to_dict())
            for step, number, epoch, time in zip(steps, numbers, epochs, times, strict=True):
                at = float(epoch) if epoch == epoch else None  # noqa: PLR0124 - NaN is none
                yield _Point(float(time), int(step), at, key, float(number))

    def _artifacts(self, run: RunFolder, time: float) -> Iterator[AnyRecord]:
        for name, artifact in self._run.artifacts.items():
            yield self._artifact(run, str(name), str(artifact.uri), time)

    def _artifact(self, run: RunFolder, name: str, uri: str, time: float) -> AnyRecord:
        try:
            path = self._reach.place(unquote(urlsplit(uri).path))
        except (OSError, ValueError) as error:
            return Refused(time=time, key=name, reason=one_line(error))
        return artifact_of(run, path, name, time=time)


class _Point(NamedTuple):
    """A value of one series."""

    time: float
    step: int
    epoch: float | None
    name: str
    value: float


def _copy(reach: Reach, source: Path, target: Path) -> None:
    for path in reach.files_below(source):
        copy = target / path.relative_to(reach.place(source))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for name in ("meta/chunks", "seqs/chunks", "check_ins", "locks"):
        (target / name).mkdir(parents=True, exist_ok=True)


def _index(repository: Any, run_hash: str) -> None:
    """Let the client index a run of the copy: one that is in no index has no params."""
    from aim.sdk.index_manager import RepoIndexManager

    RepoIndexManager.get_index_manager(repository).index(run_hash)
