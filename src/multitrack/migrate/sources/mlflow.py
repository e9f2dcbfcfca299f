"""MLflow: a database, a folder of files or a server, read through its own client."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from multitrack.migrate.files import artifact_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.spool import Spool, SpooledPoint
from multitrack.trackers.backends import _mlflow_store as store
from multitrack.trackers.backends._mlflow_names import PARAMS, SUMMARY
from multitrack.trackers.backends._mlflow_run import RUN_ID
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.names import unescape
from multitrack.trackers.records import (
    AnyRecord,
    End,
    EndStatus,
    Git,
    Params,
    Scalar,
    Summary,
    Tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WORDS: dict[str, EndStatus] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
"""Statuses that are outcomes; the others say that the run goes on, or died unheard."""
OWN = "mlflow."
"""Start of the tags that MLflow itself sets."""
PAGE = 1000
"""Runs that are asked for at once."""
SQLITE = b"SQLite format 3\0"
DATABASES = ("sqlite://", "postgresql://", "mysql://", "mysql+pymysql://", "mssql://")


class MLflowSource(Source):
    """A tracking store: all runs of all experiments that are not deleted."""

    name: ClassVar[str] = "mlflow"
    distributions: ClassVar[tuple[str, ...]] = ("mlflow", "mlflow-skinny")
    extra: ClassVar[str] = "mlflow"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield a folder of experiments, and databases."""
        if any((place.path / name / "meta.yaml").is_file() for name in place.folders):
            yield Store(place.path)
        for name in sorted(place.files):
            if _is_database(place.path / name):
                yield Store(place.path / name, frozenset({name}))

    def serves(self, address: str) -> bool:
        """Tell whether it is a server's or a database's address."""
        return address.startswith(("http://", "https://", *DATABASES))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs, experiment by experiment, the oldest first."""
        uri = _uri(location)
        store.set_defaults(uri)
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        try:
            experiments = list(_pages(client.search_experiments))
        except Exception as error:
            raise SourceError(f"MLflow's client cannot read {location}: {error}") from error
        for experiment in experiments:
            order = ["attributes.start_time ASC"]
            search = client.search_runs
            for run in _pages(search, [experiment.experiment_id], order_by=order, max_results=PAGE):
                yield MLflowRun(client, uri, run, experiment.name)


class MLflowRun(SourceRun):
    """One run.

    Args:
        client: of the store.
        uri: where the store is.
        run: as the store lists it.
        experiment: the name of its experiment.
    """

    def __init__(self, client: MlflowClient, uri: str, run: Run, experiment: str) -> None:
        self.label = run.info.run_id
        self._uri = uri
        self._client = client
        self._run = run
        self._experiment = experiment
        self._is_ours = RUN_ID in run.data.tags

    def describe(self) -> About:
        """Return what the store says of the run, MLflow's own tags included."""
        info, own = self._run.info, self._own_tags()
        commit = own.pop("mlflow.source.git.commit", None)
        script = own.pop("mlflow.source.name", None)
        notes = own.pop("mlflow.note.content", None)
        own.pop("mlflow.runName", None)
        links = {"parent": own.pop("mlflow.parentRunId", None), "run_id": own.pop(RUN_ID, None)}
        return About(
            id=info.run_id,
            time=info.start_time / 1000,
            project=self._experiment,
            name=info.run_name,
            notes=notes,
            command=[script] if script else [],
            git=Git(commit=commit) if commit else None,
            details={name: link for name, link in links.items() if link} | {"tags": own},
            is_running=info.status not in WORDS,
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params and tags, the points in the order of their times, the files."""
        info, time = self._run.info, self._run.info.start_time / 1000
        if params := self._params():
            yield Params(time=time, values=params)
        if tags := self._tags():
            yield Tags(time=time, values=tags)
        with tempfile.TemporaryDirectory(dir=run.path) as scratch:
            yield from self._points(Path(scratch, "points"))
            ended = (info.end_time or info.start_time) / 1000
            if summary := self._summary():
                yield Summary(time=ended, values=summary)
            yield from self._artifacts(run, Path(scratch), ended)
        if info.status in WORDS:
            yield End(time=ended, status=WORDS[info.status])

    def _points(self, path: Path) -> Iterator[AnyRecord]:
        """Yield the history of all metrics; one metric at a time is in memory."""
        with closing(Spool(path)) as spool:
            for key in self._run.data.metrics:
                if not (self._is_ours and key.startswith(SUMMARY)):
                    history = self._client.get_metric_history(self.label, key)
                    name = self._name(key)
                    spool.add(
                        SpooledPoint(m.timestamp / 1000, m.step, name, _number(m.value))
                        for m in history
                    )
            yield from spool.records()

    def _artifacts(self, run: RunFolder, scratch: Path, time: float) -> Iterator[AnyRecord]:
        """Yield each file and folder of the top level as one artifact.

        For files on a server, older clients ask the environment where it is.
        """
        with undisturbed({"MLFLOW_TRACKING_URI": self._uri}):
            names = [entry.path for entry in self._client.list_artifacts(self.label)]
        for name in names:
            with undisturbed({"MLFLOW_TRACKING_URI": self._uri}):
                path = Path(self._client.download_artifacts(self.label, name, str(scratch)))
            kind = "model" if (path / "MLmodel").is_file() else "file"
            yield artifact_of(run, path, name, time=time, kind=kind)

    def _params(self) -> dict[str, Any]:
        """Return the params as a tree, with the numbers that the store keeps as text."""
        tags = self._run.data.tags if self._is_ours else {}
        tree: dict[str, Any] = {}
        for key, text in self._run.data.params.items():
            _place(tree, self._name(key), _value(tags.get(PARAMS + key, text)), nests=self._is_ours)
        return tree

    def _tags(self) -> dict[str, str]:
        """Return the tags that users set."""
        ours = (RUN_ID, PARAMS, SUMMARY) if self._is_ours else ()
        tags = self._run.data.tags.items()
        return {self._name(k): v for k, v in tags if not k.startswith((OWN, *ours))}

    def _own_tags(self) -> dict[str, str]:
        return {k: v for k, v in self._run.data.tags.items() if k.startswith(OWN) or k == RUN_ID}

    def _summary(self) -> dict[str, Scalar]:
        """Return the single values of a run of ours; MLflow itself knows none."""
        if not self._is_ours:
            return {}
        stored: dict[str, Any] = {**self._run.data.metrics, **self._run.data.tags}
        return {
            unescape(key.removeprefix(SUMMARY)): value
            for key, value in stored.items()
            if key.startswith(SUMMARY)
        }

    def _name(self, key: str) -> str:
        """Return what a key stands for."""
        return unescape(key) if self._is_ours else key


def _uri(location: str) -> str:
    """Return the tracking URI of an address or a path."""
    if "://" in location:
        return store.locate(location, str(Path.cwd()))
    path = Path(location).expanduser().resolve()
    return f"sqlite:///{path}" if path.is_file() else path.as_uri()


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _pages(search: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
    """Yield what a search finds, page after page."""
    token = None
    while True:
        page = search(*arguments, **options, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _number(value: float) -> float:
    """Return a value; a database holds the largest number for an infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


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
