"""The conformance suite that every adapter passes, ours and third parties'.

`TrackerConformance` needs pytest, and is loaded only when it is asked for:

    from multitrack.trackers.testing import StoredRun, TrackerConformance
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multitrack.trackers.testing.stored import Item, Point, StoredRun

if TYPE_CHECKING:
    from multitrack.trackers.testing.conformance import TrackerConformance

__all__ = ["Item", "Point", "StoredRun", "TrackerConformance"]


def __getattr__(name: str) -> Any:
    if name == "TrackerConformance":
        from multitrack.trackers.testing.conformance import TrackerConformance

        return TrackerConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
