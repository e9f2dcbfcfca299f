"""All about one run, but for its curves and media."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
import numpy as np

from multitrack.trackers.history import Series, backends_of
from multitrack.trackers.names import flatten
from multitrack.trackers.records import Artifact, StagedFile
from multitrack.trackers.standing import Standing, reasons, standings, sync_command
from multitrack.view.index import Recorded
from multitrack.view.places import url_of
from multitrack.view.rows import backend_as_json

MOST_REASONS = 20
MOST_REFUSED = 4 * 1024 * 1024
"""Bytes of refusals that are read for their reasons."""


def details(recorded: Recorded) -> dict[str, Any]:
    """Return what is known of a run, as builtins."""
    header = recorded.header
    recorded.backends = backends_of(recorded.folder, recorded.backends)
    couriers = standings(recorded)
    is_whole = not recorded.unread  # else nobody knows which records are delivered
    return {
        "id": recorded.folder.run_id,
        "project": header.project,
        "name": header.name,
        "status": recorded.status,
        "error": recorded.error,
        "started": header.time,
        "updated": recorded.updated,
        "last_step": recorded.last_step,
        "path": str(recorded.folder.path),
        "notes": header.notes,
        "command": shlex.join(header.command),
        "header": {**msgspec.to_builtins(header), "config": {}},
        "tags": recorded.tags,
        "params": dict(flatten(recorded.params)),
        "summary": recorded.summary,
        "resumed": recorded.resumed,
        "metrics": [_metric(name, one) for name, one in recorded.metrics().items()],
        "media": [
            {"kind": kind, "name": name, "count": len(spans)}
            for (kind, name), spans in recorded.spans.items()
        ],
        "artifacts": [_artifact(recorded, artifact) for artifact in recorded.artifacts],
        "refused": recorded.refused,
        "corrupt": recorded.corrupt,
        "backends": [backend_as_json(one, recorded.size) for one in couriers],
        "delivery": [_delivery(recorded, one) for one in couriers if is_whole],
        "reading": recorded.reading,
    }


def _metric(name: str, series: Series) -> dict[str, Any]:
    values = np.array(series.values)
    finite = np.flatnonzero(np.isfinite(values))
    places: dict[str, int | None] = {"last": len(values) - 1, "lowest": None, "highest": None}
    if finite.size:
        places["lowest"] = int(finite[values[finite].argmin()])
        places["highest"] = int(finite[values[finite].argmax()])
    return {"name": name, "points": len(values)} | {
        end: None if at is None else {"step": series.steps[at], "value": series.values[at]}
        for end, at in places.items()
    }


def _artifact(recorded: Recorded, artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "kind": artifact.kind,
        "aliases": artifact.aliases,
        "step": artifact.step,
        "time": artifact.time,
        "files": [_file(recorded, file) for file in artifact.files],
    }


def _file(recorded: Recorded, file: StagedFile) -> dict[str, Any]:
    url = url_of(recorded.folder, file)
    return {"path": file.name, "size": file.size} | ({"url": url} if url else {})


def _delivery(recorded: Recorded, one: Standing) -> dict[str, Any]:
    pending = recorded.pending(one.state.offset)
    return {
        "backend": one.backend,
        "word": one.word,
        "style": one.style,
        "delivered": recorded.records - pending,
        "pending": pending,
        "behind_s": recorded.lag(one.state.offset),
        "attempts": one.state.failures,
        "refused": one.state.refused,
        "sentence": one.sentence(pending),
        "message": None if one.is_complete else one.state.message,
        "remedy": None if one.is_complete else one.state.remedy,
        "command": None if one.is_complete else sync_command(recorded.folder, one.backend),
        "reasons": _reasons(recorded, one),
        "url": one.url,
    }


def _reasons(recorded: Recorded, one: Standing) -> list[dict[str, Any]]:
    refused = recorded.folder.courier(one.backend).refused
    if not refused.is_file() or refused.stat().st_size > MOST_REFUSED:
        return []
    counted = reasons(recorded.folder, one.backend).most_common(MOST_REASONS)
    return [{"name": name, "reason": reason, "count": count} for (name, reason), count in counted]
