"""What W&B's client wrote of a run, read back from its ``.wandb`` file.

The file is a log as LevelDB has it: blocks of 32 KiB, in which a record is one fragment or
several, each with checksum, length and type. A record is a message of the client's own.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
FILE_HEADER = 7
FRAGMENT_HEADER = struct.Struct("<LHB")
FULL, FIRST, LAST = 1, 2, 4
"""Types of fragments; what is neither is in the middle of a record."""
MARK = "acknowledged"
"""File in a session's folder."""
SHARED = "shared"
"""File in the folder of a session that somebody else logs to, too."""
STEP = "train/global_step"
"""The column of the user's step, as transformers names it."""


@dataclass
class WrittenRun:
    """One session of a run, as far as its file holds it.

    Attributes:
        rows: the fingerprint of each row.
        last: the number of the last row, -1 if there is none.
        params: the config; of the client's own entries nothing.
        summary: the single values; of the client's own entries nothing.
        tags: the tags that were set last.
    """

    rows: set[int] = field(default_factory=set)
    last: int = -1
    params: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


def fingerprint(row: Mapping[str, Any]) -> int:
    """Return what tells a row from all others: its time, its step and what it holds."""
    names = frozenset(name for name in row if not name.startswith("_"))
    return hash((row.get("_timestamp"), row.get(STEP), names))


def acknowledge(folder: Path) -> None:
    """Mark a session's folder: everything of it is stored where it shall be."""
    (folder / MARK).touch()


def is_acknowledged(folder: Path) -> bool:
    """Tell whether a session's folder is there and marked."""
    return (folder / MARK).exists()


def share(folder: Path) -> None:
    """Mark a session's folder: the numbers of its rows are not ours alone."""
    (folder / SHARED).touch()


def is_shared(folder: Path) -> bool:
    """Tell whether somebody else logged to a session, too."""
    return (folder / SHARED).exists()


def read_run(folder: Path) -> WrittenRun:
    """Return what a session's file holds, up to where it is torn.

    Raises:
        OSError: it cannot be read.
    """
    run = WrittenRun()
    for record in records(_file_in(folder).read_bytes(), 0):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = _items(record.history.item)
            run.rows.add(fingerprint(row))
            run.last = max(run.last, record.history.step.num)
        elif kind == "summary":
            run.summary |= _items(i for i in record.summary.update if not i.nested_key[1:])
        elif kind == "config":
            run.params |= _items(record.config.update)
        elif kind == "run":
            run.params |= _items(record.run.config.update)
            run.tags = list(record.run.tags) or run.tags
    run.params.pop("_wandb", None)
    run.summary = {name: v for name, v in run.summary.items() if not name.startswith("_")}
    return run


def becomes_complete(folder: Path, timeout: float) -> bool:
    """Wait until the outcome is on the disk: the client's helper writes after it has answered."""
    deadline = time.monotonic() + timeout
    while not is_complete(_file_in(folder)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _file_in(folder: Path) -> Path:
    return next(folder.glob("*.wandb"), folder / "run.wandb")


def is_complete(path: Path) -> bool:
    """Tell whether the last record of all, the outcome, is in a file's last two blocks."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) // BLOCK - 1) * BLOCK
            file.seek(start)
            tail = file.read()
    except FileNotFoundError:
        return False
    return any(r.WhichOneof("record_type") == "exit" for r in records(tail, start))


def records(data: bytes | mmap, start: int) -> Iterator[Any]:
    """Yield the whole records of a file's tail, which starts where a block does."""
    from wandb.proto.wandb_internal_pb2 import Record

    whole: bytes | None = None
    for kind, fragment in _fragments(data, 0 if start else FILE_HEADER):
        if kind in {FULL, FIRST}:
            whole = fragment
        elif whole is not None:
            whole += fragment
        if kind in {FULL, LAST} and whole is not None:
            yield Record.FromString(whole)
            whole = None


def _fragments(data: bytes | mmap, position: int) -> Iterator[tuple[int, bytes]]:
    while position + FRAGMENT_HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < FRAGMENT_HEADER.size:
            position += left  # the padding at a block's end
            continue
        checksum, length, kind = FRAGMENT_HEADER.unpack_from(data, position)
        position += FRAGMENT_HEADER.size
        fragment = data[position : position + length]
        if zlib.crc32(bytes([kind]) + fragment) != checksum:
            return  # torn, or still being written
        yield kind, fragment
        position += length


def _items(items: Any) -> dict[str, Any]:
    """Return the values by name; what is nested, and so no plain number, as its last part."""
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
