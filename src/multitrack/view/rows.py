"""A row of the table of runs: what its journal tells, first by its two ends, and its couriers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import Glance, glance, read_tail, status_of
from multitrack.trackers.names import flatten
from multitrack.trackers.records import AnyRecord, End, Metrics, Tags, spelled
from multitrack.trackers.standing import Standing
from multitrack.view.couriers import Couriers, Stamp, stamp_of
from multitrack.view.follow import require_own_file
from multitrack.view.latest import Latest


class _Ends(NamedTuple):
    """What the two ends of a journal told."""

    glance: Glance
    tail: list[AnyRecord]

    @property
    def last(self) -> AnyRecord:
        return self.tail[-1] if self.tail else self.glance.header


class Row:
    """One run in the table, as JSON; nothing is read again that has not changed.

    Attributes:
        folder: the run's folder.
        started: Unix time of its start, in seconds; 0 if it cannot be read.
        body: the row as JSON.
        version: of the table in which the row was new.
        is_behind: whether more of the journal is to be read than its ends.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.started = 0.0
        self.body = b""
        self.version = 0
        self.is_behind = False
        self._couriers = Couriers(folder)
        self._latest = Latest(folder)
        self._stamp: Stamp = None
        self._ends: _Ends | None = None
        self._facts: dict[str, Any] = {}
        self._shown: object = None

    def refresh(self) -> bool:
        """Look again at the journal's ends and at the couriers; tell whether the row changed."""
        return self._update(self._look)

    def read_on(self, until: float) -> bool:
        """Read the journal on, until a time on the clock of `time.monotonic`; tell likewise."""
        return self._update(lambda: self._read(until))

    def _update(self, look: Callable[[], _Ends]) -> bool:
        """Return whether the row is another; a run that cannot be read has one that says why."""
        try:
            return self._show(self._row(look()))
        except Exception as error:  # whatever a folder that others made provokes: its row says it
            self.started, self._ends, self.is_behind = 0.0, None, False
            return self._show({"id": self.folder.run_id, "unreadable": str(error)})

    def _look(self) -> _Ends:
        """Return what the journal's ends said last; look again if it changed since."""
        stamp = stamp_of(self.folder.journal)
        if self._ends is None or stamp != self._stamp:
            require_own_file(self.folder.journal)
            self._ends = _Ends(glance(self.folder), read_tail(self.folder))
            self._stamp, self.is_behind = stamp, True
            self._facts = facts(*self._ends, self._latest)
            self.started = self._ends.glance.header.time
        return self._ends

    def _read(self, until: float) -> _Ends:
        self._latest.read_on(until)
        self.is_behind = not self._latest.is_at_end
        ends = self._look()
        self._facts = facts(*ends, self._latest)
        return ends

    def _row(self, ends: _Ends) -> dict[str, Any]:
        status, size = status_of(self.folder, ends.last), ends.glance.size
        report_to = ends.glance.header.report_to
        couriers = self._couriers.standings(report_to, size=size, status=status)
        backends = [backend_as_json(one, size) for one in couriers]
        return {**self._facts, "status": status, "backends": backends}

    def _show(self, row: dict[str, Any]) -> bool:
        if row == self._shown:
            return False
        self.body, self._shown = msgspec.json.encode(spelled(row)), row
        return True


def facts(seen: Glance, tail: list[AnyRecord], latest: Latest) -> dict[str, Any]:
    """Return what a journal tells of its run, but for what changes without it.

    What was read of it counts, and then its end, which may lie behind that.
    """
    header = seen.header
    tags, metrics = {**header.tags, **latest.tags}, dict(latest.metrics)
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
        "params": dict(flatten(latest.params or header.config)),
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
