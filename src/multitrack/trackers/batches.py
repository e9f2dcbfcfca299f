"""How a batch of a journal's lines is taken apart into calls of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from multitrack.trackers.journal import Corrupt, Entry
from multitrack.trackers.records import End, Metrics

Item: TypeAlias = Entry | Corrupt


def chunks(entries: Iterable[Item], limit: int) -> Iterator[list[Item]]:
    """Yield runs of consecutive metrics, at most ``limit`` each, and all else one by one."""
    chunk: list[Item] = []
    for entry in entries:
        if not (isinstance(entry, Entry) and isinstance(entry.record, Metrics)):
            if chunk:
                yield chunk
            yield [entry]
            chunk = []
            continue
        chunk.append(entry)
        if len(chunk) >= limit:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def needs_client(item: Item) -> bool:
    """Tell whether the backend's client is needed for a line of the journal."""
    return isinstance(item, Entry) and not isinstance(item.record, End)


def points(chunk: Iterable[Item]) -> list[Metrics]:
    """Return the metrics of a chunk."""
    records = [item.record for item in chunk if isinstance(item, Entry)]
    return [record for record in records if isinstance(record, Metrics)]
