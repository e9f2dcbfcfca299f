"""MLflow as a source: databases, folders of files and servers, of others and of ours."""

from __future__ import annotations

import contextlib
import shutil

import pytest
from migration import START, bring, bring_one, call, deliver, of, points, record_everything, records
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow_reader import Reader
from mlflow_server import Server, free_port

from multitrack.trackers.history import read_history
from multitrack.trackers.records import Metrics
from multitrack.trackers.start import start_run

pytest_plugins = ["mlflow_fixtures"]


def ms(seconds):
    return int((START + seconds) * 1000)


def fill(client, tmp_path, experiment="vision"):
    """Store a parent with all that MLflow has, a child that failed and one that goes on."""
    (tmp_path / "deep").mkdir(exist_ok=True)
    (tmp_path / "deep" / "weights.bin").write_bytes(b"w" * 100)
    (tmp_path / "notes.txt").write_text("n")
    home = client.create_experiment(experiment)
    tags = {"team": "a", "mlflow.note.content": "a note", "mlflow.source.git.commit": "abc123"}
    parent = client.create_run(home, start_time=ms(0), run_name="parent", tags=tags).info.run_id
    batch = [Metric("loss", 1 / (step + 1), ms(step), step) for step in range(2500)]
    batch += [Metric("acc", float("nan"), ms(1), 1), Metric("acc", float("inf"), ms(2), 2)]
    for start in range(0, len(batch), 1000):
        client.log_batch(parent, metrics=batch[start : start + 1000])
    params = {"lr": "0.1", "layers": "4", "amp": "True", "seed": "007", "name": "resnet"}
    client.log_batch(parent, params=[Param(k, v) for k, v in params.items()])
    client.log_batch(parent, tags=[RunTag("api_key", "s3cret")])
    client.log_artifact(parent, str(tmp_path / "notes.txt"))
    client.log_artifacts(parent, str(tmp_path / "deep"), "model")
    client.set_terminated(parent, "FINISHED", end_time=ms(3000))
    child = client.create_run(
        home, start_time=ms(10), run_name="child", tags={"mlflow.parentRunId": parent}
    ).info.run_id
    client.set_terminated(child, "FAILED", end_time=ms(20))
    client.create_run(home, start_time=ms(30), run_name="going on")
    return parent


def check(runs, parent):
    """Hold the imported runs against what `fill` stored."""
    folders = {read_history(run).header.name: run for run in runs}
    assert set(folders) == {"parent", "child"}
    history = read_history(folders["parent"])
    header = history.header
    assert (header.time, header.project, header.notes) == (START, "vision", "a note")
    assert (history.status, history.updated, header.git.commit) == (
        "finished",
        START + 3000,
        "abc123",
    )
    assert history.params.pop("imported_from")["id"] == parent
    assert {name: repr(value) for name, value in history.params.items()} == {
        "lr": "0.1",
        "layers": "4",
        "amp": "True",
        "seed": "'007'",
        "name": "'resnet'",
    }
    assert history.tags == {"team": "a", "api_key": "<redacted>"}
    found = points(records(folders["parent"]))
    assert found["loss"] == [(s, START + s, repr(1 / (s + 1))) for s in range(2500)]
    assert found["acc"] == [(1, START + 1, "nan"), (2, START + 2, "inf")]
    rows = of(Metrics, records(folders["parent"]))
    assert set(rows[1].values) == {"loss", "acc"}
    assert len(rows) == 2500
    kept = {
        (artifact.name, file.name): (folders["parent"].path / file.path).read_bytes()
        for artifact in history.artifacts
        for file in artifact.files
    }
    assert kept == {("notes.txt", "notes.txt"): b"n", ("model", "weights.bin"): b"w" * 100}
    child = read_history(folders["child"])
    assert (child.status, child.params["imported_from"]["parent"]) == ("failed", parent)


@pytest.fixture
def client(bench):
    return MlflowClient(tracking_uri=bench.uri)


def test_database(client, bench, tmp_path):
    parent = fill(client, tmp_path)
    check(bring(tmp_path / "mlflow.db", tmp_path / "runs", "--ended"), parent)
    output = call("import", bench.uri, "--dir", tmp_path / "runs", "--ended")  # by its address
    assert "3 runs: 2 there already, 1 left out, not ended." in output
    runs = bring(tmp_path / "mlflow.db", tmp_path / "runs")
    assert sorted(read_history(run).status for run in runs) == ["failed", "finished", "killed"]


def test_folder_of_files(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    parent = fill(MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri()), tmp_path)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    check(bring(tmp_path / "mlruns", tmp_path / "runs", "--ended"), parent)


def test_server(bench, template, tmp_path, monkeypatch):
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder, shutil.copy(template, folder / "mlflow.db"))
    server.start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)  # older clients need it for files
        parent = fill(MlflowClient(tracking_uri=server.uri), tmp_path)
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        check(bring(server.uri, tmp_path / "runs", "--ended"), parent)
    output = call("import", server.uri, "--dir", tmp_path / "runs", code=1)
    assert "cannot read http://127.0.0.1" in output


def test_no_server(bench, tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    assert "cannot read" in call("import", address, "--dir", tmp_path / "runs", code=1)


def test_there_and_back(bench, tmp_path, monkeypatch):
    """Ours to MLflow, from there into a run folder, and to another MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", bench.uri)
    with start_run(
        "digits",
        "small",
        report_to="mlflow",
        config={"optim": {"lr": 0.1}, "depth": 3},
        tags={"team": "vision"},
        notes="a note",
        dir=tmp_path / "original",
        delivery="inline",
    ) as run:
        record_everything(run, tmp_path)
    original = read_history(run.folder)
    found, history = bring_one(tmp_path / "mlflow.db", tmp_path / "runs")
    origin = history.params.pop("imported_from")
    assert origin["run_id"] == run.id
    assert (history.params, history.tags) == (original.params, original.tags)
    assert (history.summary, history.status) == (original.summary, "finished")
    header = history.header
    assert (header.project, header.name, header.notes) == ("digits", "small", "a note")
    expected, stored = points(records(run.folder)), points(found)
    assert {n: [(s, v) for s, _, v in rows] for n, rows in stored.items()} == {
        n: [(s, repr(float(v))) for s, _, v in rows] for n, rows in expected.items()
    }
    for name, rows in stored.items():
        for (_, time, _), (_, exact, _) in zip(rows, expected[name], strict=True):
            assert 0 <= exact - time < 0.001  # MLflow keeps milliseconds
    shutil.copy(bench.tmp_path / "mlflow.db", tmp_path / "other.db")
    MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/other.db").delete_run(origin["id"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    state = deliver(history.folder, "mlflow")
    before = Reader(bench.uri, origin["id"]).read()
    after = Reader(f"sqlite:///{tmp_path}/other.db", state.attachment.id).read()
    params = {k: v for k, v in after.params.items() if not k.startswith("imported_from/")}
    assert (params, after.tags, after.summary) == (before.params, before.tags, before.summary)
    assert repr(after.metrics) == repr(before.metrics)
    assert (after.name, after.project, after.notes) == ("small", "digits", "a note")
    assert {name for name in after.artifacts if name} >= {"artifacts", "images", "text"}
