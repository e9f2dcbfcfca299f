"""TensorBoard as a source: event files of others and of ours."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
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
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.histogram import summary_v2 as histogram
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.plugins.pr_curve.metadata import create_summary_metadata
from tensorboard.plugins.scalar.metadata import create_summary_metadata as scalar_metadata
from tensorboard.plugins.text.metadata import create_summary_metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import Histogram, Image, Text
from multitrack.trackers.start import start_run

Value = summary_pb2.Summary.Value


def write(folder, *events):
    """Write events of ``(seconds after the start, step, values)`` as other libraries do."""
    writer = EventFileWriter(str(folder))
    for seconds, step, values in events:
        summary = summary_pb2.Summary(value=values)
        writer.add_event(event_pb2.Event(wall_time=START + seconds, step=step, summary=summary))
    writer.close()


def test_files_of_other_libraries(tmp_path):
    hparams = summary_v2.hparams_pb({"lr": 0.1, "layers": 4, "opt": "sgd"}, start_time_secs=START)
    end = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_FAILURE, end_time_secs=START + 60
        )
    )
    old = summary_pb2.HistogramProto(
        min=0, max=1, num=3, sum=2, sum_squares=1, bucket_limit=[0.5, 1e308], bucket=[1, 2]
    )
    picture = summary_pb2.Summary.Image(width=4, height=3, encoded_image_string=png())
    write(
        tmp_path / "logs",
        (0, 0, hparams.value),
        (1.25, 10, [Value(tag="loss", simple_value=0.1), Value(tag="acc", simple_value=0.5)]),
        (2, 20, [Value(tag="loss", simple_value=float("nan"))]),
        (3, 30, [Value(tag="n", tensor=make_tensor_proto(7), metadata=scalar_metadata("N", ""))]),
        (4, 40, [Value(tag="n", tensor=make_tensor_proto(8))]),
        (5, 40, [Value(tag="h", histo=old)]),
        (6, 40, [Value(tag="img", image=picture)]),
        (
            7,
            40,
            [Value(tag="t", tensor=make_tensor_proto(["hi"]), metadata=text_metadata("t", ""))],
        ),
        (8, 40, [_pr_curve(), _pr_curve()]),
        (9, 50, [histogram.histogram_pb("h2", np.arange(10.0), buckets=5).value[0]]),
        (10, 50, summary_v2._summary_pb("_hparams_/session_end_info", end).value),
    )
    found, history = bring_one(tmp_path / "logs", tmp_path / "runs")
    assert points(found) == {
        "loss": [(10, START + 1.25, repr(float(np.float32(0.1)))), (20, START + 2, "nan")],
        "acc": [(10, START + 1.25, "0.5")],
        "n": [(30, START + 3, "7"), (40, START + 4, "8")],
    }
    assert history.params.pop("imported_from")["tracker"] == "tensorboard"
    assert history.params == {"lr": 0.1, "layers": 4, "opt": "sgd"}
    assert (history.status, history.updated) == ("failed", START + 60)
    assert (history.header.name, history.header.time) == ("logs", START)
    assert list(history.refused) == ["curve"]
    [text], [image] = of(Text, found), of(Image, found)
    assert (text.key, text.text, text.step, text.time) == ("t", "hi", 40, START + 7)
    assert (history.folder.path / image.file.path).read_bytes() == png()
    first, second = of(Histogram, found)
    assert (first.edges, first.counts) == ([0, 0.5, 1], [1, 2])
    assert (second.step, sum(second.counts), second.edges[0]) == (50, 10, 0)


def _pr_curve():
    metadata = create_summary_metadata("curve", "", 2)
    return Value(tag="curve", tensor=make_tensor_proto([[1.0, 2.0]]), metadata=metadata)


def test_each_folder_is_a_run_and_comes_once(tmp_path):
    for name in ("a/train", "a/eval", "b"):
        write(tmp_path / "logs" / name, (0, 1, [Value(tag="loss", simple_value=1)]))
    (tmp_path / "logs" / "c").mkdir()
    (tmp_path / "logs" / "c" / "events.out.tfevents.1.x").write_bytes(b"")
    bring(tmp_path / "logs", tmp_path / "runs", code=1)  # c holds nothing
    names = {read_history(folder).header.name for folder in find_runs(tmp_path / "runs")}
    assert names == {"a/train", "a/eval", "b"}
    output = call("import", tmp_path / "logs" / "a", "--dir", tmp_path / "runs")
    assert "2 runs: 2 there already." in output


def test_a_torn_file_is_read_as_far_as_it_goes(tmp_path):
    events = [(i, i, [Value(tag="loss", simple_value=i)]) for i in range(100)]
    write(tmp_path / "logs", *events)
    [path] = (tmp_path / "logs").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    _, history = bring_one(tmp_path / "logs", tmp_path / "runs")
    assert list(history.series["loss"].steps) == list(range(99))


def test_there_and_back(tmp_path, monkeypatch):
    """Ours to TensorBoard, from there into a run folder, and to TensorBoard again."""
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "first"))
    with start_run(
        "digits",
        "small",
        report_to="tensorboard",
        config={"optim": {"lr": 0.1, "betas": [0.9, 0.99]}},
        tags={"team": "vision", "bare": ""},
        notes="a note",
        dir=tmp_path / "original",
        delivery="inline",
    ) as run:
        record_everything(run, tmp_path)
    original = read_history(run.folder)
    found, history = bring_one(tmp_path / "first", tmp_path / "runs")
    origin = history.params.pop("imported_from")
    assert origin["run_id"] == run.id
    header = history.header
    assert (header.project, header.name, header.notes) == ("digits", "small", "a note")
    assert header.time == original.header.time
    assert (history.params, history.tags) == (original.params, original.tags)
    assert (history.summary, history.status) == (original.summary, "finished")
    assert points(found) == {
        name: [(step, time, repr(float(np.float32(float(v))))) for step, time, v in rows]
        for name, rows in points(_records(run)).items()
    }
    assert history.media == original.media
    [artifact] = history.artifacts
    kept = {f.name: (history.folder.path / f.path).read_bytes() for f in artifact.files}
    assert kept == {"weights.bin": b"w" * 1000, "config.json": b"{}"}
    assert (artifact.name, artifact.kind, artifact.aliases) == ("model", "model", ["best"])
    assert artifact.step == 20
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "second"))
    deliver(history.folder, "tensorboard")
    assert _scalars(tmp_path / "second") == _scalars(tmp_path / "first")


def test_a_run_of_ours_that_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    run = start_run(report_to="tensorboard", dir=tmp_path / "original", delivery="inline")
    run.log({"loss": 1.0}, step=1)
    assert bring(tmp_path / "logs", tmp_path / "runs", "--ended") == []
    [folder] = bring(tmp_path / "logs", tmp_path / "runs")
    assert read_history(folder).status == "running"
    run.finish(quiet=True)


def test_not_a_log_directory(tmp_path):
    output = call("import", tmp_path, "--from", "tensorboard", "--dir", tmp_path / "runs", code=2)
    assert "holds nothing that tensorboard reads" in output


def _records(run):
    from migration import records

    return records(run.folder)


def _scalars(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    assert tags
    return {
        tag: [(e.step, e.wall_time, repr(e.value)) for e in accumulator.Scalars(tag)]
        for tag in tags
    }


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


# -- folders as people have them -----------------------------------------------------------------


def scalar(tag, value):
    return Value(tag=tag, simple_value=value)


def test_hyper_parameters_of_torch_belong_to_their_run(tmp_path):
    """As ``SummaryWriter.add_hparams`` leaves them: in a folder of their own, named by the time."""
    logs = tmp_path / "logs" / "run"
    write(logs, (0, 0, [scalar("loss", 1.0)]), (1, 1, [scalar("loss", 0.5)]))
    experiment = summary_v2.hparams_config_pb(
        hparams=[summary_v2.HParam("lr")], metrics=[summary_v2.Metric("hparam/acc")]
    )
    start = summary_v2.hparams_pb({"lr": 0.25}, start_time_secs=START)
    for name in (f"{START + 2:.6f}", "named"):
        values = [*experiment.value, *start.value, scalar("hparam/acc", 0.75)]
        write(logs / name, (2, 0, values))
    write(logs / "eval", (3, 1, [scalar("acc", 0.5)]))
    runs = {read_history(r).header.name: r for r in bring(tmp_path / "logs", tmp_path / "runs")}
    assert set(runs) == {"run", "run/eval"}
    history = read_history(runs["run"])
    assert history.params["lr"] == 0.25
    assert set(history.series) == {"loss", "hparam/acc"}


def test_a_moved_folder_that_grew_is_the_same_run(tmp_path):
    write(tmp_path / "a" / "x", (0, 0, [scalar("loss", 1.0)]))
    write(tmp_path / "a" / "y", (0, 0, [scalar("loss", 1.0)]))
    before = bring(tmp_path / "a", tmp_path / "runs")
    (tmp_path / "b").mkdir()
    shutil.move(tmp_path / "a" / "x", tmp_path / "b" / "elsewhere")
    write(tmp_path / "b" / "elsewhere", (5, 1, [scalar("loss", 0.5)]))
    output = call("import", tmp_path, "--dir", tmp_path / "runs")
    assert "2 runs: 1 brought up to date, 1 there already." in output
    after = [read_history(folder) for folder in find_runs(tmp_path / "runs")]
    assert len(after) == len(before)
    assert sorted(list(one.series["loss"].steps) for one in after) == [[0], [0, 1]]


def test_a_damaged_event_costs_itself(tmp_path):
    write(tmp_path / "logs", *((i, i, [scalar("loss", i / 4)]) for i in range(20)))
    [path] = (tmp_path / "logs").iterdir()
    content = bytearray(path.read_bytes())
    length = len(content) // 21
    content[10 * length + 30] ^= 1  # in an event's content
    content[15 * length] ^= 1
    path.write_bytes(content)
    found, history = bring_one(tmp_path / "logs", tmp_path / "runs")
    steps = [step for step, _, _ in points(found)["loss"]]
    assert len(steps) >= 17
    assert steps[-1] == 19
    assert "is damaged, first at byte" in history.refused[path.name]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=damages())
def test_however_it_is_damaged(damage, tmp_path):
    whole = tmp_path / "whole"
    if not whole.exists():
        start = summary_v2.hparams_pb({"lr": 0.25}, start_time_secs=START)
        image = summary_pb2.Summary.Image(width=4, height=3, encoded_image_string=png())
        write(
            whole / "a",
            (0, 0, start.value),
            (1, 1, [scalar("loss", 1.0), Value(tag="img", image=image)]),
            (2, 2, [scalar("loss", 0.5)]),
        )
        write(whole / "b", (0, 0, [scalar("loss", 1.0)]))
        [path] = (whole / "a").iterdir()
        path.rename(path.with_name("events.out.tfevents.1"))
    found, _ = bring_damaged(whole, "a/events.out.tfevents.1", damage, tmp_path / "damaged")
    assert "b" in {one.header.name for one in found}


def test_a_link_out_of_the_folder_is_not_read(tmp_path):
    write(tmp_path / "secret", (0, 0, [scalar("secret", 1.0)]))
    write(tmp_path / "logs" / "a", (0, 0, [scalar("loss", 1.0)]))
    (tmp_path / "logs" / "linked").symlink_to(tmp_path / "secret")
    (tmp_path / "logs" / "a" / "loop").symlink_to(tmp_path / "logs")
    [path] = (tmp_path / "secret").iterdir()
    (tmp_path / "logs" / "a" / "events.out.tfevents.9").symlink_to(path)
    output = call("import", tmp_path / "logs", "--dir", tmp_path / "runs")
    assert "a link out of" in output
    [history] = map(read_history, find_runs(tmp_path / "runs"))
    assert set(history.series) == {"loss"}


@pytest.mark.parametrize("place", ["../secret.txt", "/etc/passwd", "link"])
def test_a_path_in_a_folder_like_ours_leads_nowhere_else(tmp_path, place):
    (tmp_path / "secret.txt").write_text("s3cret")
    kept = Value(tag="a", tensor=make_tensor_proto([place]), metadata=text_metadata("a", ""))
    kept.metadata.summary_description = "figure file"
    about = f"```json\n{json.dumps({'path': place})}\n```"
    artifact = Value(tag="b", tensor=make_tensor_proto([about]), metadata=text_metadata("b", ""))
    artifact.metadata.summary_description = "artifact"
    write(tmp_path / "logs", (0, 0, [kept]), (1, 1, [artifact]))
    session = {"run_id": "x", "started": START, "status": "finished"}
    (tmp_path / "logs" / "multitrack.json").write_text(json.dumps(session))
    (tmp_path / "logs" / "link").symlink_to(tmp_path / "secret.txt")
    _, history = bring_one(tmp_path / "logs", tmp_path / "runs")
    assert not history.artifacts
    assert not history.media
    assert all("--also" in reason for reason in history.refused.values())
    assert len(history.refused) == 2
