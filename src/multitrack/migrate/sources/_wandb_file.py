"""A ``.wandb`` file of somebody else's: its records, also where it is cut or damaged.

`_wandb_log` reads what our own courier just wrote, and stops where that is torn. Here a damaged
piece costs itself: the log has blocks, and each record a checksum, so that the next is found again.
"""

from __future__ import annotations

import json
import math
import mmap
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitrack.migrate.reach import Reach, SourceError
from multitrack.migrate.reading import read_whole
from multitrack.trackers.backends._wandb_log import (
    BLOCK,
    FILE_HEADER,
    FIRST,
    FRAGMENT_HEADER,
    FULL,
    LAST,
)

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import EnvironmentRecord, Record, RunRecord

MIDDLE = 3
MOST_META = 4 * 1024 * 1024
METADATA = "wandb-metadata.json"


@dataclass
class Session:
    """What a file says of its run as a whole.

    Attributes:
        path: the file.
        runs: the records of what the run is, the first and all that change it.
        first_row: the time of the first row, infinite if there is none.
        is_ended: whether the outcome is there.
        about: of the machine and the command: ``program``, ``args``, ``os``, ``git`` …
    """

    path: Path
    runs: list[RunRecord] = field(default_factory=list)
    first_row: float = math.inf
    is_ended: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Session:
        """Read a file from end to end.

        Raises:
            SourceError: it does not say what its run is.
            OSError: it cannot be read.
        """
        session = cls(path, about=_metadata(path))
        for record in records(path):
            session._take(record)
        if not session.runs:
            raise SourceError(f"{path} does not say what its run is: its beginning is lost")
        return session

    @property
    def began(self) -> float:
        """When the run began: the client may have started long after the first row was logged."""
        return min(self.runs[0].start_time.ToNanoseconds() / 1e9, self.first_row)

    def _take(self, record: Record) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.runs.append(record.run)
        elif kind == "exit":
            self.is_ended = True
        elif kind == "environment":
            self.about |= _environment(record.environment)
        elif kind == "history" and self.first_row == math.inf:
            for item in record.history.item:
                if "_timestamp" in (item.key, *item.nested_key):
                    self.first_row = number(item.value_json, math.inf)


def number(text: str, default: float) -> float:
    """Return the finite number that a text is, or something else."""
    try:
        found = float(text)
    except ValueError:
        return default
    return found if math.isfinite(found) else default


def files_of(path: Path) -> Reach:
    """Return the reach of a session's files, which lie beside its file."""
    folder = path.parent / "files"
    return Reach([folder] if Reach([path.parent]).allows(folder) else [])


def records(path: Path, on_damage: Callable[[int], None] | None = None) -> Iterator[Record]:
    """Yield a file's records; the system reads it piece by piece.

    Args:
        path: the file.
        on_damage: called with each place, in bytes, at which something is lost.
    """
    if path.stat().st_size <= FILE_HEADER:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for position, content in _contents(data):
            record = None if content is None else _decoded(content)
            if record is not None:
                yield record
            elif on_damage:
                on_damage(position)


def _decoded(content: bytes) -> Record | None:
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record

    try:
        return Record.FromString(content)
    except DecodeError:
        return None


def _contents(data: mmap.mmap) -> Iterator[tuple[int, bytes | None]]:
    """Yield each whole record and its place; None for one that is damaged."""
    whole: bytes | None = None
    for position, kind, fragment in _fragments(data):
        if kind is None:
            whole = None
            yield position, None
        elif kind in {FULL, FIRST}:
            whole = fragment
        elif whole is not None:
            whole += fragment
        if kind in {FULL, LAST} and whole is not None:
            yield position, whole
            whole = None


def _fragments(data: mmap.mmap) -> Iterator[tuple[int, int | None, bytes]]:
    """Yield the pieces of records; of type None where one is damaged and not merely cut off."""
    position = FILE_HEADER
    while position + FRAGMENT_HEADER.size <= len(data):
        end = min(len(data), (position // BLOCK + 1) * BLOCK)
        if end - position < FRAGMENT_HEADER.size:
            position = end  # the padding at a block's end
            continue
        if piece := _piece(data, position, end):
            yield position, *piece
            position += FRAGMENT_HEADER.size + len(piece[1])
            continue
        if any(data[position:end]):
            yield position, None, b""
        places = range(position + 1, end - FRAGMENT_HEADER.size)
        position = next((p for p in places if _piece(data, p, end)), end)


def _piece(data: mmap.mmap, position: int, end: int) -> tuple[int, bytes] | None:
    """Return the type and content of the piece at a place, None if none is whole there."""
    checksum, length, kind = FRAGMENT_HEADER.unpack_from(data, position)
    start = position + FRAGMENT_HEADER.size
    if kind not in {FULL, FIRST, MIDDLE, LAST} or start + length > end:
        return None
    fragment = data[start : start + length]
    return (kind, fragment) if zlib.crc32(bytes([kind]) + fragment) == checksum else None


def _metadata(path: Path) -> dict[str, Any]:
    """Return what the client wrote of machine and command, into a file of its own."""
    try:
        file = files_of(path).file(path.parent / "files" / METADATA)
        found = json.loads(read_whole(file, MOST_META))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _environment(record: EnvironmentRecord) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: getattr(record, name)
        for name in ("os", "python", "program", "host", "gpu_type", "gpu_count", "cpu_count")
        if getattr(record, name)
    }
    if record.args:
        found["args"] = list(record.args)
    if record.git.commit:
        found["git"] = {"commit": record.git.commit}
    return found
