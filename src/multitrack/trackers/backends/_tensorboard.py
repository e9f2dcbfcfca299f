"""The event files of one TensorBoard run, and the messages in them.

Readers take a run's files in the order of their names, so a new file must sort behind the older
ones, whatever the clocks of the machines say. They take a tag's kind, and all of the hparams
plugin's data, from the first message only: what changes during a run, its params and outcome,
therefore lies in a file of its own, which sorts first and is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import time
import wave
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from multitrack.trackers.names import escape, flatten
from multitrack.trackers.records import EndStatus, Histogram, Scalar, Tree

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

MARK = "multitrack.json"
SESSION_FILE = "events.out.tfevents.0000000000.hparams"
LONGEST_NAME = 200
"""Bytes of the longest file name that we make; file systems take 255."""
SCALAR, HISTOGRAM, AUDIO = "scalar", "histogram", "audio"
_NUMBER = re.compile(r"tfevents\.(\d+)")


class Session(msgspec.Struct, kw_only=True):
    """What a run is as a whole, kept in ``multitrack.json`` in its folder.

    Attributes:
        run_id: whose folder it is.
        started: Unix time, in seconds.
        params, tags, summary: as far as they were delivered.
        status: the outcome; None while the run goes on.
        ended: Unix time of the last record before the outcome, in seconds.
    """

    run_id: str
    started: float
    params: Tree = {}
    tags: dict[str, str] = {}
    summary: dict[str, Scalar] = {}
    status: EndStatus | None = None
    ended: float | None = None


class EventFile:
    """A new event file, open for writing.

    It takes the same ``RecordWriter`` as ``EventFileWriter``, but on the calling thread, so that
    an error of the disk meets the call that caused it; and it names the file so that it sorts
    behind all that are there.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._file = _next_path(folder).open("xb")
        self._records = RecordWriter(self._file)
        self._records.write(_version(time.time()))

    def write(self, event: bytes) -> None:
        """Add a serialized event."""
        self._records.write(event)

    def flush(self) -> None:
        """Bring all to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class History(NamedTuple):
    """What earlier couriers of the run have written.

    Attributes:
        events: digests of the events.
        steps: the latest step of each tag.
        kinds: what each tag holds.
    """

    events: set[int]
    steps: dict[str, int]
    kinds: dict[str, str]


def read_history(folder: Path) -> History:
    """Read a run's event files; a torn tail, left by a killed courier, is passed over."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    history = History(set(), {}, {})
    for path in _event_files(folder):
        for raw in RawEventFileLoader(str(path)).Load():
            history.events.add(hash(raw))
            _note(history, Event.FromString(raw))
    return history


def component(name: str) -> str:
    """Return a name as one component of a path; different names stay different.

    >>> component("a/b"), component("..")
    ('a_x2f_b', '_x2e__x2e_')
    """
    is_dots = not name.strip(".")
    escaped = escape(
        name, lambda c: c.isalnum() or c in " _-+=,@()[]" or (c == "." and not is_dots)
    )
    if len(escaped.encode()) <= LONGEST_NAME:
        return escaped
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{escaped[:50]}-{digest}"


def claim(folder: Path, run_id: str, started: float) -> bool:
    """Make a folder the run's own; return False if it is another's, or holds other events."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / MARK
    if not mark.exists() and not any(folder.glob("*tfevents*")):
        try:
            with mark.open("xb") as file:
                file.write(msgspec.json.encode(Session(run_id=run_id, started=started)))
        except FileExistsError:
            pass  # another run was faster
    return mark.exists() and load_session(folder).run_id == run_id


def load_session(folder: Path) -> Session:
    """Return what was kept of a run."""
    return msgspec.json.decode((folder / MARK).read_bytes(), type=Session)


def save_session(folder: Path, session: Session) -> None:
    """Keep what a run is as a whole, and replace the file that fills the HPARAMS tab."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    records = RecordWriter(buffer)
    records.write(_version(session.started))
    for value in session_values(session):
        records.write(event(session.started, 0, [value]).SerializeToString())
    _replace(folder / SESSION_FILE, buffer.getvalue())
    _replace(folder / MARK, msgspec.json.format(msgspec.json.encode(session)))


# -- messages ----------------------------------------------------------------------------------


def event(time: float, step: int, values: Iterable[Summary.Value]) -> Event:
    """Return values of one step as one event."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=time, step=step, summary=Summary(value=values))


def restart(time: float, step: int) -> Event:
    """Return the event after which readers drop what was stored from a step on."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    return Event(wall_time=time, step=step, session_log=SessionLog(status=SessionLog.START))


def scalar(tag: str, value: float) -> Summary.Value:
    """Return a scalar, rounded to float32; what lies outside of it is infinite."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, simple_value=float(value))


def text(tag: str, content: str, kind: str) -> Summary.Value:
    """Return a text, which TensorBoard shows as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = TensorProto(dtype="DT_STRING", string_val=[content.encode()])
    tensor.tensor_shape.dim.add(size=1)
    return Summary.Value(tag=tag, metadata=create_summary_metadata(tag, kind), tensor=tensor)


def image(tag: str, content: bytes, kind: str) -> Summary.Value:
    """Return an encoded picture; what browsers may not show becomes PNG."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.image.metadata import create_summary_metadata

    with Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
        if picture.format not in {"PNG", "JPEG", "GIF"}:
            content = _as_png(picture)
    proto = Summary.Image(width=width, height=height, encoded_image_string=content)
    return Summary.Value(tag=tag, metadata=create_summary_metadata(tag, kind), image=proto)


def histogram(tag: str, record: Histogram) -> Summary.Value:
    """Return a distribution as rows of left edge, right edge and count."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.histogram.metadata import create_summary_metadata

    rows = [(*edges, n) for edges, n in zip(pairwise(record.edges), record.counts, strict=True)]
    tensor = TensorProto(dtype="DT_DOUBLE", double_val=[cell for row in rows for cell in row])
    for size in (len(rows), 3):
        tensor.tensor_shape.dim.add(size=size)
    return Summary.Value(tag=tag, metadata=create_summary_metadata(tag, HISTOGRAM), tensor=tensor)


def wav(tag: str, content: bytes, sample_rate: int | None) -> Summary.Value:
    """Return a WAV sound."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.audio.metadata import Encoding, create_summary_metadata

    sound = Summary.Audio(encoded_audio_string=content, content_type="audio/wav")
    try:
        with wave.open(io.BytesIO(content)) as file:
            sound.sample_rate = file.getframerate()
            sound.num_channels = file.getnchannels()
            sound.length_frames = file.getnframes()
    except wave.Error:  # samples of a kind that Python does not read, but browsers do
        sound.sample_rate = sample_rate or 0
    metadata = create_summary_metadata(tag, AUDIO, Encoding.WAV)
    return Summary.Value(tag=tag, metadata=metadata, audio=sound)


def markdown_table(columns: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown.

    >>> print(markdown_table(["a", "b"], [[1, "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x&#124;y |
    """
    lines = [list(map(_cell, columns)), ["---"] * len(columns), *(map(_cell, r) for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_json(value: Any) -> str:
    """Return a value as a block of JSON in Markdown."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


# -- the hparams plugin ------------------------------------------------------------------------


def session_values(session: Session) -> list[Summary.Value]:
    """Return what the HPARAMS tab shows of a run: its params, and its outcome if it has one."""
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )

    start = SessionStartInfo(group_name=session.run_id, start_time_secs=session.started)
    for name, value in flatten(session.params):
        field = _hparam_field(value)
        text = value if field != "string_value" or isinstance(value, str) else json.dumps(value)
        setattr(start.hparams[name], field, text)
    data = HParamsPluginData(session_start_info=start)
    values = [_hparams_value(metadata.SESSION_START_INFO_TAG, data)]
    if session.status:
        is_success = session.status == "finished"
        status = api_pb2.STATUS_SUCCESS if is_success else api_pb2.STATUS_FAILURE
        end = SessionEndInfo(status=status, end_time_secs=session.ended)
        data = HParamsPluginData(session_end_info=end)
        values.append(_hparams_value(metadata.SESSION_END_INFO_TAG, data))
    return values


def _hparam_field(value: Any) -> str:
    if isinstance(value, bool):
        return "bool_value"
    return "number_value" if isinstance(value, int | float) else "string_value"


def _hparams_value(tag: str, data: HParamsPluginData) -> Summary.Value:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    summary_metadata = metadata.create_summary_metadata(data)
    return Summary.Value(tag=tag, metadata=summary_metadata, tensor=metadata.NULL_TENSOR)


# -- files -------------------------------------------------------------------------------------


def _version(time: float) -> bytes:
    """Return the event that every file begins with; restarts mean nothing without it."""
    from tensorboard.compat.proto.event_pb2 import Event

    serialized: bytes = Event(wall_time=time, file_version="brain.Event:2").SerializeToString()
    return serialized


def _event_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*tfevents*") if path.name != SESSION_FILE)


def _next_path(folder: Path) -> Path:
    second = int(time.time())
    for path in _event_files(folder):
        if number := _NUMBER.search(path.name):
            second = max(second, int(number[1]) + 1)
    return folder / f"events.out.tfevents.{second:010d}.{socket.gethostname()}.{os.getpid()}"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{os.getpid()}.new")
    temporary.write_bytes(content)
    temporary.replace(path)


def _note(history: History, event: Event) -> None:
    from tensorboard.compat.proto.event_pb2 import SessionLog

    if event.session_log.status == SessionLog.START:
        for tag, step in history.steps.items():
            history.steps[tag] = min(step, event.step - 1)
    for value in event.summary.value:
        history.kinds.setdefault(value.tag, value.metadata.summary_description or SCALAR)
        history.steps[value.tag] = max(event.step, history.steps.get(value.tag, event.step))


def _as_png(picture: PillowImage) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    for character, entity in (("&", "&amp;"), ("|", "&#124;"), ("\n", "<br>")):
        text = text.replace(character, entity)
    return text
