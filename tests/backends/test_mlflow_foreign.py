"""MLflow gets what somebody else recorded, where its deliverer says, and nowhere else."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import foreign
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from multitrack.trackers.protocol import Parked

PLACES = ["mlflow.db", "mlruns", "mlruns/digits", "mlruns/0", "mlruns/x"]
SETTINGS = {
    "tracking_uri": st.sampled_from(
        ["sqlite:///{home}/.ssh/x.db", "{home}/.ssh", "file:///{home}", "http://127.0.0.1:9"]
    ),
    "experiment_id": st.sampled_from(["0", "..", "{home}"]),
    "run_id": st.sampled_from(["..", "{home}", "0" * 32]),
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """A database as MLflow makes it, which takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    before = Path.cwd()
    os.chdir(folder)
    try:
        MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments()
    finally:
        os.chdir(before)
    return folder / "mlflow.db"


@pytest.fixture
def home(monkeypatch):
    root = Path(tempfile.mkdtemp()).resolve()
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (root / "home").mkdir()
    yield root / "home"
    shutil.rmtree(root)


def runs_in(uri):
    client = MlflowClient(tracking_uri=uri)
    ids = [one.experiment_id for one in client.search_experiments()]
    return client, client.search_runs(ids)


def test_it_is_delivered_where_its_deliverer_is(home, monkeypatch):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "mlflow")
    monkeypatch.chdir(work)
    assert foreign.deliver(folder, "mlflow").phase == "done"
    client, [run] = runs_in(f"sqlite:///{work}/mlflow.db")
    assert run.data.metrics["loss"] == 0.5
    assert Path(client.download_artifacts(run.info.run_id, "artifacts/n")).is_dir()
    assert (work / "mlruns").is_dir()


def test_a_copy_finds_its_run_by_the_id_that_both_have(home, monkeypatch):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "mlflow")
    monkeypatch.chdir(work)
    foreign.deliver(folder, "mlflow")
    for key in ("a third", "a fourth"):
        monkeypatch.setenv("MULTITRACK_KEY", key)
        assert foreign.deliver(folder, "mlflow").phase == "done"
    client, [run] = runs_in(f"sqlite:///{work}/mlflow.db")
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 1


def test_an_id_of_another_run_is_not_taken(home, monkeypatch):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "mlflow")
    monkeypatch.chdir(work)
    uri = f"sqlite:///{work}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    victim = client.create_run("0", run_name="mine")
    foreign.write(folder, home, {}, {"attachment": {"id": victim.info.run_id}}, {}, {})
    assert foreign.deliver(folder, "mlflow").phase == "done"
    assert not client.get_run(victim.info.run_id).data.metrics
    assert len(runs_in(uri)[1]) == 2


def test_credentials_go_to_no_server_that_the_folder_names(home, monkeypatch):
    work = foreign.make_home(home)
    uri = "http://127.0.0.1:9"
    given = {"mlflow": {"tracking_uri": uri}}
    folder = foreign.recorded_by_another(
        monkeypatch, home.parent / "sent", "mlflow", settings=given
    )
    monkeypatch.chdir(work)
    answer = foreign.deliver(folder, "mlflow")
    assert isinstance(answer, Parked)
    assert f"multitrack trust {uri}" in answer.remedy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{work}/mine.db")
    assert foreign.deliver(folder, "mlflow").phase == "done"


def test_a_store_that_came_along_keeps_its_files_to_itself(home, monkeypatch, empty_database):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "mlflow")
    shutil.copy(empty_database, work / "mlflow.db")
    client = MlflowClient(tracking_uri=f"sqlite:///{work}/mlflow.db")
    client.create_experiment("digits", str(home))
    monkeypatch.chdir(work)
    before = foreign.what_lies_in(home, but=(work,))
    state = foreign.deliver(folder, "mlflow")
    assert "keeps artifacts at" in state.message
    assert foreign.what_lies_in(home, but=(work,)) == before


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tampered=foreign.tampered(SETTINGS, PLACES))
def test_nothing_but_the_store_changes_whatever_the_folder_says(
    home, monkeypatch, empty_database, tampered
):
    for path in home.parent.iterdir():
        shutil.rmtree(path)
    work = foreign.make_home(home)
    monkeypatch.chdir(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "mlflow")
    foreign.write(folder, home, *tampered)
    if not os.path.lexists(work / "mlflow.db"):
        shutil.copy(empty_database, work / "mlflow.db")
        with closing(sqlite3.connect(work / "mlflow.db")) as database, database:
            database.execute("UPDATE experiments SET artifact_location = ?", (f"{work}/mlruns/0",))
    monkeypatch.chdir(work)
    store = tuple(work / name for name in ("mlflow.db", "mlruns") if not (work / name).is_symlink())
    before = foreign.what_lies_in(home, but=store)
    foreign.deliver(folder, "mlflow")
    assert foreign.what_lies_in(home, but=store) == before
