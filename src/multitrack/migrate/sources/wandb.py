"""Weights & Biases: the folders that its client writes, offline or beside what it uploads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from multitrack.migrate.files import artifact_of
from multitrack.migrate.source import About, Place, Reach, Source, SourceRun, Store
from multitrack.migrate.sources import _wandb_values as values
from multitrack.migrate.sources._wandb_file import Session, files_of, number, records
from multitrack.migrate.sources._wandb_steps import Steps
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
    Refused,
    Scalar,
    Summary,
    Tags,
)

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record, StatsRecord

FILE = "run-*.wandb"
PATTERN = f"*run-*-*/{FILE}"
OUTCOME = "multitrack/status"
"""Name in the summary under which our backend keeps the outcome."""
SYSTEM = "system/"
"""Start of the names of what is measured of the machine."""
MACHINE = ("os", "python", "cpu_count", "gpu_type", "gpu_count", "gpu", "executable")
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
        sessions: dict[str, list[Path]] = {}
        for path in _files(reach.place(location)):
            sessions.setdefault(path.stem.removeprefix("run-"), []).append(path)
        for run_id, paths in sessions.items():
            yield WandbRun(run_id, sorted(paths, key=_began), reach)


class WandbRun(SourceRun):
    """One run.

    Args:
        run_id: W&B's id.
        paths: the files of its sessions, the oldest first.
        reach: where files may be read besides the sessions' own.
    """

    def __init__(self, run_id: str, paths: list[Path], reach: Reach) -> None:
        self.label = run_id
        self._paths = paths
        self._reach = reach

    @cached_property
    def _sessions(self) -> list[Session]:
        return [Session.read(path) for path in self._paths]

    def describe(self) -> About:
        """Return what the first session says of the run, and the last of its name and notes."""
        runs = [run for session in self._sessions for run in session.runs]
        first, last, about = self._sessions[0], runs[-1], self._sessions[0].about
        commit = last.git.commit or _commit(about)
        links = {"entity": last.entity, "group": last.run_group, "job_type": last.job_type}
        machine = {name: v for name, v in about.items() if name in MACHINE}
        return About(
            id=f"{last.entity}/{last.project}/{self.label}",
            time=first.began,
            project=last.project or None,
            name=_latest(run.display_name for run in runs),
            notes=_latest(run.notes for run in runs),
            hostname=last.host or about.get("host") or None,
            command=_command(about),
            git=Git(commit=commit) if commit else None,
            details={name: v for name, v in (links | machine).items() if v},
            is_running=not self._sessions[-1].is_ended,
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield rows as they were logged; the summary's own values and the outcome at the end."""
        reader = _Reader(run, self._sessions[0].began)
        for path in self._paths:
            reader.open(path, self._reach)
            for record in records(path, reader.note_damage):
                yield from reader.records(record)
            yield from reader.saved_files()
        yield from reader.last_records()


class _Reader:
    """Turn the client's records into ours.

    Args:
        run: where files are staged.
        time: of what has no time of its own, until the first row: Unix time, in seconds.
    """

    def __init__(self, run: RunFolder, time: float) -> None:
        self._run = run
        self._time = time
        self._step = 0
        self._row_number = 0
        self._steps = Steps(log.STEP)
        self._last: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._exit: int | None = None
        self._tags: list[str] = []
        self._damaged: dict[str, int] = {}

    def open(self, path: Path, reach: Reach) -> None:
        """Begin with a session.

        Args:
            path: its file.
            reach: where files may be read besides its own.
        """
        self._path = path
        self._files = path.parent / "files"
        self._reach = reach.and_below(files_of(path))

    def note_damage(self, position: int) -> None:
        """Remember the first place at which something of the session's file is lost."""
        self._damaged.setdefault(str(self._path), position)

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
        elif kind == "metric":
            self._steps.define(record.metric)
        elif kind == "stats":
            yield from self._system(record.stats)
        elif kind == "artifact" and record.artifact.type not in {"run_table", "job"}:
            yield from values.artifact(self._place(record.artifact.name), record.artifact)
        elif kind == "exit":
            self._exit = record.exit.exit_code

    def saved_files(self) -> Iterator[AnyRecord]:
        """Yield the files of a session that are not the client's own."""
        try:
            paths = sorted(self._reach.place(self._files).iterdir())
        except (OSError, ValueError):
            return
        for path in paths:
            if path.name not in CLIENTS_FILES:
                yield self._saved(path)

    def _saved(self, path: Path) -> AnyRecord:
        try:
            real = self._reach.place(path)
        except ValueError as error:
            return Refused(time=self._time, key=path.name, reason=str(error))
        return artifact_of(self._run, real, path.name, time=self._time, step=self._step)

    def last_records(self) -> Iterator[AnyRecord]:
        """Yield what holds for the whole run, and its outcome if it has one."""
        outcome = self._summary.pop(OUTCOME, None)
        if self._tags:
            yield Tags(time=self._time, values=dict(map(_tag, self._tags)))
        if summary := {name: v for name, v in self._summary.items() if self._is_own(name, v)}:
            yield Summary(time=self._time, values=summary)
        for path, position in self._damaged.items():
            reason = f"{path} is damaged, first at byte {position:,}: what stood there is lost"
            yield Refused(time=self._time, key=Path(path).name, reason=reason)
        if self._exit is not None:
            yield End(time=self._time, status=_status(outcome, self._exit))

    def _place(self, key: str) -> values.Place:
        return values.Place(
            self._run, self._files, self._reach, key, self._time, self._step, self._row_number
        )

    def _params(self, items: Any) -> Iterator[AnyRecord]:
        tree = values.tree_of(items)
        for own in ("_wandb", "multitrack"):
            tree.pop(own, None)
        if tree:
            yield Params(time=self._time, values=tree)

    def _system(self, stats: StatsRecord) -> Iterator[AnyRecord]:
        """Yield what the client measured of the machine."""
        found = values.tree_of(stats.item)
        numbers: dict[str, Scalar] = {
            f"{SYSTEM}{name}": v for name, v in found.items() if isinstance(v, int | float)
        }
        time = stats.timestamp.ToNanoseconds() / 1e9
        if numbers:
            yield Metrics(time=time or self._time, step=self._step, values=numbers)

    def _row(self, row: dict[str, Any]) -> Iterator[AnyRecord]:
        """Yield a row's numbers, by the steps at which they stand, and each other thing."""
        self._time = number(str(row.get("_timestamp")), self._time)
        self._row_number = int(number(str(row.get("_step")), self._row_number))
        own = {name: value for name, value in row.items() if not name.startswith("_")}
        numbers: dict[str, Scalar] = {
            name: v for name, value in own.items() if (v := _number(value)) is not None
        }
        self._last |= own | numbers
        for at in self._steps.place(numbers, self._row_number):
            self._step = at.step
            yield Metrics(time=self._time, step=at.step, epoch=at.epoch, values=at.values)
        for key, value in own.items():
            if key not in numbers and value is not None:
                self._step = self._steps.step_of(key, self._row_number)
                yield from values.records_of(self._place(key), value)

    def _is_own(self, name: str, value: Any) -> bool:
        """Tell whether a summary's value is more than the last one of a metric."""
        if name.startswith("_") or name == log.STEP or not isinstance(value, str | int | float):
            return False
        last = self._last.get(name)
        number = _number(value)
        is_same = value == last or (number is not None and repr(number) == repr(last))
        return not is_same  # compared by their text, too: NaN is no other's equal


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted({*path.glob(FILE), *path.glob(PATTERN)})


def _began(path: Path) -> str:
    """Return the time in the name of a session's folder."""
    return path.parent.name.removeprefix("offline-")


def _latest(words: Iterable[str]) -> str | None:
    return next((word for word in reversed([*words]) if word), None)


def _command(about: dict[str, Any]) -> list[str]:
    """Return what was run, as the client noted it."""
    program, arguments = about.get("program"), about.get("args")
    words = arguments if isinstance(arguments, list) else []
    return [str(word) for word in (program, *words)] if program else []


def _commit(about: dict[str, Any]) -> str | None:
    git = about.get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    return commit if isinstance(commit, str) else None


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
