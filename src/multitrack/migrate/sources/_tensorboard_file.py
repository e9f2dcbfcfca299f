"""An event file of anybody's: its events, also where it is cut or damaged.

TensorBoard's own reader stops at the first damaged event. Here it costs itself alone, as long as
the next can be found.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

HEAD = struct.Struct("<QI")
"""What stands before an event: its length, and a checksum of that."""
CHECKSUM = struct.Struct("<I")
MOST_EVENT = 1024**3
FAR = 64 * 1024
"""Bytes in which the next event is looked for behind a damaged one."""
MARKS = (b"_hparams_/experiment", b"_hparams_/session_start_info")
HEAD_BYTES = 64 * 1024


def events(path: Path, on_damage: Callable[[int], None] | None = None) -> Iterator[Event]:
    """Yield a file's events, in the form of today's TensorBoard.

    Args:
        path: the file.
        on_damage: called with each place, in bytes, at which something is lost.
    """
    from tensorboard import data_compat, dataclass_compat

    seen: dict[str, object] = {}
    for position, content in _contents(path):
        event = None if content is None else _decoded(content)
        if event is not None:
            yield from dataclass_compat.migrate_event(data_compat.migrate_event(event), seen)
        elif on_damage:
            on_damage(position)


def first_event(path: Path) -> tuple[float, bytes] | None:
    """Return the first whole event and its time, None if there is none."""
    content = next((content for _, content in _contents(path) if content), None)
    event = _decoded(content) if content else None
    return (event.wall_time, content) if content and event else None


def is_hparams(path: Path) -> bool:
    """Tell whether a file is one that torch's ``add_hparams`` writes into a folder of its own."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return all(mark in head for mark in MARKS)


def _decoded(content: bytes) -> Event | None:
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        return Event.FromString(content)
    except DecodeError:
        return None


def _contents(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield each event and its place; None for one that is damaged and not merely cut off."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        position = 0
        while position + HEAD.size <= size:
            length = _length(_read(file, position, HEAD.size))
            if length is None:
                yield position, None
                position = _next(file, position + 1)
                continue
            start = position + HEAD.size
            if start + length + CHECKSUM.size > size or length > MOST_EVENT:
                return
            yield position, _checked(_read(file, start, length + CHECKSUM.size))
            position = start + length + CHECKSUM.size


def _length(head: bytes) -> int | None:
    """Return the length that a head tells, None if its checksum is another."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    length, checksum = HEAD.unpack(head)
    return length if masked_crc32c(head[:8]) == checksum else None


def _checked(content: bytes) -> bytes | None:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    data, checksum = content[: -CHECKSUM.size], content[-CHECKSUM.size :]
    return data if CHECKSUM.pack(masked_crc32c(data)) == checksum else None


def _next(file: BinaryIO, position: int) -> int:
    """Return the place of the next head; behind all if there is none near."""
    window = _read(file, position, FAR)
    places = range(max(0, len(window) - HEAD.size + 1))
    found = (i for i in places if _length(window[i : i + HEAD.size]) is not None)
    return position + next(islice(found, 1), len(window) + FAR * FAR)


def _read(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)
