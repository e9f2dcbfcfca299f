"""MLflow as a source: databases, folders of files and servers, of others and of ours."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import pytest
import sqlalchemy
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migration import (
    START,
    bring,
    bring_damaged,
    bring_one,
    call,
    damages,
    deliver,
    of,
    points,
    record_everything,
    records,
    state_of,
)
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
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


# -- stores as they come from elsewhere ----------------------------------------------------------


def old_database(path):
    """Make a database of MLflow 2.x, by MLflow's own steps from release to release."""
    uri = f"sqlite:///{path}"
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    engine.dispose()
    command.upgrade(_get_alembic_config(uri), "5b0e9adcef9c")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "insert into experiments(experiment_id, name, artifact_location, lifecycle_stage) "
            "values(1, 'e', '/nowhere', 'active')"
        )
        connection.execute(
            "insert into runs(run_uuid, name, status, start_time, end_time, lifecycle_stage, "
            "experiment_id, artifact_uri, source_type, user_id) values('a1', 'r', 'FINISHED', "
            "1700000000000, 1700000001000, 'active', 1, '/nowhere', 'LOCAL', 'u')"
        )
        connection.execute(
            "insert into metrics(key, value, timestamp, run_uuid, step, is_nan) "
            "values('loss', 0.5, 1700000000500, 'a1', 3, 0)"
        )
        connection.commit()


def test_an_old_database_is_the_same_afterwards(tmp_path):
    (tmp_path / "old").mkdir()
    old_database(tmp_path / "old" / "old.db")
    before = state_of(tmp_path / "old")
    found, history = bring_one(tmp_path / "old" / "old.db", tmp_path / "runs")
    assert state_of(tmp_path / "old") == before
    assert points(found) == {"loss": [(3, START + 0.5, "0.5")]}
    assert (history.header.project, history.header.name, history.status) == ("e", "r", "finished")


@pytest.fixture
def moved(tmp_path, bench, monkeypatch):
    """A folder of files by MLflow's client, moved to where its addresses mean nothing."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    fill(MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri()), tmp_path)
    shutil.move(tmp_path / "mlruns", tmp_path / "moved" / "mlruns")
    return tmp_path / "moved"


def part(moved, name):
    """Return the folder of the parent's params, tags, metrics or artifacts."""
    [run] = [path.parent.parent for path in moved.glob("mlruns/*/*/params/lr")]
    return run / name


def test_a_moved_folder_brings_its_files(moved, tmp_path):
    before = state_of(moved)
    runs = [read_history(run) for run in bring(moved, tmp_path / "runs")]
    assert state_of(moved) == before
    names = {one.header.name: {a.name for a in one.artifacts} for one in runs}
    assert names == {"parent": {"notes.txt", "model"}, "child": set(), "going on": set()}
    assert not any(one.refused for one in runs)


@pytest.mark.parametrize("name", ["params", "tags", "metrics", "artifacts", "meta.yaml"])
def test_what_is_missing_costs_itself(moved, tmp_path, name):
    lost = part(moved, name)
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    runs = [read_history(run) for run in bring(moved, tmp_path / "runs")]
    assert len(runs) == 3
    [parent] = [one for one in runs if "team" in one.tags or "lr" in one.params]
    assert bool(parent.artifacts) == (name != "artifacts")
    assert bool(parent.series) == (name != "metrics")
    assert list(parent.refused) == (["meta.yaml"] if name == "meta.yaml" else [])


def test_a_broken_line_costs_itself(moved, tmp_path):
    path = part(moved, "metrics") / "loss"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "no point", *lines[5:]]))
    runs = [read_history(run) for run in bring(moved, tmp_path / "runs")]
    [parent] = [one for one in runs if one.header.name == "parent"]
    assert list(parent.series["loss"].steps) == list(range(2500))
    assert "line 6 of" in parent.refused["loss"]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=damages(), name=st.sampled_from(["meta.yaml", "params/lr", "metrics/acc"]))
def test_however_it_is_damaged(damage, name, moved, tmp_path):
    (part(moved, "metrics") / "loss").unlink(missing_ok=True)
    inside = part(moved, name).relative_to(moved)
    found, _ = bring_damaged(moved, inside, damage, tmp_path / "damaged")
    assert {"child", "going on"} <= {one.header.name for one in found}
