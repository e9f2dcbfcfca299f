"""Neptune: the folders in which its client keeps offline runs, as queues of operations."""

from __future__ import annotations

import base64
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from multitrack.migrate.files import media_of
from multitrack.migrate.reading import read_lines
from multitrack.migrate.source import About, Place, Reach, Source, SourceRun, Store
from multitrack.migrate.sources import _neptune_ours as ours
from multitrack.migrate.sources._neptune_state import Naming, State, knows
from multitrack.migrate.spool import Spool, SpooledPoint
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import (
    NON_FINITE,
    AnyRecord,
    End,
    Params,
    Refused,
    Summary,
    Tags,
    Text,
)

QUEUE = "data-1.log"
"""The first file of a queue of operations."""


class NeptuneSource(Source):
    """A ``.neptune`` folder, its ``offline`` folder, or one run's folder in it."""

    name: ClassVar[str] = "neptune"
    distributions: ClassVar[tuple[str, ...]] = ("neptune", "neptune-client")
    extra: ClassVar[str] = "neptune"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield a folder of queues of operations."""
        folders = {name for name in place.folders if (place.path / name / QUEUE).is_file()}
        if folders:
            yield Store(place.path, frozenset(folders))
        if QUEUE in place.files:
            yield Store(place.path)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs; the folders of one that our backend wrote are one run."""
        folders = _folders(reach.place(location))
        runs: dict[str, list[Path]] = {}
        for folder in sorted(folders, key=_began):
            runs.setdefault(ours.run_id_in(_operations(folder)) or folder.name, []).append(folder)
        for run_id, group in runs.items():
            yield NeptuneRun(run_id, group, reach)


class NeptuneRun(SourceRun):
    """One run.

    Args:
        run_id: our id of it, else the name of its folder.
        folders: what the client wrote, the oldest first.
        reach: where files may be read besides these.
    """

    def __init__(self, run_id: str, folders: list[Path], reach: Reach) -> None:
        self.label = run_id
        self._reach = reach
        self._folders = folders

    @cached_property
    def _state(self) -> State:
        state = State()
        for folder in self._folders:
            for operation in _operations(folder):
                state.apply(folder, operation, self._reach)
        return state

    def describe(self) -> About:
        """Return what the run's attributes say of it; offline, Neptune knows no project."""
        attributes = self._state.attributes
        about = About(
            id=self.label,
            time=_began(self._folders[0]),
            name=attributes.get("sys/name"),
            notes=attributes.get("sys/description"),
        )
        return ours.describe(about, attributes) if ours.is_ours(attributes) else about

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params and tags, texts and pictures, numbers in the order of time, the files."""
        state, began = self._state, _began(self._folders[0])
        naming = ours.Naming(state) if ours.is_ours(state.attributes) else Naming(state)
        if params := naming.params():
            yield Params(time=began, values=params)
        if state.tags:
            yield Tags(time=began, values=dict(map(naming.tag, state.tags)))
        with tempfile.TemporaryDirectory(dir=run.path) as scratch:
            with closing(Spool(Path(scratch, "points"))) as spool:
                reader = _Reader(run, spool, naming, began)
                for folder in self._folders:
                    yield from reader.session(_operations(folder))
                yield from spool.records()
            yield from naming.files(run, Path(scratch), reader.time)
        for path, reason in state.refused.items():
            yield Refused(time=reader.time, key=path, reason=reason)
        if summary := naming.summary():
            yield Summary(time=reader.time, values=summary)
        if status := naming.status():
            yield End(time=reader.time, status=status)


class _Reader:
    """Turn the operations of series into records.

    Args:
        run: where files are staged.
        spool: gets the points of series of numbers.
        naming: what the paths stand for.
        time: when the run began.

    Attributes:
        time: that of the latest point so far.
    """

    def __init__(self, run: RunFolder, spool: Spool, naming: Naming, time: float) -> None:
        self.time = time
        self._run = run
        self._spool = spool
        self._naming = naming
        self._counts: Counter[str] = Counter()
        self._refused: set[str] = set()
        self._read: dict[str, Callable[[str, Any], Iterator[AnyRecord]]] = {
            "LogFloats": self._floats,
            "LogStrings": self._strings,
            "LogImages": self._images,
        }

    def session(self, operations: Iterator[Any]) -> Iterator[AnyRecord]:
        """Yield the records of one folder; what is not read is refused by name, once."""
        self._counts.clear()
        for operation in operations:
            kind, path = type(operation).__name__, "/".join(operation.path)
            if kind in self._read:
                yield from self._read[kind](path, operation)
            elif not knows(operation) and path not in self._refused:
                self._refused.add(path)
                yield Refused(time=self.time, key=path, reason=f"{kind} is not read")

    def _floats(self, path: str, operation: Any) -> Iterator[AnyRecord]:
        name = self._naming.metric(path)
        points = ((v.ts, self._step(path, v), name, v.value) for v in self._seen(operation))
        self._spool.add(map(SpooledPoint._make, points))
        yield from ()

    def _strings(self, path: str, operation: Any) -> Iterator[AnyRecord]:
        spelled = self._naming.spelled(path)
        for value in self._seen(operation):
            step = self._step(path, value)
            if spelled:
                number = NON_FINITE[value.value]
                self._spool.add([SpooledPoint(value.ts, step, spelled, number)])
            else:
                key = self._naming.media(path)
                yield Text(time=value.ts, step=step, key=key, text=value.value)

    def _images(self, path: str, operation: Any) -> Iterator[AnyRecord]:
        kind, key = self._naming.picture(path), self._naming.media(path)
        for value in self._seen(operation):
            content, caption = base64.b64decode(value.value.data or ""), value.value.description
            at: dict[str, Any] = {"time": value.ts, "step": self._step(path, value)}
            yield media_of(self._run, kind, key, content, caption=caption, **at)

    def _seen(self, operation: Any) -> Iterator[Any]:
        for value in operation.values:
            self.time = max(self.time, value.ts)
            yield value

    def _step(self, path: str, value: Any) -> int:
        """Return a point's step; one without has its number in the session's series."""
        self._counts[path] += 1
        return self._counts[path] - 1 if value.step is None else int(value.step)


def _operations(folder: Path) -> Iterator[Any]:
    """Yield the operations of a folder; a line that is none costs itself."""
    paths = [path for path in folder.glob("data-*.log") if path.stem[5:].isdigit()]
    inside = Reach([folder])
    for path in sorted(paths, key=lambda path: int(path.stem[5:])):
        for line in read_lines(inside.file(path)):
            if operation := _operation(line):
                yield operation


def _operation(line: bytes) -> Any:
    from neptune.internal.operation import Operation

    try:
        return Operation.from_dict(json.loads(line.strip(b"\0\n "))["obj"])
    except Exception:  # of a damaged line, whatever the client makes of it
        return None


def _began(folder: Path) -> float:
    """Return when the client made a folder."""
    try:
        about = msgspec.json.decode((folder / "metadata.json").read_bytes(), type=dict)
        return datetime.fromisoformat(about["createdAt"]).timestamp()
    except (OSError, KeyError, ValueError, msgspec.DecodeError):
        return (folder / "data-1.log").stat().st_mtime


def _folders(path: Path) -> list[Path]:
    return sorted({found.parent for place in (QUEUE, f"*/{QUEUE}") for found in path.glob(place)})
