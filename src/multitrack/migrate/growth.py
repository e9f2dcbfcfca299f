"""What a source's run has that an earlier import of it did not bring.

Records are told apart by what they say, not by when: a file without times has that of its last
change. Metrics are compared value by value, files by their content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import read_tail
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.records import (
    AnyRecord,
    End,
    EndStatus,
    Header,
    Metrics,
    Refused,
    Resumed,
    StagedFile,
    Stepped,
    files_of,
)

CHUNK = 1024 * 1024
MARK, STEP = 8, b"s"
"""Bytes of a mark, and what the marks of things at a step begin with beside."""


class Growth:
    """Compare two imports of one run.

    Args:
        old: the run's folder.
        new: what the source holds now, written anew.

    Attributes:
        is_contained: whether all that the old one has at its steps is in the new one, or the other
            way round; what holds for a whole run, such as its best value, may change.
        records: what the new one has more, with the paths of its files in `new`.
        end: the outcome that the source tells now, None if it goes on.
    """

    def __init__(self, old: RunFolder, new: RunFolder) -> None:
        left = _marks(old)
        self.records: list[AnyRecord] = []
        self.end: End | None = None
        for record in records_of(new):
            if isinstance(record, End):
                self.end = record
            elif more := _remainder(record, new, left):
                self.records.append(more)
        is_more = any(isinstance(record, Stepped) for record in self.records)
        self.is_contained = not is_more or not _has_steps(left)
        self._told = _outcome(old)

    @property
    def was_ended(self) -> bool:
        """Whether the old import told an outcome."""
        return self._told is not None

    @property
    def is_nothing(self) -> bool:
        """Whether the source tells no more than before."""
        is_same_end = self.end is None or self.end.status == self._told
        return not self.records and is_same_end


def records_of(folder: RunFolder) -> Iterator[AnyRecord]:
    """Yield the records of a journal that can be read."""
    with closing(JournalReader(folder.journal)) as reader:
        while entries := reader.read():
            yield from (entry.record for entry in entries if isinstance(entry, Entry))


def hashed(record: AnyRecord, folder: RunFolder) -> AnyRecord:
    """Return a record whose files are all known by their content."""
    if not files_of(record):
        return record
    files = [msgspec.structs.replace(f, sha256=_digest(f, folder)) for f in files_of(record)]
    changes = {"files": files} if hasattr(record, "files") else {"file": files[0]}
    return msgspec.structs.replace(record, **changes)


def _marks(folder: RunFolder) -> Counter[bytes]:
    marks: Counter[bytes] = Counter()
    for record in records_of(folder):
        marks.update(mark for _, mark in _parts(record, folder))
    return marks


def _remainder(record: AnyRecord, folder: RunFolder, left: Counter[bytes]) -> AnyRecord | None:
    """Return what of a record is not among the marks, which then are without what is."""
    missing = []
    for name, mark in _parts(record, folder):
        if left[mark] > 0:
            left[mark] -= 1
        else:
            missing.append(name)
    if missing and isinstance(record, Metrics):
        values = {name: record.values[name] for name in missing}
        return msgspec.structs.replace(record, values=values)
    return record if missing else None


def _parts(record: AnyRecord, folder: RunFolder) -> Iterator[tuple[str, bytes]]:
    """Yield names and marks of what a record says; of what frames a journal, nothing."""
    if isinstance(record, Header | Resumed | End):
        return
    if isinstance(record, Metrics):
        for name, value in record.values.items():
            yield name, STEP + _mark(["metrics", record.step, name, repr(value)])
    elif isinstance(record, Refused):
        yield record.key, _mark(["refused", record.key])
    else:
        said: dict[str, Any] = msgspec.to_builtins(record)
        files = [[file.name, file.size, _digest(file, folder)] for file in files_of(record)]
        del said["time"]
        said.pop("file", None)
        said.pop("files", None)
        yield "", (STEP if isinstance(record, Stepped) else b"") + _mark([said, files])


def _has_steps(left: Counter[bytes]) -> bool:
    return any(count > 0 for mark, count in left.items() if len(mark) > MARK)


def _mark(said: list[Any]) -> bytes:
    encoded = msgspec.json.encode(said, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=MARK).digest()


def _digest(file: StagedFile, folder: RunFolder) -> str | None:
    """Return the digest of a file's content, None if it is gone."""
    if file.sha256:
        return file.sha256
    digest = hashlib.sha256()
    try:
        with (folder.path / file.path).open("rb") as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def _outcome(folder: RunFolder) -> EndStatus | None:
    last = read_tail(folder)[-1:]
    return last[0].status if last and isinstance(last[0], End) else None
