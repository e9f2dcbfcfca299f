"""`TrackerConformance`: what every adapter is held to, with its real client."""

from __future__ import annotations

from multitrack.trackers.testing.adapter_cases import AdapterCases
from multitrack.trackers.testing.delivery_cases import DeliveryCases
from multitrack.trackers.testing.foreign_cases import ForeignCases
from multitrack.trackers.testing.media_cases import MediaCases
from multitrack.trackers.testing.metric_cases import MetricCases
from multitrack.trackers.testing.native_cases import NativeCases
from multitrack.trackers.testing.tree_cases import TreeCases


class TrackerConformance(
    AdapterCases, TreeCases, MetricCases, MediaCases, DeliveryCases, ForeignCases, NativeCases
):
    """The conformance suite. Subclass it in a backend's test file; pytest finds the tests.

    Each test records a run with `multitrack.start_run`, delivers it with a courier process and
    the real client, and reads back what the backend holds. See
    `multitrack.trackers.testing.backend.Backend` for all that a subclass may declare.

    Example:
        >>> class TestExample(TrackerConformance):
        ...     tracker = "example"
        ...     gaps = {"log_video": Gap.NEVER}
        ...     statuses = {"interrupted": "failed"}
        ...
        ...     def environ(self, tmp_path):
        ...         return {"EXAMPLE_DIR": str(tmp_path / "store")}
        ...
        ...     def read(self, folder, state):
        ...         found = example.open(state.attachment.id)
        ...         return StoredRun(params=found.params, metrics=...)
    """
