"""The folder of one run's event files.

Readers take the files of a folder in the order of their names, so a new file must sort behind
the older ones, whatever the clocks of the machines say. They take a tag's kind, and all that
the HPARAMS tab shows, from the first message only: what changes during a run, its params and
its outcome, therefore lies in a file of its own, which sorts first and is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from multitrack.trackers.backends import _tensorboard_messages as messages
from multitrack.trackers.beneath import copy_file, write_file
from multitrack.trackers.names import escape
from multitrack.trackers.records import EndStatus, Scalar, Status, Stepped, Tree

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

MARK = "multitrack.json"
SESSION_FILE = "events.out.tfevents.0000000000.hparams"
WHOLE_RUN = "run"
"""Kind of the texts that belong to no step."""
LONGEST_NAME = 200
"""Bytes of the longest file name that we make; file systems take 255."""
MOST_PENDING = 16 * 1024 * 1024
"""Bytes of events kept in memory until they are on the disk."""
_HEAD = struct.Struct("<QI")
"""What stands before a record: its length, and a checksum of that."""
_CHECKSUM = 4
"""Bytes of the checksum behind a record."""
_NUMBER = re.compile(r"tfevents\.(\d+)")


class Session(msgspec.Struct, kw_only=True):
    """What a run is as a whole, kept in ``multitrack.json`` in its folder.

    Attributes:
        run_id: whose folder it is.
        started: Unix time, in seconds.
        params: as far as they were delivered.
        tags: same.
        summary: same.
        status: the outcome; None until there is one, then ``"running"`` if the run goes on.
        ended: Unix time of the last record, in seconds.
    """

    run_id: str
    started: float
    params: Tree = {}
    tags: dict[str, str] = {}
    summary: dict[str, Scalar] = {}
    status: Status | None = None
    ended: float | None = None


class History(NamedTuple):
    """What earlier processes wrote into a folder.

    Attributes:
        events: hashes of the events.
        steps: the latest step of each tag.
        owners: the kind and the key that each tag stands for.
        texts: the latest content of each text of the whole run.
    """

    events: set[int]
    steps: dict[str, int]
    owners: dict[str, tuple[str, str]]
    texts: dict[str, str]


class EventFile:
    """A new event file that sorts behind all others of its folder.

    It takes the same ``RecordWriter`` as ``EventFileWriter``, but on the calling thread, so that
    an error of the disk meets the call that caused it. After one, the file is broken: its end
    may be torn, and what follows would not be read.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._file = _next_path(folder).open("xb")
        self._records = RecordWriter(self._file)
        self.is_broken = False
        self.write(messages.version(time.time()))

    def write(self, event: bytes) -> None:
        """Add a serialized event."""
        try:
            self._records.write(event)
        except OSError:
            self.is_broken = True
            raise

    def flush(self) -> None:
        """Bring all to the disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self.is_broken = True
            raise

    def close(self) -> None:
        """Close the file; an error is no news, for it is not flushed here."""
        with suppress(OSError):
            self._file.close()


class LogFolder:
    """A run's folder, open for writing; one process has it open at a time.

    An event that is there already is not written again. An event that lies before the latest
    one of its tag, as earlier processes left it, is preceded by the mark for a restart.

    Args:
        path: the folder.
        session: the run; what the folder keeps of it wins.
    """

    def __init__(self, path: Path, session: Session) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        kept = load_session(path)
        self.session = kept if kept and kept.run_id == session.run_id else session
        if self.session.status:
            self.session.status = "running"
        self.save()
        self._history = _read_history(path)
        self._file = EventFile(path)
        self._latest = self.session.started
        self._pending: dict[int, bytes | None] = {}
        self._pending_size = 0
        self.show("status", time.time(), "running")

    def tag(self, key: str, kind: str) -> str:
        """Return a tag that holds nothing else: TensorBoard would show only the first kind."""
        tag = key
        while self._history.owners.setdefault(tag, (kind, key)) != (kind, key):
            tag = f"{tag} ({kind})"
        return tag

    def add(self, record: Stepped, values: Sequence[Summary.Value]) -> None:
        """Write values of one step as one event."""
        self._latest = max(self._latest, record.time)
        steps = self._history.steps
        goes_back = any(record.step < steps.get(value.tag, record.step) for value in values)
        self._add(messages.event(record.time, record.step, values), is_restart=goes_back)

    def show(self, key: str, at: float, text: str) -> None:
        """Write a text that belongs to the whole run, unless it is the one shown already."""
        tag = self.tag(key, WHOLE_RUN)
        if self._history.texts.get(tag) != text:
            value = messages.text(tag, text, WHOLE_RUN, key)
            self._write(messages.event(at, 0, [value]).SerializeToString())
            self._history.texts[tag] = text

    def keep(self, source: Path, place: str) -> None:
        """Copy a file into the folder.

        Raises:
            OutsideError: the place is not inside the folder.
        """
        copy_file(source, self.path, place)

    def save(self) -> None:
        """Keep the session, and replace the file that fills the HPARAMS tab."""
        write_file(_session_file(self.session), self.path, SESSION_FILE)
        write_file(msgspec.json.format(msgspec.json.encode(self.session)), self.path, MARK)

    def end(self, status: EndStatus) -> None:
        """Write the outcome; once more for a TensorBoard that runs and has read the session."""
        self.session.status, self.session.ended = status, self._latest
        self.show("status", self._latest, status)
        self._add(messages.event(self._latest, 0, messages.session(self.session)[1:]))
        self.flush()
        self.save()

    def flush(self) -> None:
        """Bring all to the disk."""
        if self._pending:
            self._sync()
            self._pending.clear()

    def close(self) -> None:
        """Close the event file."""
        self._file.close()

    def _add(self, event: Event, *, is_restart: bool = False) -> None:
        serialized = event.SerializeToString()
        digest = hash(serialized)
        if digest in self._history.events or digest in self._pending:
            return
        if is_restart:  # step 0 stays: it has the texts of the whole run
            mark = messages.restart(event.wall_time, max(event.step, 1))
            self._write(mark.SerializeToString())
            self._history.steps.clear()
        self._write(serialized)

    def _write(self, event: bytes) -> None:
        """Write an event, and keep it in memory until it is on the disk."""
        file = self._unbroken()
        self._pending[hash(event)] = event
        self._pending_size += len(event)
        file.write(event)
        if self._pending_size > MOST_PENDING:
            self._sync()

    def _sync(self) -> None:
        self._unbroken().flush()
        self._pending = dict.fromkeys(self._pending)
        self._pending_size = 0

    def _unbroken(self) -> EventFile:
        """Return the event file; after an error of the disk a new one, with what is missing."""
        if self._file.is_broken:
            self._file.close()
            self._history.events.update(_read_history(self.path).events)
            self._file = EventFile(self.path)
            for digest, event in self._pending.items():
                if event is not None and digest not in self._history.events:
                    self._file.write(event)
        return self._file


def claim(path: Path, session: Session) -> bool:
    """Make a folder a run's own; return False if another's events are in it."""
    path.mkdir(parents=True, exist_ok=True)
    mark = path / MARK
    if not mark.exists() and not any(path.glob("*tfevents*")):
        with suppress(FileExistsError), mark.open("xb") as file:  # another run may be faster
            file.write(msgspec.json.encode(session))
    found = load_session(path)
    return found is not None and found.run_id == session.run_id


def load_session(path: Path) -> Session | None:
    """Return what a folder keeps of its run, None if it keeps nothing that can be read."""
    try:
        return msgspec.json.decode((path / MARK).read_bytes(), type=Session)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def component(name: str) -> str:
    """Return a name as one component of a path; different names stay different.

    >>> component("a/b"), component("..")
    ('a_x2f_b', '_x2e__x2e_')
    """
    allowed = " _-+=,@()[]" if not name.strip(".") else " _-+=,@()[]."
    escaped = escape(name, lambda c: c.isalnum() or c in allowed)
    if len(escaped.encode()) <= LONGEST_NAME:
        return escaped
    return f"{escaped[:50]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _read_history(path: Path) -> History:
    from tensorboard.compat.proto.event_pb2 import Event

    history = History(set(), {}, {}, {})
    for file in _event_files(path):
        for serialized in _records_of(file):
            history.events.add(hash(serialized))
            _note(history, Event.FromString(serialized))
    return history


def _records_of(path: Path) -> Iterator[bytes]:
    """Yield a file's records, as far as they are whole.

    tensorboard's reader computes each checksum in Python, which takes most of its time; only a
    torn end is to be expected here.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, _ = _HEAD.unpack(head)
            if file.tell() + length + _CHECKSUM > size:
                return
            yield file.read(length)
            file.seek(_CHECKSUM, os.SEEK_CUR)


def _note(history: History, event: Event) -> None:
    if messages.is_restart(event):
        for tag, step in history.steps.items():
            history.steps[tag] = min(step, event.step - 1)
    for value in event.summary.value:
        if value.tag not in history.owners:
            history.owners[value.tag] = messages.owner(value)
        history.steps[value.tag] = max(event.step, history.steps.get(value.tag, event.step))
        if history.owners[value.tag][0] == WHOLE_RUN:
            history.texts[value.tag] = value.tensor.string_val[0].decode()


def _session_file(session: Session) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    records = RecordWriter(content)
    records.write(messages.version(session.started))
    # TensorBoard takes the first mark of a run for its start, and only later ones for restarts.
    records.write(messages.restart(session.started, 0).SerializeToString())
    event = messages.event(session.started, 0, messages.session(session))
    records.write(event.SerializeToString())
    return content.getvalue()


def _event_files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob("*tfevents*") if file.name != SESSION_FILE)


def _next_path(folder: Path) -> Path:
    numbers = [int(n[1]) for path in _event_files(folder) if (n := _NUMBER.search(path.name))]
    second = max([int(time.time()), *(number + 1 for number in numbers)])
    return folder / f"events.out.tfevents.{second:010d}.{socket.gethostname()}.{os.getpid()}"
