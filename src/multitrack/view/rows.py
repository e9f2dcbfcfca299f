"""A row of the table of runs: what the two ends of a journal and its couriers tell."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import Glance, glance, read_tail, status_of
from multitrack.trackers.names import flatten
from multitrack.trackers.records import AnyRecord, End, Metrics, Tags, spelled
from multitrack.trackers.standing import Standing
from multitrack.view.couriers import Couriers, Stamp, stamp_of
from multitrack.view.index import require_own_file


class _Seen(NamedTuple):
    """What the two ends of a journal told."""

    stamp: Stamp
    report_to: list[str]
    size: int
    last: AnyRecord
    facts: dict[str, Any]


class Row:
    """One run in the table, as JSON; nothing is read again that has not changed.

    Attributes:
        folder: the run's folder.
        started: Unix time of its start, in seconds; 0 if it cannot be read.
        body: the row as JSON.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.started = 0.0
        self.body = b""
        self._couriers = Couriers(folder)
        self._stamp: Stamp = None
        self._seen: _Seen | None = None
        self._shown: object = None

    def refresh(self) -> None:
        """Look again; a run that cannot be read has a row that says why."""
        try:
            seen = self._look()
            status = status_of(self.folder, seen.last)
            couriers = self._couriers.standings(seen.report_to, size=seen.size, status=status)
            backends = [backend_as_json(one, seen.size) for one in couriers]
            self._show({**seen.facts, "status": status, "backends": backends})
        except Exception as error:  # whatever a folder that others made provokes: its row says it
            self.started, self._seen = 0.0, None
            self._show({"id": self.folder.run_id, "unreadable": str(error)})

    def _look(self) -> _Seen:
        """Return what the journal's ends said last; look again if it changed since."""
        stamp = stamp_of(self.folder.journal)
        if self._seen is None or stamp != self._seen.stamp:
            require_own_file(self.folder.journal)
            seen, tail = glance(self.folder), read_tail(self.folder)
            last = tail[-1] if tail else seen.header
            self._seen = _Seen(stamp, seen.header.report_to, seen.size, last, facts(seen, tail))
            self.started = seen.header.time
        return self._seen

    def _show(self, row: dict[str, Any]) -> None:
        if row != self._shown:
            self.body, self._shown = msgspec.json.encode(spelled(row)), row


def facts(seen: Glance, tail: list[AnyRecord]) -> dict[str, Any]:
    """Return what a journal's ends tell of its run, but for what changes without it."""
    header, tags, metrics = seen.header, dict(seen.header.tags), {}
    for record in tail:
        if isinstance(record, Metrics):
            metrics.update(record.values)
        elif isinstance(record, Tags):
            tags.update(record.values)
    end = tail[-1] if tail else None
    return {
        "id": seen.folder.run_id,
        "project": header.project,
        "name": header.name,
        "started": header.time,
        "updated": seen.updated,
        "last_step": seen.last_step,
        "tags": tags,
        "params": dict(flatten(header.config)),
        "metrics": metrics,
        "error": end.error if isinstance(end, End) else None,
    }


def backend_as_json(one: Standing, size: int) -> dict[str, Any]:
    """Return how far a backend is with a journal of ``size`` bytes."""
    return {
        "name": one.backend,
        "word": one.word,
        "style": one.style,
        "pending_bytes": max(0, size - one.state.offset),
        "sentence": one.state.message,
    }
