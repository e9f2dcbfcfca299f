"""TensorBoard: a folder with event files is a run; its own reader reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.sources import _tensorboard_values as read
from multitrack.migrate.sources._tensorboard_ours import OurFolder
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import AnyRecord, End, EndStatus, Metrics, Refused, Scalar

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

MARK = "tfevents"
HEAD = 10
"""Events among which the earliest is: the first is the file's own, not the run's."""
WORDS: dict[str, EndStatus] = {"STATUS_SUCCESS": "finished", "STATUS_FAILURE": "failed"}


class TensorBoardSource(Source):
    """A log directory, as ``tensorboard --logdir`` takes it: each folder with event files."""

    name: ClassVar[str] = "tensorboard"
    distributions: ClassVar[tuple[str, ...]] = ("tensorboard", "tb-nightly")
    extra: ClassVar[str] = "tensorboard"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield a folder that has event files."""
        if files := frozenset(name for name in place.files if MARK in name):
            yield Store(place.path, files)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder."""
        folder = reach.place(location)
        yield TensorBoardRun(folder, reach.name(folder))


class TensorBoardRun(SourceRun):
    """One folder of event files.

    Args:
        folder: where they are.
        name: the run's name, as TensorBoard shows it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.label = str(folder)
        self._folder = folder.resolve()
        self._name = name

    def describe(self) -> About:
        """Return the folder's name and when it began; of ours, what its first events say."""
        began = min((event.wall_time for event in islice(self._events(), HEAD)), default=None)
        if began is None:
            raise SourceError("its event files hold no event")
        about = About(id=str(self._folder), time=began, name=self._name)
        ours = OurFolder.open(self._folder)
        return ours.describe(about, self._events()) if ours else about

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield a record for each event's scalars, and for each other value."""
        ours = OurFolder.open(self._folder)
        reader = _Reader(run, ours)
        for event in self._events():
            yield from reader.records(event)
        yield from ours.last_records() if ours else reader.last_records()

    def _events(self) -> Iterator[Event]:
        """Yield the events of all files, in the order in which TensorBoard reads them."""
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        for path in sorted(_event_files(self._folder)):
            yield from EventFileLoader(str(path)).Load()


class _Reader:
    """Turn events into records.

    Args:
        run: where files are staged.
        ours: what multitrack knows of the folder, if it wrote it.
    """

    def __init__(self, run: RunFolder, ours: OurFolder | None) -> None:
        self._run = run
        self._ours = ours
        self._plugins: dict[str, str] = {}  # by tag: later values may leave it out
        self._refused: set[str] = set()
        self._end: End | None = None

    def records(self, event: Event) -> Iterator[AnyRecord]:
        """Yield the records of one event."""
        scalars: dict[str, Scalar] = {}
        for value in event.summary.value:
            plugin = self._plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            key = self._ours.key(value) if self._ours else value.tag
            if plugin == "scalars":
                scalars[key] = read.number_of(value)
            else:
                place = read.Place(self._run, key, event.wall_time, event.step)
                yield from self._others(place, value, plugin)
        if scalars:
            yield Metrics(time=event.wall_time, step=event.step, values=scalars)

    def last_records(self) -> Iterator[End]:
        """Yield the outcome, if the HPARAMS tab knows it."""
        if self._end:
            yield self._end

    def _others(self, at: read.Place, value: Summary.Value, plugin: str) -> Iterator[AnyRecord]:
        if self._ours and self._ours.knows(value, plugin):
            yield from self._ours.records(at, value)
        elif plugin == "hparams" and (outcome := read.outcome_of(value)):
            word, time = outcome
            self._end = End(time=time, status=WORDS[word]) if word in WORDS else self._end
        else:
            for record in read.records_of(at, value, plugin):
                if not isinstance(record, Refused) or record.key not in self._refused:
                    yield record
                if isinstance(record, Refused):
                    self._refused.add(record.key)


def _folders(root: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(root):
        if any(MARK in name for name in names):
            yield Path(parent)


def _event_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if MARK in path.name and path.is_file())
