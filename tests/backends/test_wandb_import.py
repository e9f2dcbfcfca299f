"""W&B as a source: what its client writes offline, for others and for us."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from migration import bring, bring_one, call, deliver, of, png, points, record_everything, records
from wandb_files import sessions_of

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import Histogram, Image, Table, Text
from multitrack.trackers.start import start_run

PROGRAM = """
import os, sys
import wandb
settings = wandb.Settings(console="off", x_disable_stats=True)
run = wandb.init(project="vision", name="n1", id="r1", tags=["t1", "team=a"], group="g", notes="hi",
                 config={"lr": 0.1, "deep": {"a": [1, 2]}, "api_key": "s3cret"}, settings=settings)
for step in range(300):
    run.log({"loss": 1 / (step + 2), "acc": step, "_timestamp": 1_700_000_000.5 + step}, step=step)
run.log({"loss": float("nan"), "note": "hello", "img": wandb.Image("p.png", caption="red"),
         "tab": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]]),
         "hist": wandb.Histogram(np_histogram=([1, 2], [0.0, 0.5, 1.0])),
         "obj": wandb.Molecule("m.pdb")}, step=300)
version = wandb.Artifact("m", type="model", metadata={"k": 1})
version.add_file("model.bin")
run.log_artifact(version, aliases=["best"])
run.save("model.bin")
run.summary["best"] = 0.5
run.finish(exit_code=int(sys.argv[1]))
wandb.teardown()
"""


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """W&B's client, offline, with all that it keeps below one folder."""
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_SILENT": "true",
        "WANDB_CACHE_DIR": str(tmp_path / "cache"),
        "WANDB_DATA_DIR": str(tmp_path / "data"),
        "WANDB_CONFIG_DIR": str(tmp_path / "config"),
        "WANDB_ERROR_REPORTING": "false",
    }.items():
        monkeypatch.setenv(name, value)


def train(tmp_path, exit_code=0):
    """Run a program that reports to W&B alone."""
    (tmp_path / "p.png").write_bytes(png())
    (tmp_path / "m.pdb").write_text("ATOM")
    (tmp_path / "model.bin").write_bytes(b"x" * 1000)
    command = [sys.executable, "-c", PROGRAM, str(exit_code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    sessions_of(tmp_path / "wandb", "r1", timeout=60)


def test_runs_of_others(tmp_path):
    train(tmp_path)
    found, history = bring_one(tmp_path / "wandb", tmp_path / "runs")
    header, origin = history.header, history.params.pop("imported_from")
    assert (header.project, header.name, header.notes) == ("vision", "n1", "hi")
    assert (origin["id"], origin["group"], history.status) == ("/vision/r1", "g", "finished")
    assert history.params == {"lr": 0.1, "deep": {"a": [1, 2]}, "api_key": "<redacted>"}
    assert history.tags == {"t1": "", "team": "a"}
    assert history.summary == {"best": 0.5}
    stored = points(found)
    times = {time for _, time, _ in stored["loss"][300:]}
    expected = [(s, 1_700_000_000.5 + s, repr(1 / (s + 2))) for s in range(300)]
    assert stored["loss"][:300] == expected
    assert [(s, v) for s, _, v in stored["loss"][300:]] == [(300, "nan")]
    assert [(s, v) for s, _, v in stored["acc"]] == [(s, str(s)) for s in range(300)]
    [text], [image] = of(Text, found), of(Image, found)
    assert (text.key, text.text, text.step, {text.time}) == ("note", "hello", 300, times)
    assert (image.key, image.caption) == ("img", "red")
    assert (history.folder.path / image.file.path).read_bytes() == png()
    [table], [histogram] = of(Table, found), of(Histogram, found)
    assert (table.key, table.columns, table.rows) == ("tab", ["a", "b"], 2)
    assert (histogram.edges, histogram.counts) == ([0.0, 0.5, 1.0], [1, 2])
    assert list(history.refused) == ["obj"]
    kept = {artifact.name: artifact for artifact in history.artifacts}
    assert {"m", "model.bin"} <= set(kept)
    assert (kept["m"].kind, kept["m"].aliases, kept["m"].metadata) == ("model", ["best"], {"k": 1})
    for name in ("m", "model.bin"):
        [file] = kept[name].files
        assert (file.name, file.size) == ("model.bin", 1000)
    output = call("import", tmp_path, "--dir", tmp_path / "runs")  # the folder above does, too
    assert "1 run: 1 there already." in output


def test_outcomes_and_torn_files(tmp_path):
    train(tmp_path, exit_code=1)
    [path] = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert read_history(bring(path, tmp_path / "failed")[0]).status == "failed"
    path.write_bytes(path.read_bytes()[: 40 * 1024])
    assert bring(path, tmp_path / "torn", "--ended") == []
    [folder] = bring(path, tmp_path / "torn")
    history = read_history(folder)
    steps = list(history.series["loss"].steps)
    assert (history.status, steps) == ("killed", list(range(len(steps))))
    assert len(steps) > 50


def test_an_artifact_that_is_gone(tmp_path):
    train(tmp_path)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    (tmp_path / "model.bin").unlink()
    _, history = bring_one(tmp_path / "wandb", tmp_path / "runs")
    assert "not on this machine" in history.refused["m"]
    assert history.summary == {"best": 0.5}


def test_there_and_back(tmp_path):
    """Ours to W&B in two sessions, from there into a run folder, and to W&B again."""
    options = {"report_to": "wandb", "dir": tmp_path / "original", "delivery": "inline"}
    with start_run(
        "digits",
        "small",
        config={"optim": {"lr": 0.1, "betas": [0.9, 0.99]}},
        tags={"team": "vision", "bare": ""},
        notes="a note",
        **options,
    ) as run:
        record_everything(run, tmp_path)
    with start_run(run_id=run.id, **options) as again:
        again.log({"train/loss": 0.125}, step=25)
        again.finish("interrupted", quiet=True)
    original = read_history(run.folder)
    found, history = bring_one(tmp_path / "wandb", tmp_path / "runs")
    history.params.pop("imported_from")
    header = history.header
    assert (header.project, header.name, header.notes) == ("digits", "small", "a note")
    assert (history.params, history.tags) == (original.params, original.tags)
    assert (history.summary, history.status) == (original.summary, "interrupted")
    expected = points(records(run.folder))
    for name, rows in points(found).items():
        assert [(s, repr(float(v))) for s, _, v in rows] == [
            (s, repr(float(v))) for s, _, v in expected[name]
        ]
        for (_, time, _), (_, exact, _) in zip(rows, expected[name], strict=True):
            assert abs(exact - time) < 1e-5
    assert points(found).keys() == expected.keys()
    assert history.media == original.media
    [artifact] = history.artifacts
    kept = {f.name: (history.folder.path / f.path).read_bytes() for f in artifact.files}
    assert kept == {"weights.bin": b"w" * 1000, "config.json": b"{}"}
    assert (artifact.name, artifact.kind, artifact.aliases) == ("model", "model", ["best"])
    shutil.move(tmp_path / "wandb", tmp_path / "before")
    deliver(history.folder, "wandb")
    [after] = sessions_of(tmp_path / "wandb", history.header.run_id)
    before = [row for s in sessions_of(tmp_path / "before", run.id) for row in s.rows]
    assert [_plain(row) for row in after.rows] == [_plain(row) for row in before]
    assert after.config["optim"] == {"lr": 0.1, "betas": [0.9, 0.99]}
    assert sorted(after.tags) == ["bare", "team=vision"]


def _plain(row):
    """Return a row without what the client itself makes anew: paths of files, its clock."""
    return {
        name: value
        for name, value in row.items()
        if not (isinstance(value, dict) and "path" in value) and name != "_runtime"
    }


def test_not_a_folder_of_runs(tmp_path):
    (tmp_path / "empty").mkdir()
    output = call("import", tmp_path / "empty", "--from", "wandb", "--dir", tmp_path / "r", code=2)
    assert "holds nothing that wandb reads" in output
    assert not find_runs(tmp_path / "r")
