"""Trackio: the databases of its folder, one a project, and the files beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.reading import BESIDE, opened_database, tables_of
from multitrack.migrate.rows.jsons import decode
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.sources import _trackio_values as values
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import END_STATUSES, AnyRecord, End, Params, Refused, Summary, Tags
from multitrack.trackers.values import as_step

OURS = "multitrack"
"""Name in the config under which our backend keeps what Trackio has no place for."""
OWN = ("_Username", "_Created", "_Group")


class TrackioSource(Source):
    """Databases with tables of Trackio's layout; each is a project."""

    name: ClassVar[str] = "trackio"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "trackio"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield the databases, each with its files if it is the only one."""
        found = [name for name in sorted(place.files) if _is_project(place.path / name)]
        for name in found:
            stem = Path(name).stem
            takes = {name, f"{stem}.lock", "media", "artifacts", *(name + end for end in BESIDE)}
            yield Store(place.path / name, frozenset(takes))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs of a project."""
        path = reach.file(location)
        with opened_database(path) as database:
            has_ids = "run_id" in {row[1] for row in database.execute("PRAGMA table_info(metrics)")}
            if not has_ids:
                raise SourceError(
                    f"{location} is of a release before ids; open it with Trackio once"
                )
            known = "SELECT DISTINCT run_id FROM metrics UNION SELECT DISTINCT run_id FROM configs"
            for (run_id,) in database.execute(known).fetchall():
                yield TrackioRun(database, path, str(run_id), reach)


class TrackioRun(SourceRun):
    """One run.

    Args:
        database: an open copy.
        path: where the database lies.
        run_id: Trackio's id.
        reach: where files may be read.
    """

    def __init__(self, database: sqlite3.Connection, path: Path, run_id: str, reach: Reach) -> None:
        self.label = f"{path.stem}/{run_id}"
        self._database = database
        self._path = path
        self._id = run_id
        beside = (path.parent.resolve() / name for name in ("media", "artifacts"))
        self._reach = reach.and_below(*(folder for folder in beside if not folder.is_symlink()))

    def describe(self) -> About:
        """Return what the config and the first row say of the run."""
        config = self._config()
        created = _moment(config.get("_Created"))
        rows = self._rows("SELECT run_name, timestamp FROM metrics WHERE run_id = ? ORDER BY id")
        name, began = next(rows, (None, None))
        ours = config.get(OURS)
        group = config.get("_Group")
        return About(
            id=self._id,
            time=min(_moment(began) or created or self._path.stat().st_mtime, created or 1e11),
            project=self._path.stem,
            name=name or self._name(),
            notes=ours.get("notes") if isinstance(ours, dict) else None,
            details={"group": group} if group else {},
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield the config, the rows, artifacts and alerts."""
        config, time = self._config(), self.describe().time
        ours = config.pop(OURS, None)
        ours = ours if isinstance(ours, dict) else {}
        tree = {name: value for name, value in config.items() if name not in OWN}
        yield Params(time=time, values=tree | ours.get("params", {}))
        if tags := ours.get("tags"):
            yield Tags(time=time, values={str(name): str(value) for name, value in tags.items()})
        place = values.Files(run, self._path.parent, self._reach)
        for record in self._metrics(place, is_ours=bool(ours)):
            time = max(time, record.time)
            yield record
        yield from self._artifacts(place, time)
        if summary := ours.get("summary"):
            yield Summary(time=time, values=summary)
        status = ours.get("status")
        yield End(time=time, status=status if status in END_STATUSES else "finished")

    def _metrics(self, place: values.Files, *, is_ours: bool) -> Iterator[AnyRecord]:
        for moment, at, text in self._rows(
            "SELECT timestamp, step, metrics FROM metrics WHERE run_id = ? ORDER BY id"
        ):
            time = _moment(moment) or 0.0
            row, step = _object(text), _step(at)
            if row is None or step is None:
                yield Refused(time=time, key="rows", reason=f"a row at step {at!r} is unreadable")
            else:
                epoch = row.pop("epoch", None) if is_ours else None
                yield from place.records(row, time, step, epoch)
        for moment, text in self._rows(
            "SELECT timestamp, metrics FROM system_metrics WHERE run_id = ? ORDER BY id"
        ):
            if row := _object(text):
                yield from place.system(row, _moment(moment) or 0.0)

    def _artifacts(self, place: values.Files, time: float) -> Iterator[AnyRecord]:
        query = (
            "SELECT a.name, a.type, v.manifest, v.metadata, v.id FROM run_artifact_links l"
            " JOIN artifact_versions v ON v.id = l.artifact_version_id"
            " JOIN artifacts a ON a.id = v.artifact_id"
            " WHERE l.run_id = ? AND l.direction = 'output' ORDER BY v.id"
        )
        for name, kind, manifest, metadata, version in self._rows(query):
            named = "SELECT alias FROM artifact_aliases WHERE artifact_version_id = ?"
            aliases = [str(row[0]) for row in self._database.execute(named, (version,))]
            yield place.artifact(name, kind, manifest, aliases, _object(metadata) or {}, time=time)

    def _config(self) -> dict[str, Any]:
        text = next(self._rows("SELECT config FROM configs WHERE run_id = ?"), (None,))[0]
        return _object(text) or {}

    def _name(self) -> str | None:
        return str(next(self._rows("SELECT run_name FROM configs WHERE run_id = ?"), ("",))[0])

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute(query, (self._id,))
        except sqlite3.OperationalError:
            return  # an earlier release has no such table


def _is_project(path: Path) -> bool:
    return path.suffix == ".db" and {"metrics", "configs"} <= tables_of(path)


def _object(text: Any) -> dict[str, Any] | None:
    """Return a JSON object, None if a cell holds none."""
    try:
        found = decode(text if isinstance(text, str) else bytes(text).decode(errors="replace"))
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _moment(text: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _step(cell: Any) -> int | None:
    try:
        return as_step(cell)
    except (TypeError, ValueError, OverflowError):
        return None
