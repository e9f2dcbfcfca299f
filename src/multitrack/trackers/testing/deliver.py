"""Take a recorded run to its backend the real way, by a courier process, and read it back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from multitrack.trackers.folder import CourierFolder, CourierState, Refusal, RunFolder
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.process import DELIVERED, spawn
from multitrack.trackers.records import Metrics
from multitrack.trackers.testing.backend import Backend
from multitrack.trackers.testing.stored import StoredRun

TIMEOUT = 180.0
"""Seconds that one delivery may take."""
LOG_TAIL = 3000


@dataclass
class Delivered:
    """A run after its delivery.

    Attributes:
        folder: the run's folder.
        state: what the courier knows.
        refused: what the courier set aside.
        stored: what the backend holds.
        runs: how many runs the store holds, if the test file can tell.
    """

    folder: RunFolder
    state: CourierState
    refused: list[Refusal]
    stored: StoredRun
    runs: int | None

    def logged_metrics(self) -> list[Metrics]:
        """Return the points that the journal holds."""
        records = [entry.record for entry in entries(self.folder)]
        return [record for record in records if isinstance(record, Metrics)]


def deliver(backend: Backend, folder: RunFolder, environ: Mapping[str, str]) -> Delivered:
    """Deliver a run by a courier process, and read back what the backend holds.

    Raises:
        AssertionError: something was left, or the courier died; the message has its log.
    """
    return deliver_together(backend, [folder], environ)[0]


def deliver_together(
    backend: Backend, folders: Sequence[RunFolder], environ: Mapping[str, str]
) -> list[Delivered]:
    """Deliver runs, each by a courier process of its own, all at once, and read them back.

    Raises:
        AssertionError: as `deliver`.
    """
    with environment(environ):
        couriers = [spawn(folder, backend.tracker) for folder in folders]
        for folder, courier in zip(folders, couriers, strict=True):
            _check(folder.courier(backend.tracker), courier.wait(TIMEOUT))
        return [_read(backend, folder) for folder in folders]


def _check(courier: CourierFolder, code: int) -> None:
    state = courier.read_state()
    if code != DELIVERED:
        raise AssertionError(
            f"the courier ended with code {code} in phase {state.phase!r}: {state.message} "
            f"(remedy: {state.remedy}). Look at what classify() makes of the client's "
            f"errors. Its log ends with:\n{courier.log.read_text()[-LOG_TAIL:]}"
        )


def _read(backend: Backend, folder: RunFolder) -> Delivered:
    courier = folder.courier(backend.tracker)
    state = courier.read_state()
    return Delivered(
        folder,
        state,
        courier.read_refused(),
        backend.read(folder, state),
        backend.count_runs(folder, state),
    )


def entries(folder: RunFolder) -> list[Entry]:
    """Return all entries of a run's journal."""
    found: list[Entry] = []
    with closing(JournalReader(folder.journal)) as reader:
        while batch := reader.read():
            found += [entry for entry in batch if isinstance(entry, Entry)]
    return found


def rewind(folder: RunFolder, backend: str, count: int) -> None:
    """Set a courier's cursor back, so that the last ``count`` records are delivered again."""
    courier = folder.courier(backend)
    state = courier.read_state()
    state.offset = entries(folder)[-count].start
    state.mark = None  # which says what stood before the other offset
    courier.write_state(state)


@contextmanager
def environment(environ: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
