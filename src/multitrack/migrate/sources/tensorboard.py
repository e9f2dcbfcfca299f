"""TensorBoard: a folder with event files is a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from multitrack.migrate.importing import UNKNOWN_HOST
from multitrack.migrate.reading import content_id
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.migrate.sources import _tensorboard_values as read
from multitrack.migrate.sources._tensorboard_file import events, first_event, is_hparams
from multitrack.migrate.sources._tensorboard_ours import OurFolder
from multitrack.trackers.backends import _tensorboard_folder as ours_folder
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    End,
    EndStatus,
    Host,
    Metrics,
    Refused,
    Resumed,
    Scalar,
)

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
        """Yield a folder that has event files, with the folders that ``add_hparams`` made in it."""
        if files := {name for name in place.files if MARK in name}:
            files |= {name for name in place.folders if _is_hparams(place.path / name)}
            is_ours = ours_folder.MARK in place.files  # then all that lies in it is the run's
            yield Store(place.path, None if is_ours else frozenset(files))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder, or of a file."""
        path = reach.place(location)
        yield TensorBoardRun(location, path, reach.name(path))


class TensorBoardRun(SourceRun):
    """One folder of event files.

    Args:
        label: the folder, as it was found.
        folder: where it really is.
        name: the run's name, as TensorBoard shows it.
    """

    def __init__(self, label: str, folder: Path, name: str) -> None:
        self.label = label
        self._folder = folder
        self._name = name
        self._damaged: dict[Path, int] = {}

    def describe(self) -> About:
        """Return the folder's name and when it began; of ours, what its first events say."""
        files = _event_files(self._folder)
        began = min((event.wall_time for event in islice(self._events(), HEAD)), default=None)
        if began is None:
            raise SourceError(f"{self._folder}: its event files hold no event; they may be deleted")
        about = About(
            id=content_id(_earliest(files)),
            by_content=True,
            former_ids=(str(self._folder),),
            time=began,
            name=self._name,
        )
        ours = OurFolder.open(self._folder)
        return ours.describe(about, self._events()) if ours else about

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield a record for each event's scalars, and for each other value."""
        ours = OurFolder.open(self._folder)
        reader = _Reader(run, ours)
        for event in self._events():
            yield from reader.records(event)
        for path, position in self._damaged.items():
            reason = f"{path} is damaged, first at byte {position:,}: what stood there is lost"
            yield Refused(time=reader.time, key=path.name, reason=reason)
        yield from ours.last_records() if ours else reader.last_records()

    def _events(self) -> Iterator[Event]:
        """Yield the events of all files, in the order in which TensorBoard reads them."""
        for path in _event_files(self._folder):
            yield from events(path, partial(self._note_damage, path))

    def _note_damage(self, path: Path, position: int) -> None:
        self._damaged.setdefault(path, position)


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
        self._sessions = 0
        self.time = 0.0

    def records(self, event: Event) -> Iterator[AnyRecord]:
        """Yield the records of one event; a value that cannot be read costs itself."""
        self.time = event.wall_time
        if event.session_log.status == event.session_log.START and not self._ours:
            yield from self._restart(event.wall_time)
        scalars: dict[str, Scalar] = {}
        for value in event.summary.value:
            plugin = self._plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            key = self._ours.key(value) if self._ours else value.tag
            place = read.Place(self._run, key, event.wall_time, event.step)
            try:
                if plugin == "scalars":
                    scalars[key] = read.number_of(value)
                else:
                    yield from self._others(place, value, plugin)
            except Exception as error:  # of a foreign value, whatever it is
                yield from self._once(Refused(time=place.time, key=key, reason=one_line(error)))
        if scalars:
            yield Metrics(time=event.wall_time, step=event.step, values=scalars)

    def _restart(self, time: float) -> Iterator[AnyRecord]:
        """Yield a mark where the run was taken up again; its first start is none."""
        self._sessions += 1
        if self._sessions > 1:
            yield Resumed(time=time, host=Host(**UNKNOWN_HOST))

    def _once(self, record: AnyRecord) -> Iterator[AnyRecord]:
        """Yield a record, a refusal only the first time."""
        if not isinstance(record, Refused) or record.key not in self._refused:
            yield record
        if isinstance(record, Refused):
            self._refused.add(record.key)

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
                yield from self._once(record)


def _earliest(files: Sequence[Path]) -> bytes:
    """Return the first event of all, which the files that come later do not change."""
    return min(filter(None, map(first_event, files)), default=(0.0, b""))[1]


def _is_hparams(folder: Path) -> bool:
    """Tell whether a folder is no run of its own but holds the hyper-parameters of its parent."""
    try:
        files = [path for path in folder.iterdir() if MARK in path.name and path.is_file()]
        return bool(files) and all(map(is_hparams, files))
    except OSError:
        return False


def _event_files(folder: Path) -> list[Path]:
    """Return the event files of a run; those of its hyper-parameters last."""
    if folder.is_file():
        return [folder]
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and _is_hparams(p))]
    found = (path for place in places for path in sorted(place.iterdir()) if MARK in path.name)
    inside = Reach([folder])
    return [path for path in found if path.is_file() and inside.allows(path)]
