"""Weights & Biases: the conformance suite offline, and the real client against a loopback wire."""

import sys
from pathlib import Path

import pytest

from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance, samples

sys.path.insert(0, str(Path(__file__).parent))

import wandb_files as files

STATUSES = {0: "finished", 1: "failed", 255: "interrupted", 137: "killed"}
STEP = "train/global_step"


def offline(tmp_path):
    store = tmp_path / "store"
    return {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(store),
        **{f"WANDB_{name}_DIR": str(store / name) for name in ("CACHE", "DATA", "CONFIG")},
    }


def metrics_of(rows):
    metrics = {}
    for row in rows:
        for name, value in row.items():
            if not isinstance(value, dict) and name not in (STEP, "epoch") and name[0] != "_":
                point = Point(row[STEP], value, row["_timestamp"], row.get("epoch"))
                metrics.setdefault(name, []).append(point)
    return metrics


def media_of(session):
    media = {}
    for row in session.rows:
        for name, value in row.items():
            if isinstance(value, dict):
                kind, content = item_of(session, value)
                media.setdefault(kind, {}).setdefault(name, []).append(Item(row[STEP], content))
    return media


def item_of(session, media):
    if media["_type"] == "histogram":
        return "histogram", (media["bins"], media["values"])
    if media["_type"] == "table-file":
        table = session.table(media)
        return "table", (table["columns"], table["data"])
    content = session.file(media)
    if media["_type"] == "html-file":
        text = files.text_of(content.decode())
        return ("figure", content) if text is None else ("text", text)
    if content == samples.png("orange"):  # W&B has one kind for both: told by the sample
        return "figure", content
    return media["_type"].removesuffix("-file"), content


class TestWandb(TrackerConformance):
    tracker = "wandb"

    def environ(self, tmp_path):
        return offline(tmp_path)

    def read(self, folder, state):
        store = Path(state.attachment.state["folders"][-1]).parent
        sessions = files.sessions_of(store, state.attachment.id)
        last = sessions[-1]
        rows = [row for session in sessions for row in session.rows]
        config, summary, media, artifacts = {}, {}, {}, {}
        for session in sessions:
            config |= session.config
            summary |= session.summary
            media |= media_of(session)
            artifacts |= {unescape(a.name): found for a, found in session.artifacts()}
        logged = {name for row in rows for name in row}
        return StoredRun(
            name=last.run.display_name,
            project=last.run.project,
            notes=last.run.notes,
            status=STATUSES[last.exit_code],
            params=dict(flatten({k: v for k, v in config.items() if k != "multitrack"})),
            metrics=metrics_of(rows),
            tags=dict(word.partition("=")[::2] for word in last.run.tags),
            summary={
                k: v
                for k, v in summary.items()
                if k not in logged | {"multitrack/status", "_wandb"}
            },
            media=media,
            artifacts=artifacts,
        )
