"""What a backend's test file tells the conformance suite, and how the suite delivers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from multitrack.trackers import registry
from multitrack.trackers.courier import Courier
from multitrack.trackers.folder import CourierState, Refusal, RunFolder
from multitrack.trackers.protocol import Gap, Tracker
from multitrack.trackers.records import EndStatus, Number, Status
from multitrack.trackers.settings import load
from multitrack.trackers.testing.stored import Item, Point, StoredRun


@dataclass
class Delivered:
    """A run after its delivery.

    Attributes:
        folder: the run's folder.
        state: what the courier knows.
        stored: what the backend holds.
        refused: what the courier set aside.
    """

    folder: RunFolder
    state: CourierState
    stored: StoredRun
    refused: list[Refusal]


class Backend:
    """What `TrackerConformance` needs to know of a backend.

    A subclass names the tracker and gives `environ` and `read`. All else declares how the
    backend differs from one that keeps everything as it was logged; each declaration is held
    strictly, so that one that is no longer true turns the suite red.

    Attributes:
        tracker: the backend's name, as users write it in ``report_to``.
        gaps: the methods that the adapter declares as unsupported, with the word for "no".
        refused_names: names of `scenario.NAMES` that are set aside because the backend cannot
            have them.
        refused_keys: keys of `scenario` media that are set aside.
        statuses: what the backend shows for an outcome, where it is not the same word.
        time_resolution: seconds to which a point's time is kept; None where it is not kept.
        keeps_epoch: whether a point's epoch is kept.
        keeps_media_step: whether texts, files and tables keep their step.
        keeps_notes, keeps_name, keeps_project: whether the run's are kept.
    """

    tracker: ClassVar[str]
    gaps: ClassVar[Mapping[str, Gap]] = {}
    refused_names: ClassVar[frozenset[str]] = frozenset()
    refused_keys: ClassVar[frozenset[str]] = frozenset()
    statuses: ClassVar[Mapping[EndStatus, Status | None]] = {}
    time_resolution: ClassVar[float | None] = 0.001
    keeps_epoch: ClassVar[bool] = True
    keeps_media_step: ClassVar[bool] = True
    keeps_notes: ClassVar[bool] = True
    keeps_name: ClassVar[bool] = True
    keeps_project: ClassVar[bool] = True

    def environ(self, tmp_path: Path) -> dict[str, str]:
        """Return variables with which the real client stores below ``tmp_path``, offline."""
        raise NotImplementedError(f"{type(self).__name__} must give environ(tmp_path)")

    def read(self, folder: RunFolder, state: CourierState) -> StoredRun:
        """Return what the backend holds of a run, read with the client's own reader.

        Args:
            folder: the run's folder: not where to read from, but its id.
            state: the courier's; ``state.attachment`` tells where the run is at the backend.
                `environ` is in force during the call.
        """
        raise NotImplementedError(f"{type(self).__name__} must give read(folder, state)")

    def stored_number(self, value: Number) -> Number:
        """Return what the backend shows for a metric's value: for float32, the rounded one."""
        return value

    def stored_points(self, points: list[Point]) -> list[Point]:
        """Return what the backend shows for the points of one name, logged in this order."""
        return points

    def stored_param(self, value: Any) -> Any:
        """Return what the backend shows for a param, such as ``str(value)``."""
        return value

    def stored_summary(self, value: Any) -> Any:
        """Return what the backend shows for a single value of the run."""
        return value

    def stored_items(self, kind: str, items: list[Item]) -> list[Item]:
        """Return what the backend shows for the media of one kind and key."""
        return items

    # -- what the suite does with it ----------------------------------------------------------

    @property
    def tracker_type(self) -> type[Tracker]:
        """The adapter."""
        return registry.load(self.tracker)

    def deliver(self, folder: RunFolder, environ: Mapping[str, str]) -> Delivered:
        """Take a run's journal to the backend, and read it back."""
        with environment(environ):
            courier = folder.courier(self.tracker)
            settings = load(self.tracker_type.settings_type, saved=courier.read_settings())
            gone = threading.Event()
            gone.set()
            Courier(folder, self.tracker, settings, linger=60.0).run(gone)
            state = courier.read_state()
            if state.phase != "done":
                raise AssertionError(
                    f"the courier ended {state.phase!r} instead of 'done': {state.message} "
                    f"(remedy: {state.remedy}). What does the adapter's classify() make of the "
                    "client's error?"
                )
            return Delivered(folder, state, self.read(folder, state), courier.read_refused())


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
