"""An MLflow server, or a database that is none of a file, read through MLflow's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from multitrack.migrate.reach import Reach, SourceError
from multitrack.migrate.sources._mlflow_stored import (
    Stored,
    StoredPoint,
    StoredRun,
    local_path,
    number,
)
from multitrack.trackers.backends import _mlflow_store as store
from multitrack.trackers.backends._undisturbed import undisturbed

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000
"""Runs that are asked for at once."""


class Server(Stored):
    """A server.

    Args:
        location: its address.
        reach: where files may be read.

    Raises:
        ImportError: the client is not installed; the message has the command.
        SourceError: it cannot be reached.
    """

    def __init__(self, location: str, reach: Reach) -> None:
        self._uri = store.locate(location, str(Path.cwd()))
        self._reach = reach
        store.set_defaults(self._uri)
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ImportError(
                f"reading {location} needs mlflow, which is not installed: "
                f'pip install "multitrack[mlflow]"'
            ) from None
        self._client = MlflowClient(tracking_uri=self._uri)
        try:
            self._experiments = list(_pages(self._client.search_experiments))
        except Exception as error:
            raise SourceError(f"MLflow's client cannot read {location}: {error}") from error

    def runs(self) -> Iterator[StoredRun]:
        """Yield the runs, experiment by experiment, the oldest first."""
        search, order = self._client.search_runs, ["attributes.start_time ASC"]
        for experiment in self._experiments:
            home = [experiment.experiment_id]
            for run in _pages(search, home, order_by=order, max_results=PAGE):
                yield _stored(run, experiment.name)

    def points(self, run: StoredRun, key: str) -> Iterator[StoredPoint]:
        """Yield the history of a metric."""
        for point in self._client.get_metric_history(run.run_id, key):
            yield StoredPoint(point.timestamp / 1000, point.step, number(point.value))

    def files(self, run: StoredRun, scratch: Path) -> Iterator[tuple[str, Path]]:
        """Yield the files after downloading them, if the server itself hands them out.

        Older clients ask the environment where the server is.
        """
        self._check(run.artifact_uri)
        with undisturbed({"MLFLOW_TRACKING_URI": self._uri}):
            names = [entry.path for entry in self._client.list_artifacts(run.run_id)]
        for name in names:
            with undisturbed({"MLFLOW_TRACKING_URI": self._uri}):
                path = self._client.download_artifacts(run.run_id, name, str(scratch))
            yield name, Path(path)

    def close(self) -> None:
        """Do nothing: the client keeps no connection."""

    def _check(self, artifact_uri: str) -> None:
        """See that files come from the server that was named, not from where it sends us."""
        address = urlsplit(artifact_uri)
        own = {"", urlsplit(self._uri).netloc}
        is_served = address.scheme == "mlflow-artifacts" and address.netloc in own
        path = None if is_served else local_path(artifact_uri)
        if not (is_served or self._reach.allows(path or artifact_uri)):
            raise SourceError(
                f"its files are at {artifact_uri}, which was not named; if they are yours: "
                f"--also {path or artifact_uri}"
            )


def _stored(run: Run, experiment: str) -> StoredRun:
    info, end = run.info, run.info.end_time
    return StoredRun(
        run_id=info.run_id,
        experiment=experiment,
        name=info.run_name,
        status=info.status,
        start=(info.start_time or 0) / 1000,
        end=end / 1000 if end else None,
        artifact_uri=info.artifact_uri,
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics=list(run.data.metrics),
    )


def _pages(search: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
    """Yield what a search finds, page after page."""
    token = None
    while True:
        page = search(*arguments, **options, page_token=token)
        yield from page
        if not (token := page.token):
            return
