"""Promises 1, 4 and 5: each way in which a server fails, with the real client and a real server."""

import shutil
import subprocess
import sys

import pytest
from harness import INSTALLED, wait_until

if "mlflow" not in INSTALLED:
    pytest.skip("needs the mlflow client and server", allow_module_level=True)

from mlflow import MlflowClient
from mlflow_server import Server
from outage import STEPS, TROUBLES, Outage, endure
from proxy import Proxy

import multitrack


@pytest.fixture(scope="module")
def server(tmp_path_factory, database):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder / "mlflow.db")
    one = Server(folder, folder / "mlflow.db")
    one.start()
    yield one
    one.kill()


@pytest.fixture(scope="module")
def patience():
    """Let the client give an answer five seconds, not thirty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        yield


@pytest.fixture(scope="module")
def outages(tmp_path_factory, server, patience):
    """All troubles at once, each with a run of its own; then they end, and the rest is brought."""
    folder = tmp_path_factory.mktemp("outages")
    found = {
        name: Outage(name, Proxy(server.uri, **trouble), folder, "mlflow", "tracking_uri")
        for name, trouble in TROUBLES.items()
    }
    endure(found, folder)
    yield found
    for one in found.values():
        one.proxy.close()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_training_and_its_end_are_not_held_up(outages, trouble):
    outages[trouble].assert_unhurt()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_end_says_what_is_left_why_and_what_to_type(outages, trouble):
    outages[trouble].assert_told(trouble, "MLFLOW_TRACKING_TOKEN")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_everything_is_there_once_the_trouble_is_over(outages, server, trouble):
    run = outages[trouble].run
    state = run.folder.courier("mlflow").read_state()
    assert (state.phase, state.refused) == ("done", 0)
    client = MlflowClient(server.uri)
    stored = client.get_run(state.attachment.id)
    assert stored.info.status == "FINISHED"
    points = client.get_metric_history(stored.info.run_id, "train/loss")
    assert sorted(point.step for point in points) == list(range(STEPS))
    named = client.search_runs([stored.info.experiment_id], f"run_name = '{trouble}'")
    assert len(named) == 1, "and no second run"


def test_one_record_that_the_server_refuses_holds_up_nothing(server, tmp_path):
    proxy = Proxy(server.uri, poison=b"poison")
    settings = {"mlflow": {"tracking_uri": proxy.uri}}
    run = multitrack.start_run(report_to="mlflow", dir=tmp_path, settings=settings)
    for step in range(20):
        run.log({"poison" if step == 7 else "train/loss": step / 7}, step=step)
    [report] = run.finish(timeout=120, quiet=True)
    proxy.close()
    assert (report.delivered, report.refused) == (True, 1)
    courier = run.folder.courier("mlflow")
    [refusal] = courier.read_refused()
    assert "no such thing here" in refusal.reason
    history = MlflowClient(server.uri).get_metric_history(
        courier.read_state().attachment.id, "train/loss"
    )
    assert sorted(point.step for point in history) == [n for n in range(20) if n != 7]


def test_sync_wakes_a_courier_that_waits_for_a_person(server, tmp_path):
    """It would look again after five minutes."""
    proxy = Proxy(server.uri, status=401)
    settings = {"mlflow": {"tracking_uri": proxy.uri}}
    run = multitrack.start_run(report_to="mlflow", dir=tmp_path, settings=settings)
    run.log({"train/loss": 0.5}, step=1)
    courier = run.folder.courier("mlflow")
    wait_until(lambda: courier.read_state().phase == "parked", 120, courier.log)
    proxy.recover()
    command = [sys.executable, "-m", "multitrack", "sync", str(run.folder.path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout
    assert "was told to try at once" in result.stdout
    assert "mlflow up to date" in result.stdout
    [report] = run.finish(timeout=120, quiet=True)
    proxy.close()
    assert report.delivered
