"""MLflow: where its store is, and what its answers mean: outages, missing rights, time-outs."""

import os
import shutil
import sqlite3
import time

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow_bench import NOW, answer_of, metrics
from mlflow_server import Server, answering, free_port

from multitrack import start_run
from multitrack.trackers.backends import _mlflow_store as store
from multitrack.trackers.backends._mlflow_errors import name_error
from multitrack.trackers.process import DELIVERED, spawn
from multitrack.trackers.protocol import Parked, Refused, Retry
from multitrack.trackers.records import Text
from multitrack.trackers.retry_after import asked_wait

pytest_plugins = ["mlflow_fixtures"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (None, "sqlite:////here/mlflow.db"),
        ("sqlite:///a/b.db", "sqlite:////here/a/b.db"),
        ("sqlite:////abs/my runs.db", "sqlite:////abs/my runs.db"),
        ("mlruns", "file:///here/mlruns"),
        ("./mlruns", "file:///here/mlruns"),
        ("/abs/mlruns", "file:///abs/mlruns"),
        ("file:mlruns", "file:///here/mlruns"),
        ("file:///abs/my%20runs", "file:///abs/my%20runs"),
        ("http://host:5000", "http://host:5000"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("postgresql+psycopg2://u@h/db", "postgresql+psycopg2://u@h/db"),
    ],
)
def test_tracking_uri_means_the_same_everywhere(uri, expected):
    assert store.locate(uri, "/here") == expected


def test_addresses():
    page = store.address("https://me:pass@host/", "7", "abc")
    assert page == "https://<redacted>@host/#/experiments/7/runs/abc"
    shown = store.address("sqlite:////my runs/mlflow.db", "7", "abc")
    assert shown == "mlflow ui --backend-store-uri 'sqlite:////my runs/mlflow.db'"
    assert store.address("file:///x", "7", "abc").startswith("MLFLOW_ALLOW_FILE_STORE=true mlflow")


def test_what_the_user_set_stays(bench, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "90")
    bench.start()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    with store.time_to_store(10**12):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "90"


def test_a_large_file_gets_more_time(bench):
    bench.start()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "30"
    with store.time_to_store(10**10):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1030"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "30"


# -- servers --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_server_that_was_away_gets_the_rest_once(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("away")
    server = Server(folder, shutil.copy(bench.tmp_path / "mlflow.db", folder / "mlflow.db"))
    server.start()
    try:
        bench.uri = server.uri
        tracker = bench.start()
        assert bench.attachment.url == f"{server.uri}/#/experiments/0/runs/{bench.attachment.id}"
        tracker.log_metrics([metrics(1, loss=1.0)])
        server.kill()
        began = time.monotonic()
        answers = [
            answer_of(tracker.log_metrics, [metrics(2, loss=0.5)]),
            answer_of(tracker.log_text, Text(time=NOW, step=1, key="note", text="words")),
            answer_of(tracker.finish, "finished"),
            answer_of(bench.start, attachment=bench.attachment),
        ]
        assert [type(answer) for answer in answers] == [Retry] * 4
        assert time.monotonic() - began < 10
        server.start()
        tracker.log_metrics([metrics(1, loss=1.0), metrics(2, loss=0.5)])
        tracker.log_text(Text(time=NOW, step=1, key="note", text="words"))
        tracker.finish("finished")
        assert [step for step, *_ in bench.points("loss")] == [1, 2]
        assert bench.stored.info.status == "FINISHED"
    finally:
        server.kill()


def answer_to_start(bench, status, body=b"", **keywords):
    with answering(status, body, **keywords) as uri:
        bench.uri = uri
        return answer_of(bench.start)


@pytest.mark.parametrize("status", [401, 403])
def test_server_that_knows_no_such_user_waits_for_a_person(bench, status):
    answer = answer_to_start(bench, status, b"You are not authenticated.")
    assert isinstance(answer, Parked)
    assert "MLFLOW_TRACKING_TOKEN" in answer.remedy


@pytest.mark.parametrize("body", [b"", b'{"error_code": "PERMISSION_DENIED", "message": "no"}'])
def test_server_that_says_in_its_own_words_that_it_is_forbidden(bench, body):
    assert isinstance(answer_to_start(bench, 403, body), Parked)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_server_that_fails_or_has_enough_is_tried_again(bench, status):
    began = time.monotonic()
    answer = answer_to_start(bench, status, b"later", headers={"Retry-After": "60"})
    assert isinstance(answer, Retry)
    assert time.monotonic() - began < 5, "the courier waits, not the client"


def test_server_that_is_none(bench):
    for status in (200, 404):
        answer = answer_to_start(bench, status, b"<html>Welcome</html>")
        assert isinstance(answer, Parked)
        assert "MLFLOW_TRACKING_URI" in answer.remedy


def test_server_that_does_not_answer_is_tried_again(bench, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    assert isinstance(answer_to_start(bench, 200, delay=3), Retry)


def test_nobody_there_is_tried_again(bench):
    bench.uri = f"http://127.0.0.1:{free_port()}"
    assert isinstance(answer_of(bench.start), Retry)


def test_reasons_are_one_line_without_a_password():
    error = MlflowException("no access to\nhttp://me:hunter2@host/api", PERMISSION_DENIED)
    reason = name_error(error).reason
    assert reason == "MlflowException: no access to http://<redacted>@host/api"


@pytest.mark.parametrize(
    ("status", "kind", "after"),
    [(413, Refused, None), (401, Parked, None), (429, Retry, 7.0), (503, Retry, None)],
)
def test_store_of_artifacts_that_answers_by_itself(status, kind, after):
    headers = {"Retry-After": "7"} if status == 429 else {}
    with answering(status, headers=headers) as uri, pytest.raises(requests.HTTPError) as caught:
        requests.get(uri, timeout=5).raise_for_status()
    assert isinstance(name_error(caught.value), kind)
    assert asked_wait(caught.value) == after


@pytest.mark.slow
def test_several_couriers_may_find_no_database_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new/mlflow.db")
    folders = []
    for _ in range(3):
        with start_run("race", dir=tmp_path, report_to=["mlflow"], delivery="later") as run:
            run.log({"loss": 0.5})
        folders.append(run.folder)
    couriers = [spawn(folder, "mlflow") for folder in folders]
    assert [courier.wait(120) for courier in couriers] == [DELIVERED] * 3
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mlflow.db"]


@pytest.mark.slow
def test_a_database_that_is_locked_is_tried_again(bench):
    tracker = bench.start()
    with sqlite3.connect(bench.tmp_path / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = answer_of(tracker.log_metrics, [metrics(1, loss=1.0)])
        other.execute("ROLLBACK")
    assert isinstance(answer, Retry)
    tracker.log_metrics([metrics(1, loss=1.0)])
    assert len(bench.points("loss")) == 1


def test_a_folder_that_may_not_be_written_waits_for_a_person(bench):
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    tracker = bench.start(project="p")
    (bench.tmp_path / "mlruns").mkdir(mode=0o500)
    answer = answer_of(tracker.log_text, Text(time=NOW, step=1, key="note", text="words"))
    assert isinstance(answer, Parked)
