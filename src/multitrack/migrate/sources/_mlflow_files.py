"""A folder of files as MLflow keeps runs in: whatever is missing or broken costs itself alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multitrack.migrate.reach import Reach, SourceError
from multitrack.migrate.reading import read_lines, read_whole
from multitrack.migrate.sources._mlflow_stored import (
    RUN_ID,
    Stored,
    StoredPoint,
    StoredRun,
    local_path,
    moved,
)
from multitrack.trackers.outcomes import one_line

META = "meta.yaml"
PARTS = ("metrics", "params", "tags")
STATUSES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
MARK = re.compile(rb"^(experiment_id|run_id|run_uuid):", re.MULTILINE)
MOST_META = 1024 * 1024
FIELDS = 2
"""Words of a metric's line that must be there: time and value; the step was added later."""


def is_meta(path: Path) -> bool:
    """Tell whether a file says what an experiment or a run of MLflow's is."""
    try:
        with path.open("rb") as file:
            return bool(MARK.search(file.read(4096)))
    except OSError:
        return False


class Files(Stored):
    """A folder of experiments, one of an experiment, or one of a run.

    Args:
        root: the folder.
        reach: where files may be read.
    """

    def __init__(self, root: Path, reach: Reach) -> None:
        self._root = root
        self._reach = reach
        self._folders: dict[str, Path] = {}

    def runs(self) -> Iterator[StoredRun]:
        """Yield all runs that are not deleted."""
        if _is_run(self._root):
            yield from self._run(self._root, self._root.parent.name)
        elif any(map(_is_run, _folders(self._root))):
            yield from self._experiment(self._root)
        else:
            for folder in _folders(self._root):
                yield from self._experiment(folder)

    def points(self, run: StoredRun, key: str) -> Iterator[StoredPoint]:
        """Yield the history of a metric; a line that is none costs that line."""
        try:
            path = self._reach.file(self._folders[run.run_id] / "metrics" / key)
            for number, line in enumerate(read_lines(path), start=1):
                if point := _point(line):
                    yield point
                elif line.strip():
                    run.broken.setdefault(key, f"line {number} of {path} is no point")
        except (OSError, SourceError) as error:
            run.broken[key] = one_line(error)

    def files(self, run: StoredRun, scratch: Path) -> Iterator[tuple[str, Path]]:
        """Yield the files, which lie beside what describes the run, wherever that is now."""
        folder = self._folders[run.run_id] / "artifacts"
        if not folder.is_dir():
            folder = moved(run, self._root, (), self._reach) or self._elsewhere(run, folder)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            yield path.name, self._reach.place(path)

    def close(self) -> None:
        """Do nothing: every file is closed when it is read."""

    def _elsewhere(self, run: StoredRun, folder: Path) -> Path:
        """Return the folder that is missing, as an empty one is in a repository.

        Raises:
            SourceError: the files are somewhere else.
        """
        path = local_path(run.artifact_uri)
        if run.artifact_uri and (path is None or path.parts[-3:] != folder.parts[-3:]):
            raise SourceError(
                f"its files are at {run.artifact_uri}, which was not named or is not there; "
                f"if they are yours: --also that folder"
            )
        return folder

    def _experiment(self, folder: Path) -> Iterator[StoredRun]:
        meta, _ = self._meta(folder)
        if meta.get("lifecycle_stage") == "deleted":
            return
        for path in _folders(folder):
            if _is_run(path):
                yield from self._run(path, str(meta.get("name") or folder.name))

    def _run(self, folder: Path, experiment: str) -> Iterator[StoredRun]:
        meta, broken = self._meta(folder)
        if meta.get("lifecycle_stage") == "deleted":
            return
        run_id = str(meta.get("run_id") or meta.get("run_uuid") or folder.name)
        self._folders[run_id] = folder
        tags, metrics = self._texts(folder / "tags", broken), self._names(folder / "metrics")
        status = str(meta.get("status", ""))
        start, end = _seconds(meta.get("start_time")), _seconds(meta.get("end_time"))
        yield StoredRun(
            run_id=run_id,
            experiment=experiment,
            name=str(meta.get("run_name") or tags.get("mlflow.runName") or "") or None,
            status=STATUSES.get(status, status),
            start=folder.stat().st_mtime if start is None else start,
            end=end,
            artifact_uri=str(meta.get("artifact_uri") or ""),
            params=self._texts(folder / "params", broken),
            tags=tags,
            metrics=metrics,
            broken=broken,
        )

    def _meta(self, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what a folder's description says, and what is wrong with it."""
        import yaml

        path = folder / META
        try:
            found = yaml.safe_load(read_whole(self._reach.file(path), MOST_META))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            return {}, {META: f"{path} cannot be read: {one_line(error)}"}
        return (found, {}) if isinstance(found, dict) else ({}, {META: f"{path} says nothing"})

    def _names(self, folder: Path) -> list[str]:
        """Return the names in a folder; a slash in one has made folders."""
        if not folder.is_dir():
            return []
        found = []
        for parent, folders, names in os.walk(self._reach.place(folder)):
            folders.sort()
            found += [Path(parent, name).relative_to(folder.resolve()) for name in sorted(names)]
        return [path.as_posix() for path in found]

    def _texts(self, folder: Path, broken: dict[str, str]) -> dict[str, str]:
        """Return what each file of a folder holds."""
        texts = {name: self._text(folder, name, broken) for name in self._names(folder)}
        return {name: text for name, text in texts.items() if text is not None}

    def _text(self, folder: Path, name: str, broken: dict[str, str]) -> str | None:
        try:
            content = read_whole(self._reach.file(folder / name), MOST_META)
        except (OSError, SourceError) as error:
            broken[name] = one_line(error)
            return None
        return content.decode(errors="replace")


def _point(line: bytes) -> StoredPoint | None:
    """Return what a line holds, None if it is no point."""
    words = line.split()
    try:
        step = int(words[2]) if len(words) > FIELDS else 0
        return StoredPoint(int(words[0]) / 1000, step, float(words[1]))
    except (IndexError, ValueError, OverflowError):
        return None


def _is_run(folder: Path) -> bool:
    """Tell whether a folder is a run's, even if what describes it is gone."""
    if folder.parent.name == "models":
        return False
    if RUN_ID.fullmatch(folder.name) and any((folder / part).is_dir() for part in PARTS):
        return True
    try:
        with (folder / META).open("rb") as file:
            return b"run_id" in (head := file.read(4096)) or b"run_uuid" in head
    except OSError:
        return False


def _folders(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
