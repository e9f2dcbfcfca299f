"""W&B as a source: what its client writes offline, for others and for us."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from migration import (
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
from wandb.proto import wandb_internal_pb2 as pb
from wandb_files import sessions_of

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import Figure, Histogram, Image, Metrics, Table, Text
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
    found, history = bring_one(tmp_path / "wandb", tmp_path / "runs", "--also", tmp_path)
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
    assert header.command == ["<python with no main file>", "0"]
    assert origin["python"].startswith("CPython")


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
    found, history = bring_one(tmp_path / "wandb", tmp_path / "runs", "--also", tmp_path)
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


# -- what older clients and other people's scripts leave -----------------------------------------


def put(path, *found, folder="offline-run-20210906_092904-abcd1234"):
    """Write a file as the client does, of records."""
    content = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
    for record in found:
        data = record.SerializeToString()
        assert len(content) + len(data) < 30_000, "this is one block"
        content += struct.pack("<IHB", zlib.crc32(b"\1" + data), len(data), 1) + data
    target = path / folder / "run-abcd1234.wandb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def beginning(**fields):
    record = pb.Record()
    record.run.run_id, record.run.project = "abcd1234", "p"
    record.run.start_time.FromSeconds(1_630_934_944)
    for name, value in fields.items():
        setattr(record.run, name, value)
    return record


def row(number, **values):
    record = pb.Record()
    for name, value in {"_step": number, "_timestamp": 1_630_934_945 + number, **values}.items():
        item = record.history.item.add()
        item.key, item.value_json = name, json.dumps(value)
    return record


def definition(**fields):
    record = pb.Record()
    for name, value in fields.items():
        setattr(record.metric, name, value)
    return record


def ending():
    record = pb.Record()
    record.exit.exit_code = 0
    return record


def test_points_stand_at_the_step_that_the_run_defined(tmp_path):
    put(
        tmp_path,
        beginning(),
        definition(name="epoch"),
        definition(glob_name="val/*", step_metric="epoch"),
        definition(name="step"),
        definition(name="loss", step_metric_index=2),
        row(0, loss=1.0, step=100, other=5),
        row(1, loss=0.5, step=200),
        row(2, **{"val/acc": 0.25, "epoch": 1}),
        row(3, **{"val/acc": 0.5}),
        row(4, **{"val/acc": 0.75, "epoch": 1.5}),
        ending(),
    )
    found, _ = bring_one(tmp_path, tmp_path / "runs")
    steps = {name: [step for step, _, _ in rows] for name, rows in points(found).items()}
    assert steps == {
        "loss": [100, 200],
        "step": [0],
        "other": [0],
        "val/acc": [1, 1, 4],
        "epoch": [4],  # between two whole numbers it is no step
    }
    accuracies = [row for row in of(Metrics, found) if "val/acc" in row.values]
    assert [row.epoch for row in accuracies] == [None, None, 1.5]


def test_the_real_client_defines_steps(tmp_path):
    program = """
import wandb
run = wandb.init(project="p", settings=wandb.Settings(x_stats_sampling_interval=0.1))
run.define_metric("trainer/global_step")
run.define_metric("*", step_metric="trainer/global_step")
for i in range(3):
    run.log({"loss": 1 / (i + 1), "trainer/global_step": 50 * i})
run.name = "renamed"
run.finish()
"""
    (tmp_path / "train.py").write_text(program)
    command = [sys.executable, "train.py", "--lr", "0.1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found, history = bring_one(tmp_path / "wandb", tmp_path / "runs")
    series = points(found)
    assert [(step, value) for step, _, value in series["loss"]] == [
        (0, "1"),
        (50, "0.5"),
        (100, repr(1 / 3)),
    ]
    assert "trainer/global_step" not in series
    assert any(name.startswith("system/") for name in series)
    assert (history.header.name, history.header.command[1:]) == ("renamed", ["--lr", "0.1"])
    assert history.header.command[0].endswith("train.py")


def test_lists_of_pictures_of_old_clients(tmp_path):
    pictures = (
        put(
            tmp_path,
            beginning(),
            row(
                0,
                pics={"_type": "images/separated", "format": "png", "count": 3, "captions": ["a"]},
            ),
            row(
                1, sprite={"_type": "images", "width": 4, "height": 3, "count": 2, "format": "png"}
            ),
            row(
                2,
                html={
                    "_type": "html",
                    "count": 1,
                    "html": [{"_type": "html-file", "path": "p.html"}],
                },
            ),
            ending(),
        ).parent
        / "files"
        / "media"
        / "images"
    )
    pictures.mkdir(parents=True)
    for name in ("pics_0_0", "pics_0_1", "sprite_1"):
        (pictures / f"{name}.png").write_bytes(png())
    (pictures.parent.parent / "p.html").write_text("<p>")
    found, history = bring_one(tmp_path, tmp_path / "runs")
    images = [(image.key, image.caption, image.step) for image in of(Image, found)]
    assert images == [("pics", "a", 0), ("pics", None, 0), ("sprite", None, 1)]
    assert [figure.key for figure in of(Figure, found)] == ["html"]
    assert "pics_0_2.png" in history.refused["pics"]


def test_a_damaged_piece_costs_itself(tmp_path):
    rows = [row(i, loss=i) for i in range(20)]
    path = put(tmp_path, beginning(), *rows, ending())
    content = bytearray(path.read_bytes())
    place = content.index(b"1630934955")
    content[place] ^= 1
    path.write_bytes(content)
    found, history = bring_one(tmp_path, tmp_path / "runs")
    assert [step for step, _, _ in points(found)["loss"]] == [i for i in range(20) if i != 10]
    assert "is damaged, first at byte" in history.refused[path.name]
    assert history.status == "finished"


def test_a_run_that_goes_on_is_brought_up_to_date(tmp_path):
    rows = [row(i, loss=i / 4) for i in range(9)]
    put(tmp_path / "w", beginning(), *rows[:5])
    [folder] = bring(tmp_path / "w", tmp_path / "runs")
    assert read_history(folder).status == "killed"
    shutil.move(tmp_path / "w", tmp_path / "moved")
    put(tmp_path / "moved", beginning(), *rows, ending())
    output = call("import", tmp_path / "moved", "--dir", tmp_path / "runs")
    assert "1 run: 1 brought up to date." in output
    history = read_history(folder)
    assert list(history.series["loss"].steps) == list(range(9))
    assert history.status == "finished"
    assert "1 there already" in call("import", tmp_path / "moved", "--dir", tmp_path / "runs")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=damages())
def test_however_it_is_damaged(damage, tmp_path):
    whole = tmp_path / "whole"
    if not whole.exists():
        put(whole, beginning(), *(row(i, loss=i) for i in range(30)), ending())
        intact = put(whole, beginning(), row(0, loss=1), ending(), folder="run-2-efgh")
        intact.rename(intact.with_name("run-efgh.wandb"))
    name = "offline-run-20210906_092904-abcd1234/run-abcd1234.wandb"
    found, _ = bring_damaged(whole, name, damage, tmp_path / "damaged")
    assert {"/p/efgh"} <= {one.params["imported_from"]["id"] for one in found}


@pytest.mark.parametrize("place", ["/etc/passwd", "../../../secret.txt", "link.png"])
def test_a_path_that_leads_elsewhere_is_not_read(tmp_path, place):
    (tmp_path / "secret.txt").write_text("s3cret")
    value = {"_type": "html-file", "path": place}
    version = pb.Record()
    version.artifact.name, version.artifact.type = "stolen", "model"
    entry = version.artifact.manifest.contents.add()
    entry.path, entry.local_path = "a", str(tmp_path / "secret.txt")
    path = put(tmp_path / "w", beginning(), row(0, page=value), version, ending())
    files = path.parent / "files"
    files.mkdir()
    (files / "link.png").symlink_to(tmp_path / "secret.txt")
    (files / "saved.txt").symlink_to(tmp_path / "secret.txt")
    found, history = bring_one(tmp_path / "w", tmp_path / "runs")
    assert not of(Figure, found)
    assert not history.artifacts
    for key in ("page", "stolen", "saved.txt"):
        assert "--also" in history.refused[key]
