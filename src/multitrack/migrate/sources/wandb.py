"""Weights & Biases: the folders that its client writes, offline or beside what it uploads."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from multitrack.migrate.files import artifact_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.sources import _wandb_values as values
from multitrack.trackers.backends import _wandb_log as log
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import (
    END_STATUSES,
    NON_FINITE,
    AnyRecord,
    End,
    EndStatus,
    Git,
    Metrics,
    Params,
    Scalar,
    Summary,
    Tags,
)

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record, RunRecord

FILE = "run-*.wandb"
PATTERN = f"*run-*-*/{FILE}"
OUTCOME = "multitrack/status"
"""Name in the summary under which our backend keeps the outcome."""
INTERRUPTED = 255
CLIENTS_FILES = {"config.yaml", "wandb-summary.json", "wandb-metadata.json", "media"}
"""What the client itself puts among a run's files."""


class WandbSource(Source):
    """A ``wandb`` folder, one run's folder in it, or one ``.wandb`` file."""

    name: ClassVar[str] = "wandb"
    distributions: ClassVar[tuple[str, ...]] = ("wandb",)
    extra: ClassVar[str] = "wandb"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield a folder of runs' folders, or a run's file."""
        folders = {name for name in place.folders if _is_run(place.path / name)}
        if folders:
            yield Store(place.path, frozenset(folders | {"latest-run"}))
        for name in place.files:
            if fnmatch(name, FILE):
                yield Store(place.path / name, place.files | place.folders)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs, each with all its sessions."""
        files = _files(Path(location).expanduser())
        if not files:
            raise SourceError(f"{location} holds no folder of a run with a .wandb file in it.")
        sessions: dict[str, list[Path]] = {}
        for path in files:
            sessions.setdefault(path.stem.removeprefix("run-"), []).append(path)
        for run_id, paths in sessions.items():
            yield WandbRun(run_id, sorted(paths, key=lambda path: path.parent.name))


class WandbRun(SourceRun):
    """One run.

    Args:
        run_id: W&B's id.
        paths: the files of its sessions, the oldest first.
    """

    def __init__(self, run_id: str, paths: list[Path]) -> None:
        self.label = run_id
        self._paths = paths

    def describe(self) -> About:
        """Return what the first session says of the run, and the last of its name and notes."""
        first, last = _head(self._paths[0]), _head(self._paths[-1])
        links = {"entity": last.entity, "group": last.run_group, "job_type": last.job_type}
        commit = last.git.commit
        return About(
            id=f"{last.entity}/{last.project}/{self.label}",
            time=min(first.start_time.ToNanoseconds() / 1e9, _first_time(self._paths[0])),
            project=last.project or None,
            name=last.display_name or None,
            notes=last.notes or None,
            hostname=last.host or None,
            git=Git(commit=commit) if commit else None,
            details={name: link for name, link in links.items() if link},
            is_running=not log.is_complete(self._paths[-1]),
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield rows as they were logged; the summary's own values and the outcome at the end."""
        reader = _Reader(run, self.describe().time)
        for path in self._paths:
            reader.files = path.parent / "files"
            for record in _records(path):
                yield from reader.records(record)
            yield from reader.saved_files()
        yield from reader.last_records()


class _Reader:
    """Turn the client's records into ours.

    Args:
        run: where files are staged.
        time: of what has no time of its own, until the first row: Unix time, in seconds.
    """

    files: Path

    def __init__(self, run: RunFolder, time: float) -> None:
        self._run = run
        self._time = time
        self._step = 0
        self._last: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._exit: int | None = None
        self._tags: list[str] = []

    def records(self, record: Record) -> Iterator[AnyRecord]:
        """Yield the records that one of the client's becomes."""
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self._tags = list(record.run.tags) or self._tags
            yield from self._params(record.run.config.update)
        elif kind == "config":
            yield from self._params(record.config.update)
        elif kind == "history":
            yield from self._row(values.tree_of(record.history.item))
        elif kind == "summary":
            self._summary |= values.tree_of(record.summary.update)
        elif kind == "artifact" and record.artifact.type not in {"run_table", "job"}:
            yield from values.artifact(self._run, record.artifact, self._time, self._step)
        elif kind == "exit":
            self._exit = record.exit.exit_code

    def saved_files(self) -> Iterator[AnyRecord]:
        """Yield the files of a session that are not the client's own."""
        for path in sorted(self.files.iterdir()) if self.files.is_dir() else []:
            if path.name not in CLIENTS_FILES:
                yield artifact_of(self._run, path, path.name, time=self._time, step=self._step)

    def last_records(self) -> Iterator[AnyRecord]:
        """Yield what holds for the whole run, and its outcome if it has one."""
        outcome = self._summary.pop(OUTCOME, None)
        if self._tags:
            yield Tags(time=self._time, values=dict(map(_tag, self._tags)))
        if summary := {name: v for name, v in self._summary.items() if self._is_own(name, v)}:
            yield Summary(time=self._time, values=summary)
        if self._exit is not None:
            yield End(time=self._time, status=_status(outcome, self._exit))

    def _params(self, items: Any) -> Iterator[AnyRecord]:
        tree = values.tree_of(items)
        for own in ("_wandb", "multitrack"):
            tree.pop(own, None)
        if tree:
            yield Params(time=self._time, values=tree)

    def _row(self, row: dict[str, Any]) -> Iterator[AnyRecord]:
        """Yield a row's numbers as one record, and one for each other thing."""
        self._time = float(row.get("_timestamp", self._time))
        self._step = int(row.pop(log.STEP, row.get("_step", self._step)))
        own = {name: value for name, value in row.items() if not name.startswith("_")}
        numbers: dict[str, Scalar] = {
            name: v for name, value in own.items() if (v := _number(value)) is not None
        }
        self._last |= own | numbers
        if numbers:
            yield Metrics(time=self._time, step=self._step, values=numbers)
        for key, value in own.items():
            if key not in numbers and value is not None:
                at = values.Place(self._run, self.files, key, self._time, self._step)
                yield from values.records_of(at, value)

    def _is_own(self, name: str, value: Any) -> bool:
        """Tell whether a summary's value is more than the last one of a metric."""
        if name.startswith("_") or name == log.STEP or not isinstance(value, str | int | float):
            return False
        last = self._last.get(name)
        number = _number(value)
        is_same = value == last or (number is not None and repr(number) == repr(last))
        return not is_same  # compared by their text, too: NaN is no other's equal


def _records(path: Path) -> Iterator[Record]:
    """Yield a file's records; the system reads it piece by piece."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield from log.records(data, 0)


def _head(path: Path) -> RunRecord:
    """Return the record that says what a session's run is."""
    for record in _records(path):
        if record.WhichOneof("record_type") == "run":
            return record.run
    raise SourceError(f"{path} does not say what its run is")


def _first_time(path: Path) -> float:
    """Return the time of the first row: the client may have started long after it was logged."""
    for record in _records(path):
        if record.WhichOneof("record_type") == "history":
            return float(values.tree_of(record.history.item).get("_timestamp", math.inf))
    return math.inf


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".wandb" else []
    return sorted({*path.glob("run-*.wandb"), *path.glob(PATTERN), *path.glob(f"wandb/{PATTERN}")})


def _is_run(folder: Path) -> bool:
    return "run-" in folder.name and any(folder.glob(FILE))


def _tag(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _number(value: Any) -> bool | int | float | None:
    if isinstance(value, str):
        return NON_FINITE.get(value)
    return value if isinstance(value, int | float) else None


def _status(word: Any, exit_code: int) -> EndStatus:
    """Return the outcome that our backend kept, else what the exit code says."""
    for status in END_STATUSES:
        if word == status:
            return status
    return "finished" if exit_code == 0 else "interrupted" if exit_code == INTERRUPTED else "failed"
