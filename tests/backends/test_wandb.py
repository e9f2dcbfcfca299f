"""Weights & Biases: the conformance suite offline, and the real client against a loopback wire."""

import json
from pathlib import Path

import pytest
import wandb_files as files
from wandb_wire import WandbWire

from multitrack import start_run
from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance, samples

STATUSES = {0: "finished", 1: "failed", 255: "interrupted", 137: "killed"}
STEP = "train/global_step"


def offline(tmp_path):
    store = tmp_path / "store"
    return {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(store),
        **{f"WANDB_{name}_DIR": str(store / name) for name in ("CACHE", "DATA", "CONFIG")},
    }


def sessions_of(state):
    store = Path(state.attachment.state["folders"][-1]).parent
    return files.sessions_of(store, state.attachment.id)


def metrics_of(rows):
    metrics = {}
    for row in rows:
        for name, value in row.items():
            is_own = name == STEP or name in ("_step", "_timestamp", "_runtime")
            if not is_own and not isinstance(value, dict | str):
                point = Point(row.get(STEP), value, row["_timestamp"], row.get("epoch"))
                metrics.setdefault(name, []).append(point)
    return metrics


def media_of(rows, read):
    media = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dict):
                kind, content = item_of(value, read)
                caption = value.get("caption") or row.get(f"{name}/caption")
                item = Item(row[STEP], content, caption)
                media.setdefault(kind, {}).setdefault(name, []).append(item)
    return media


def item_of(media, read):
    if media["_type"] == "histogram":
        return "histogram", (media["bins"], media["values"])
    content = read(media["path"])
    if media["_type"] == "table-file":
        table = json.loads(content)
        return "table", (table["columns"], table["data"])
    if media["_type"] == "html-file":
        text = files.text_of(content.decode())
        return ("figure", content) if text is None else ("text", text)
    if content == samples.png("orange"):  # W&B has one kind for both: told by the sample
        return "figure", content
    return media["_type"].removesuffix("-file"), content


def stored(run, rows, config, summary, media, artifacts):
    """Return what is common to both readers; ``run`` has the names of a run's record."""
    own = {"multitrack/status", "_wandb"} | {name for row in rows for name in row}
    return StoredRun(
        name=run.display_name,
        project=run.project,
        notes=run.notes,
        status=STATUSES[run.exit_code],
        params=dict(flatten({k: v for k, v in config.items() if k != "multitrack"})),
        metrics=metrics_of(rows),
        tags=dict(word.partition("=")[::2] for word in run.tags),
        summary={k: v for k, v in summary.items() if k not in own},
        media=media,
        artifacts={unescape(name): found for name, found in artifacts.items()},
    )


RESERVED = frozenset({"_step", "_timestamp"})
"""What the client keeps for itself."""
TOO_LONG = frozenset({"k" * 300, "k" * 299 + "l"})
"""Keys of media of which the client can make no file."""


class TestOffline(TrackerConformance):
    tracker = "wandb"
    by_hand = "native.log({'by_hand': value})"
    refused_names = RESERVED
    refused_keys = TOO_LONG | {"_step"}

    def environ(self, tmp_path):
        return offline(tmp_path)

    def read(self, folder, state):
        sessions = sessions_of(state)
        config, summary, media, artifacts = {}, {}, {}, {}
        for session in sessions:
            config |= session.config
            summary |= session.summary
            media |= media_of(session.rows, session.read)
            artifacts |= {a.name: found for a, found in session.artifacts()}
        rows = [row for session in sessions for row in session.rows]
        return stored(sessions[-1], rows, config, summary, media, artifacts)

    def count_runs(self, folder, state):
        store = Path(state.attachment.state["folders"][-1]).parent
        return len({session.run_id for session in files.sessions_of(store, "")})


class TestOnline(TrackerConformance):
    tracker = "wandb"
    by_hand = "native.log({'by_hand': value})"
    refused_names = RESERVED
    refused_keys = TOO_LONG | {"_step"}
    output = (r"wandb: (WARNING )?\[wandb.login\(\)\] .* credential",)

    def setup_class(cls):
        cls.wire = WandbWire().__enter__()

    def teardown_class(cls):
        cls.wire.__exit__()

    def environ(self, tmp_path):
        return offline(tmp_path) | self.wire.environ()

    def read(self, folder, state):
        run = self.wire.runs[state.attachment.id]
        media = media_of(run.rows, run.files.__getitem__)
        artifacts = {a.name: a.files for a in self.wire.artifacts if a.run_id == run.run_id}
        return stored(run, run.rows, run.config, run.summary, media, artifacts)

    def stored_params(self, logged):
        kept = super().stored_params(logged)
        return {name: value for name, value in kept.items() if value != {}}  # nothing is in it


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"settings": {"wandb": {"project": "told", "run_name": "told"}}}, ("told", "told")),
        ({}, ("own", "own")),
        ({"project": None, "name": None}, ("variable", "variable")),
    ],
    ids=["argument", "own", "variable"],
)
def test_what_the_code_says_beats_the_clients_variables(tmp_path, monkeypatch, options, expected):
    variables = {"WANDB_PROJECT": "variable", "WANDB_NAME": "variable"}
    for name, value in (offline(tmp_path) | variables).items():
        monkeypatch.setenv(name, value)
    named = {"project": "own", "name": "own"} | options
    with start_run(report_to="wandb", dir=tmp_path / "runs", **named) as run:
        run.log({"loss": 0.5}, step=1)
        [report] = run.finish(quiet=True, timeout=120)
    assert report.delivered, report
    [session] = sessions_of(run.folder.courier("wandb").read_state())
    assert (session.project, session.display_name) == expected
