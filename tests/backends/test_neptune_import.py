"""Neptune as a source: offline folders of its client, by others and by us."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import test_neptune
from hypothesis import HealthCheck, given, settings
from migration import (
    START,
    bring,
    bring_damaged,
    bring_one,
    call,
    damages,
    deliver,
    of,
    png,
    points,
    record_everything,
    records,
)

from multitrack.trackers.history import read_history
from multitrack.trackers.records import Image, Text
from multitrack.trackers.start import start_run

PROGRAM = """
import datetime, sys
import neptune
from neptune.types import File
run = neptune.init_run(
    project="w/p", mode="offline", name="n1", description="hi", tags=["t1"], source_files=[],
    git_ref=False, capture_stdout=False, capture_stderr=False, capture_hardware_metrics=False,
    capture_traceback=False,
)
run["parameters"] = {"lr": 0.1, "deep": {"a": "x"}, "api_key": "s3cret"}
run["when"] = datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)
run["gone"] = 1
run.pop("gone")
for step in range(200):
    run["train/loss"].append(1 / (step + 2), step=step * 10, timestamp=1_700_000_000.5 + step)
run["unstepped"].extend([1.0, 2.0, 3.0], timestamps=[1_700_000_000.0] * 3)
run["notes"].append("hello", step=3, timestamp=1_700_000_003.0)
run["img"].append(File("p.png"), step=4, timestamp=1_700_000_004.0, description="red")
run["model"].upload("model.bin")
run["inline"].upload(File.from_content("a,b", extension="csv"))
run["set"].upload_files("*.pdb")
run["dataset"].track_files("model.bin")
if len(sys.argv) > 1:
    run["sys/failed"] = True
run.stop()
"""


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Where the client keeps offline runs."""
    monkeypatch.setenv("NEPTUNE_DATA_DIRECTORY", str(tmp_path / ".neptune"))
    return tmp_path / ".neptune"


def train(tmp_path, *arguments):
    """Run a program that reports to Neptune alone."""
    (tmp_path / "p.png").write_bytes(png())
    (tmp_path / "m.pdb").write_text("ATOM")
    (tmp_path / "model.bin").write_bytes(b"x" * 1000)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_runs_of_others(tmp_path, store):
    train(tmp_path)
    train(tmp_path, "failed")
    folders = bring(store, tmp_path / "runs", "--project", "mine", "--also", tmp_path)
    statuses = [read_history(folder).status for folder in folders]
    assert sorted(statuses) == ["failed", "finished"]
    folder = folders[statuses.index("finished")]
    found, history = records(folder), read_history(folder)
    header = history.header
    assert (header.project, header.name, header.notes) == ("mine", "n1", "hi")
    history.params.pop("imported_from")
    assert history.params == {
        "parameters": {"lr": 0.1, "deep": {"a": "x"}, "api_key": "<redacted>"},
        "when": "2024-01-02T00:00:00+00:00",
    }
    assert history.tags == {"t1": ""}
    assert points(found) == {
        "train/loss": [(s * 10, START + 0.5 + s, repr(1 / (s + 2))) for s in range(200)],
        "unstepped": [(0, START, "1.0"), (1, START, "2.0"), (2, START, "3.0")],
    }
    [text], [image] = of(Text, found), of(Image, found)
    assert (text.key, text.text, text.step, text.time) == ("notes", "hello", 3, START + 3)
    assert (image.key, image.caption, image.step) == ("img", "red", 4)
    assert (folder.path / image.file.path).read_bytes() == png()
    kept = {
        artifact.name: (folder.path / artifact.files[0].path).read_bytes()
        for artifact in history.artifacts
    }
    assert kept == {"model": b"x" * 1000, "inline": b"a,b", "set/m.pdb": b"ATOM"}
    assert list(history.refused) == ["dataset"]
    assert "2 runs: 2 there already." in call("import", tmp_path, "--dir", tmp_path / "runs")


def test_a_torn_queue_and_a_file_that_is_gone(tmp_path, store):
    train(tmp_path)
    (tmp_path / "model.bin").unlink()
    [queue] = store.glob("offline/*/data-1.log")
    lines = queue.read_bytes().splitlines(keepends=True)
    queue.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    _, history = bring_one(store, tmp_path / "runs", "--also", tmp_path)
    assert len(history.series["train/loss"].steps) == 200
    assert "model" in history.refused


def test_there_and_back(tmp_path, store):
    """Ours to Neptune in two sessions, from there into a run folder, and to Neptune again."""
    options = {"report_to": "neptune", "dir": tmp_path / "original", "delivery": "inline"}
    with start_run(
        "digits",
        "small",
        config={"optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "prompt": "p" * 20_000},
        tags={"team": "vision", "bare": ""},
        notes="a note",
        **options,
    ) as run:
        record_everything(run, tmp_path)
        run.log({"train/loss": 0.3, "train": 2.0}, step=21)
        run.log_table("errors", [["3", 5]], columns=["label", "guess"], step=21)
    with start_run(run_id=run.id, **options) as again:
        again.log({"train/loss": 0.125}, step=25)
        again.finish("interrupted", quiet=True)
    original = read_history(run.folder)
    found, history = bring_one(store, tmp_path / "runs", "--also", tmp_path)
    assert history.params.pop("imported_from")["run_id"] == run.id
    header = history.header
    assert (header.project, header.name, header.notes) == ("digits", "small", "a note")
    assert (history.params, history.tags) == (original.params, original.tags)
    assert (history.summary, history.status) == (original.summary, "interrupted")
    stored, expected = points(found), points(records(run.folder))
    assert stored.keys() == expected.keys()
    for name, rows in stored.items():
        assert [(s, v) for s, _, v in rows] == [(s, v) for s, _, v in expected[name]]
        for (_, time, _), (_, exact, _) in zip(rows, expected[name], strict=True):
            assert abs(exact - time) < 1e-5
    assert history.media == original.media
    [artifact] = history.artifacts
    kept = {f.name: (history.folder.path / f.path).read_bytes() for f in artifact.files}
    assert kept == {"weights.bin": b"w" * 1000, "config.json": b"{}"}
    assert (artifact.name, artifact.kind, artifact.aliases) == ("model", "model", ["best"])
    [logged] = original.artifacts
    assert artifact.step == logged.step
    assert abs(artifact.time - logged.time) < 1e-5
    state = deliver(history.folder, "neptune")
    after = test_neptune.TestNeptune().read(history.folder, state)
    before = test_neptune.TestNeptune().read(run.folder, run.folder.courier("neptune").read_state())
    assert (after.name, after.status, after.tags) == ("small", "interrupted", before.tags)
    assert after.summary == before.summary
    assert after.artifacts == before.artifacts
    assert {name: len(rows) for name, rows in after.metrics.items()} == {
        name: len(rows) for name, rows in before.metrics.items()
    }


def test_not_a_store(tmp_path):
    output = call("import", tmp_path, "--from", "neptune", "--dir", tmp_path / "runs", code=2)
    assert "holds nothing that neptune reads" in output


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=damages())
def test_however_it_is_damaged(damage, tmp_path):
    whole = tmp_path / "whole"
    if not whole.exists():
        for name in ("run__a", "run__b"):
            (whole / name).mkdir(parents=True)
            operation = {
                "type": "LogFloats",
                "path": ["loss"],
                "values": [{"value": 0.5, "step": 1, "ts": START}],
            }
            line = json.dumps({"obj": operation, "version": 1}) + "\n"
            (whole / name / "data-1.log").write_text(line * 5)
    found, _ = bring_damaged(whole, "run__a/data-1.log", damage, tmp_path / "damaged")
    assert "run__b" in {one.params["imported_from"]["id"] for one in found}
