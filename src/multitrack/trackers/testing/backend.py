"""What a backend's test file tells the conformance suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from multitrack.trackers import registry
from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.protocol import Gap, Tracker
from multitrack.trackers.records import EndStatus, Number, Status
from multitrack.trackers.testing.stored import Item, Point, StoredRun


class Backend:
    """What the suite needs to know of a backend.

    A subclass names the tracker and gives `environ` and `read`. All else declares how the
    backend differs from one that keeps everything as it was logged. Each declaration is held
    strictly: one that is no longer true turns the suite red.

    Attributes:
        tracker: the backend's name, as users write it in ``report_to``.
        gaps: the methods that the adapter declares as unsupported, with the word for "no".
        refused_names: metrics among `scenario.NAMES` that are set aside, because the backend
            cannot have such a name.
        refused_keys: other things of the scenario that are set aside: keys of media, names of
            params, tags, summary values and artifacts.
        statuses: what the backend shows for an outcome, where it is not the same word.
        time_resolution: seconds to which a point's time is kept; None where it is not kept.
        keeps_epoch: whether a point's epoch is kept.
        keeps_media_step: whether texts, files and tables keep their step.
        keeps_captions: whether pictures, figures, sounds and videos keep theirs.
        keeps_name, keeps_project, keeps_notes: whether the run's are kept.
        is_alone: whether the client takes one run a process: a second one there is parked until
            the first has ended.
        output: regular expressions for lines that the client prints and nobody can stop.
        by_hand: a statement that logs ``value`` at ``step`` as ``by_hand`` with what
            `Tracker.native` returned, ``native``; None where the adapter has no such method.
    """

    tracker: ClassVar[str]
    gaps: ClassVar[Mapping[str, Gap]] = {}
    refused_names: ClassVar[frozenset[str]] = frozenset()
    refused_keys: ClassVar[frozenset[str]] = frozenset()
    statuses: ClassVar[Mapping[EndStatus, Status | None]] = {}
    time_resolution: ClassVar[float | None] = 0.001
    keeps_epoch: ClassVar[bool] = True
    keeps_media_step: ClassVar[bool] = True
    keeps_captions: ClassVar[bool] = True
    keeps_name: ClassVar[bool] = True
    keeps_project: ClassVar[bool] = True
    keeps_notes: ClassVar[bool] = True
    is_alone: ClassVar[bool] = False
    output: ClassVar[Sequence[str]] = ()
    by_hand: ClassVar[str | None] = None

    def environ(self, tmp_path: Path) -> dict[str, str]:
        """Return variables with which the real client stores below ``tmp_path``, offline.

        Called once a test, and again with the same path for a later courier of the same run:
        it must then name the same store.
        """
        raise NotImplementedError(f"{type(self).__name__} must give environ(tmp_path)")

    def read(self, folder: RunFolder, state: CourierState) -> StoredRun:
        """Return what the backend holds of a run, read with the client's own reader.

        The variables of `environ` are set during the call.

        Args:
            folder: the run's folder. Not where to read from, but ``folder.run_id`` may help.
            state: the courier's; ``state.attachment`` tells where the run is at the backend.
        """
        raise NotImplementedError(f"{type(self).__name__} must give read(folder, state)")

    def count_runs(self, folder: RunFolder, state: CourierState) -> int | None:
        """Return how many runs the store below ``tmp_path`` holds; None if it cannot be told."""
        return None

    def stored_number(self, value: Number) -> Number:
        """Return what the backend shows for a metric's value: for float64, ``float(value)``."""
        return value

    def stored_points(self, points: list[Point]) -> list[Point]:
        """Return what the backend shows for the points of one name, logged in this order.

        Their values went through `stored_number`; times and epochs that are not kept are None.
        """
        return points

    def stored_param(self, value: Any) -> Any:
        """Return what the backend shows for a param, such as ``str(value)``."""
        return value

    def stored_params(self, logged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the backend shows for params, flat, that were logged one after another."""
        merged = {name: value for tree in logged for name, value in tree.items()}
        return {name: self.stored_param(value) for name, value in merged.items()}

    def stored_tags(self, tags: dict[str, str]) -> dict[str, str]:
        """Return what the backend shows for tags."""
        return tags

    def stored_summary(self, value: Any) -> Any:
        """Return what the backend shows for a single value of the run.

        A number that is not finite may also be spelled, as in the journal.
        """
        return value

    def stored_items(self, kind: str, items: list[Item]) -> list[Item]:
        """Return what the backend shows for the media of one kind and key."""
        return items

    @property
    def tracker_type(self) -> type[Tracker]:
        """The adapter."""
        return registry.load(self.tracker)

    def stored_status(self, status: EndStatus) -> Status | None:
        """Return what the backend shows for an outcome."""
        return self.statuses.get(status, status)
