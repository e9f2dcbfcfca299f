"""MLflow: a database, a folder of files or a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate import reading
from multitrack.migrate.files import artifact_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceRun, Store
from multitrack.migrate.sources._mlflow_database import BESIDE, Database
from multitrack.migrate.sources._mlflow_files import META, Files, is_meta
from multitrack.migrate.sources._mlflow_server import Server
from multitrack.migrate.sources._mlflow_stored import Stored, StoredRun
from multitrack.migrate.spool import Spool, SpooledPoint
from multitrack.trackers.backends._mlflow_names import PARAMS, SUMMARY
from multitrack.trackers.backends._mlflow_run import RUN_ID
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.names import unescape
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    End,
    EndStatus,
    Git,
    Params,
    Refused,
    Scalar,
    Summary,
    Tags,
)

WORDS: dict[str, EndStatus] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
"""Statuses that are outcomes; the others say that the run goes on, or died unheard."""
OWN = "mlflow."
"""Start of the tags that MLflow itself sets."""
SQLITE_URI = "sqlite:///"
DATABASES = (SQLITE_URI, "postgresql://", "mysql://", "mysql+pymysql://", "mssql://")


class MLflowSource(Source):
    """A tracking store: all runs of all experiments that are not deleted."""

    name: ClassVar[str] = "mlflow"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "mlflow"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield a folder of experiments or runs, and databases."""
        metas = [place.path / META, *(place.path / name / META for name in place.folders)]
        if any(map(is_meta, metas)):
            yield Store(place.path)
        for name in sorted(place.files):
            if _is_database(place.path / name):
                beside = {name} | {name + end for end in reading.BESIDE}
                yield Store(place.path / name, frozenset(beside) | _artifacts_of(place))

    def serves(self, address: str) -> bool:
        """Tell whether it is a server's or a database's address."""
        return address.startswith(("http://", "https://", *DATABASES))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs, experiment by experiment."""
        stored = _open(location, reach)
        try:
            for run in stored.runs():
                yield MLflowRun(stored, run)
        finally:
            stored.close()


class MLflowRun(SourceRun):
    """One run.

    Args:
        stored: the store.
        run: as the store lists it.
    """

    def __init__(self, stored: Stored, run: StoredRun) -> None:
        self.label = run.run_id
        self._stored = stored
        self._run = run
        self._is_ours = RUN_ID in run.tags

    def describe(self) -> About:
        """Return what the store says of the run, MLflow's own tags included."""
        run, own = self._run, self._own_tags()
        commit = own.pop("mlflow.source.git.commit", None)
        script = own.pop("mlflow.source.name", None)
        notes = own.pop("mlflow.note.content", None)
        own.pop("mlflow.runName", None)
        links = {"parent": own.pop("mlflow.parentRunId", None), "run_id": own.pop(RUN_ID, None)}
        return About(
            id=run.run_id,
            time=run.start,
            project=run.experiment,
            name=run.name,
            notes=notes,
            command=[script] if script else [],
            git=Git(commit=commit) if commit else None,
            details={name: link for name, link in links.items() if link} | {"tags": own},
            is_running=run.status not in WORDS,
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params and tags, the points in the order of their times, the files."""
        time = self._run.start
        ended = self._run.end or time
        if params := self._params():
            yield Params(time=time, values=params)
        if tags := self._tags():
            yield Tags(time=time, values=tags)
        with tempfile.TemporaryDirectory(dir=run.path) as scratch:
            yield from self._points(Path(scratch, "points"))
            if summary := self._summary():
                yield Summary(time=ended, values=summary)
            yield from self._artifacts(run, Path(scratch), ended)
        for key, reason in self._run.broken.items():
            yield Refused(time=ended, key=key, reason=reason)
        if self._run.status in WORDS:
            yield End(time=ended, status=WORDS[self._run.status])

    def _points(self, path: Path) -> Iterator[AnyRecord]:
        """Yield the history of all metrics; one metric at a time is in memory."""
        with closing(Spool(path)) as spool:
            for key in self._run.metrics:
                if not (self._is_ours and key.startswith(SUMMARY)):
                    self._add(spool, key)
            yield from spool.records()

    def _add(self, spool: Spool, key: str) -> None:
        """Add a metric's history; one that cannot be read to its end costs what is left of it."""
        name = self._name(key)
        points = self._stored.points(self._run, key)
        try:
            spool.add(SpooledPoint(p.time, p.step, name, p.value) for p in points)
        except Exception as error:  # of a damaged store or a client, whatever it is
            self._run.broken[key] = one_line(error)

    def _artifacts(self, run: RunFolder, scratch: Path, time: float) -> Iterator[AnyRecord]:
        """Yield each file and folder of the top level as one artifact."""
        try:
            for name, path in self._stored.files(self._run, scratch):
                kind = "model" if (path / "MLmodel").is_file() else "file"
                yield artifact_of(run, path, name, time=time, kind=kind)
        except Exception as error:  # of a server that is gone, or a path that is not ours to read
            self._run.broken["artifacts"] = one_line(error)

    def _params(self) -> dict[str, Any]:
        """Return the params as a tree, with the numbers that the store keeps as text."""
        tags = self._run.tags if self._is_ours else {}
        tree: dict[str, Any] = {}
        for key, text in self._run.params.items():
            _place(tree, self._name(key), _value(tags.get(PARAMS + key, text)), nests=self._is_ours)
        return tree

    def _tags(self) -> dict[str, str]:
        """Return the tags that users set."""
        ours = (RUN_ID, PARAMS, SUMMARY) if self._is_ours else ()
        tags = self._run.tags.items()
        return {self._name(k): v for k, v in tags if not k.startswith((OWN, *ours))}

    def _own_tags(self) -> dict[str, str]:
        return {k: v for k, v in self._run.tags.items() if k.startswith(OWN) or k == RUN_ID}

    def _summary(self) -> dict[str, Scalar]:
        """Return the single values of a run of ours; MLflow itself knows none."""
        if not self._is_ours:
            return {}
        keys = [key for key in self._run.metrics if key.startswith(SUMMARY)]
        last = {key: list(self._stored.points(self._run, key))[-1:] for key in keys}
        stored: dict[str, Any] = {key: points[0].value for key, points in last.items() if points}
        stored |= {key: tag for key, tag in self._run.tags.items() if key.startswith(SUMMARY)}
        return {unescape(key.removeprefix(SUMMARY)): value for key, value in stored.items()}

    def _name(self, key: str) -> str:
        """Return what a key stands for."""
        return unescape(key) if self._is_ours else key


def _open(location: str, reach: Reach) -> Stored:
    """Return how a store is read: a file, a folder or a server."""
    if location.startswith(SQLITE_URI):
        location = str(Path(location.removeprefix(SQLITE_URI)).absolute())
        reach = reach.and_below(location)
    if "://" in location:
        return Server(location, reach)
    path = reach.place(location)
    return Database(path, reach) if path.is_file() else Files(path, reach)


def _artifacts_of(place: Place) -> frozenset[str]:
    """Return the folders beside a database in which its files lie, and that are no stores."""
    beside = place.folders & frozenset(BESIDE)
    return frozenset(n for n in beside if not any(map(is_meta, place.path.glob(f"{n}/*/{META}"))))


def _is_database(path: Path) -> bool:
    """Tell MLflow's databases from those of others, unless their tables are in the log alone."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        is_sqlite = file.read(len(reading.SQLITE)) == reading.SQLITE
    tables = reading.tables_of(path) if is_sqlite else frozenset()
    return is_sqlite and (not tables or "experiments" in tables)


def _value(text: str) -> bool | int | float | str:
    """Return the value whose ``str`` a param is; other text stays text.

    >>> _value("0.1"), _value("007"), _value("True")
    (0.1, '007', True)
    """
    if text in {"True", "False"}:
        return text == "True"
    kinds: tuple[type[int], type[float]] = (int, float)
    for kind in kinds:
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:  # noqa: PERF203 - the next kind may do
            continue
    return text


def _place(tree: dict[str, Any], name: str, value: Any, *, nests: bool) -> None:
    """Set a value in a tree; where a name is taken by a value, the rest of it is one name."""
    head, slash, rest = name.partition("/")
    if nests and slash and isinstance(tree.setdefault(head, {}), dict):
        _place(tree[head], rest, value, nests=True)
    else:
        tree[name] = value
