"""The messages of TensorBoard's event files, made of tensorboard's own protocol buffers.

A value's metadata has the key that the user logged as display name, and the kind of record as
description: TensorBoard knows pictures, where we know images, figures and videos.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from multitrack.trackers.names import flatten
from multitrack.trackers.records import Audio, Histogram

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    from multitrack.trackers.backends._tensorboard_folder import Session

SCALAR = "scalar"


def version(time: float) -> bytes:
    """Return the event that every file begins with; restarts mean nothing without it."""
    from tensorboard.compat.proto.event_pb2 import Event

    serialized: bytes = Event(wall_time=time, file_version="brain.Event:2").SerializeToString()
    return serialized


def event(time: float, step: int, values: Iterable[Summary.Value]) -> Event:
    """Return values of one step as one event."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=time, step=step, summary=Summary(value=values))


def restart(time: float, step: int) -> Event:
    """Return the event after which readers drop what was stored from a step on."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    return Event(wall_time=time, step=step, session_log=SessionLog(status=SessionLog.START))


def is_restart(event: Event) -> bool:
    """Tell whether an event is the mark for a restart."""
    from tensorboard.compat.proto.event_pb2 import SessionLog

    return bool(event.session_log.status == SessionLog.START)


def owner(value: Summary.Value) -> tuple[str, str]:
    """Return the kind and the key that a value's tag stands for."""
    metadata = value.metadata
    return metadata.summary_description or SCALAR, metadata.display_name or value.tag


def scalar(tag: str, number: float, key: str) -> Summary.Value:
    """Return a scalar, rounded to float32; what lies outside of it is infinite."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    value = Summary.Value(tag=tag, simple_value=float(number))
    if tag != key:
        value.metadata.CopyFrom(SummaryMetadata(display_name=key, summary_description=SCALAR))
        value.metadata.plugin_data.plugin_name = "scalars"
    return value


def text(tag: str, content: str, kind: str, key: str) -> Summary.Value:
    """Return a text, which TensorBoard shows as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = TensorProto(dtype="DT_STRING", string_val=[content.encode()])
    tensor.tensor_shape.dim.add(size=1)
    return Summary.Value(tag=tag, metadata=create_summary_metadata(key, kind), tensor=tensor)


def image(tag: str, content: bytes, kind: str, key: str) -> Summary.Value:
    """Return an encoded picture; what TensorBoard does not know becomes PNG.

    Raises:
        ValueError: the content is no picture.
    """
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.image.metadata import create_summary_metadata

    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            if picture.format not in {"PNG", "JPEG", "GIF"}:
                content = _as_png(picture)
    except OSError as error:  # nothing of the disk: Pillow's word for a broken picture
        raise ValueError(f"{key!r} is no picture: {error}") from None
    proto = Summary.Image(width=width, height=height, encoded_image_string=content)
    return Summary.Value(tag=tag, metadata=create_summary_metadata(key, kind), image=proto)


def histogram(tag: str, record: Histogram) -> Summary.Value:
    """Return a distribution as rows of left edge, right edge and count."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.histogram.metadata import create_summary_metadata

    rows = [(*edges, n) for edges, n in zip(pairwise(record.edges), record.counts, strict=True)]
    tensor = TensorProto(dtype="DT_DOUBLE", double_val=[cell for row in rows for cell in row])
    for size in (len(rows), 3):
        tensor.tensor_shape.dim.add(size=size)
    return Summary.Value(
        tag=tag, metadata=create_summary_metadata(record.key, "histogram"), tensor=tensor
    )


def wav(tag: str, content: bytes, record: Audio) -> Summary.Value:
    """Return a WAV sound, with its caption as label."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.audio.metadata import Encoding, create_summary_metadata

    label = (record.caption or "").encode()
    tensor = TensorProto(dtype="DT_STRING", string_val=[content, label])
    for size in (1, 2):
        tensor.tensor_shape.dim.add(size=size)
    metadata = create_summary_metadata(record.key, "audio", Encoding.WAV)
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


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


def session(session: Session) -> list[Summary.Value]:
    """Return what the HPARAMS tab shows of a run: its params, and its outcome if it has one."""
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )

    start = SessionStartInfo(group_name=session.run_id, start_time_secs=session.started)
    for name, value in flatten(session.params):
        _set(start.hparams[name], value)
    data = HParamsPluginData(session_start_info=start)
    values = [_hparams_value(metadata.SESSION_START_INFO_TAG, data)]
    if session.status:
        words = {"running": api_pb2.STATUS_RUNNING, "finished": api_pb2.STATUS_SUCCESS}
        status = words.get(session.status, api_pb2.STATUS_FAILURE)
        end = SessionEndInfo(status=status, end_time_secs=session.ended)
        data = HParamsPluginData(session_end_info=end)
        values.append(_hparams_value(metadata.SESSION_END_INFO_TAG, data))
    return values


def _set(hparam: Any, value: Any) -> None:
    """Set a protobuf ``Value``: what is no boolean, number or text is text in JSON."""
    if isinstance(value, bool):
        hparam.bool_value = value
    elif isinstance(value, int | float):
        hparam.number_value = value
    else:
        hparam.string_value = value if isinstance(value, str) else json.dumps(value)


def _hparams_value(tag: str, data: HParamsPluginData) -> Summary.Value:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    summary_metadata = metadata.create_summary_metadata(data)
    return Summary.Value(tag=tag, metadata=summary_metadata, tensor=metadata.NULL_TENSOR)


def _as_png(picture: PillowImage) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    for character, entity in (("&", "&amp;"), ("|", "&#124;"), ("\n", "<br>")):
        text = text.replace(character, entity)
    return text
