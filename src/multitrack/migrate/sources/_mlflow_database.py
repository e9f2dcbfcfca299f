"""A SQLite database of MLflow's, of any of its releases: a private copy of it is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from multitrack.migrate.reach import Reach, SourceError
from multitrack.migrate.reading import opened_database
from multitrack.migrate.sources._mlflow_stored import (
    Stored,
    StoredPoint,
    StoredRun,
    moved,
    number,
)

BESIDE = ("mlruns", "mlartifacts")
"""Folders beside a database in which MLflow keeps files by default."""
NEEDED = {
    "experiments": ("experiment_id", "name"),
    "runs": ("run_uuid", "experiment_id", "status", "start_time", "artifact_uri"),
}
RUNS = """
SELECT runs.*, experiments.name AS experiment_name FROM runs JOIN experiments
ON runs.experiment_id = experiments.experiment_id
WHERE coalesce(runs.lifecycle_stage, 'active') = 'active'
AND coalesce(experiments.lifecycle_stage, 'active') = 'active'
ORDER BY runs.experiment_id, runs.start_time, runs.run_uuid
"""


class Database(Stored):
    """A database.

    Args:
        path: the file.
        reach: where files may be read.

    Raises:
        SourceError: it is none of MLflow's.
    """

    def __init__(self, path: Path, reach: Reach) -> None:
        self._home = path.parent
        self._reach = reach
        self._open = ExitStack()
        self._connection = self._open.enter_context(opened_database(path))
        self._connection.row_factory = sqlite3.Row
        for table, columns in NEEDED.items():
            if not set(columns) <= self._columns(table):
                self.close()
                raise SourceError(f"{path} is no database of MLflow's: it has no table {table}")

    def runs(self) -> Iterator[StoredRun]:
        """Yield all runs that are not deleted, experiment by experiment, the oldest first."""
        for row in self._connection.execute(RUNS).fetchall():
            yield self._run(row)

    def points(self, run: StoredRun, key: str) -> Iterator[StoredPoint]:
        """Yield the history of a metric."""
        query = "SELECT * FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY timestamp, rowid"
        if "step" in self._columns("metrics"):
            query = query.replace("timestamp,", "timestamp, step,")
        for row in self._connection.execute(query, (run.run_id, key)):
            cells = dict(row)
            value = float("nan") if cells.get("is_nan") else number(float(cells["value"]))
            yield StoredPoint(cells["timestamp"] / 1000, cells.get("step") or 0, value)

    def files(self, run: StoredRun, scratch: Path) -> Iterator[tuple[str, Path]]:
        """Yield the files, which lie where the database says, or beside it."""
        folder = moved(run, self._home, BESIDE, self._reach)
        if folder is None and run.artifact_uri:
            raise SourceError(
                f"its files are at {run.artifact_uri}, which was not named or is not there; "
                f"if they are yours: --also that folder, or put them beside the database"
            )
        for path in sorted(folder.iterdir()) if folder else ():
            yield path.name, Reach([path.parent]).place(path)

    def close(self) -> None:
        """Remove the copy."""
        self._open.close()

    def _columns(self, table: str) -> set[str]:
        rows = self._connection.execute(f"PRAGMA table_info({table})")  # one of our own words
        return {row["name"] for row in rows}

    def _run(self, row: sqlite3.Row) -> StoredRun:
        cells = dict(row)
        broken: dict[str, str] = {}
        tags = self._pairs("tags", cells["run_uuid"], broken)
        start, end = cells["start_time"], cells.get("end_time")
        return StoredRun(
            run_id=str(cells["run_uuid"]),
            experiment=str(cells["experiment_name"]),
            name=cells.get("name") or tags.get("mlflow.runName"),
            status=str(cells["status"] or ""),
            start=(start or 0) / 1000,
            end=end / 1000 if end else None,
            artifact_uri=str(cells["artifact_uri"] or ""),
            params=self._pairs("params", cells["run_uuid"], broken),
            tags=tags,
            metrics=self._metrics(cells["run_uuid"], broken),
            broken=broken,
        )

    def _pairs(self, table: str, run_id: str, broken: dict[str, str]) -> dict[str, str]:
        query = f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY rowid"  # noqa: S608 - our own word
        return {str(k): str(v) for k, v in self._rows(query, run_id, table, broken)}

    def _metrics(self, run_id: str, broken: dict[str, str]) -> list[str]:
        query = "SELECT key FROM metrics WHERE run_uuid = ? GROUP BY key ORDER BY min(rowid)"
        return [str(key) for (key,) in self._rows(query, run_id, "metrics", broken)]

    def _rows(self, query: str, run_id: str, table: str, broken: dict[str, str]) -> list[Any]:
        try:
            return self._connection.execute(query, (run_id,)).fetchall()
        except sqlite3.Error as error:
            broken[table] = f"the database is damaged: {error}"
            return []
