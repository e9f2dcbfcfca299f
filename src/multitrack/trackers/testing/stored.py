"""What a backend holds of one run, read back with the client's own reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from multitrack.trackers.records import Number, Status


class Point(NamedTuple):
    """A stored metric value; the parts that a backend does not keep are None."""

    step: int | None
    value: Number
    time: float | None = None
    epoch: float | None = None


class Item(NamedTuple):
    """A stored text, file or other thing of one step.

    Attributes:
        step: its step, None where the backend keeps none.
        content: a text as str; a picture, sound or video as the stored bytes; a table as
            ``(columns, rows)``; a histogram as ``(edges, counts)``.
        caption: of a picture, figure, sound or video; None where there is none.
    """

    step: int | None
    content: Any
    caption: str | None = None


@dataclass
class StoredRun:
    """One run, as its backend holds it; names are unescaped to what the user logged.

    Attributes:
        name, project, notes: as logged; None where the backend keeps none.
        status: the outcome, in multitrack's words; None where the backend keeps none.
        params: flat, joined with ``/``; values as stored.
        metrics: points by name, in the order in which the backend gives them.
        tags: by name; a bare tag has the empty string.
        summary: single values by name.
        media: items by kind (``"text"``, ``"image"``, ``"figure"``, ``"histogram"``,
            ``"table"``, ``"audio"``, ``"video"``), then by key.
        artifacts: content by path within the artifact, by the artifact's name; a single-file
            artifact has one path: its file name.
    """

    name: str | None = None
    project: str | None = None
    notes: str | None = None
    status: Status | None = None
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    media: dict[str, dict[str, list[Item]]] = field(default_factory=dict)
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
