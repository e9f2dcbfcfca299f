"""Promises 1, 4 and 5: each way in which a server fails, with the real client and a real server."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import INSTALLED, wait_until

if "mlflow" not in INSTALLED:
    pytest.skip("needs the mlflow client and server", allow_module_level=True)

from mlflow import MlflowClient
from mlflow_server import Server
from proxy import Proxy

import multitrack

STEPS = 300
LIMIT = 6.0
"""Seconds that the end of each run waits for delivery."""
SLACK = 10.0
"""Seconds for what else an end does on a busy machine."""
TROUBLES = {
    "refused connections": {},
    "black hole": {"delay": 3600.0},
    "500": {"status": 500},
    "401": {"status": 401},
    "429": {"status": 429, "headers": {"Retry-After": "2"}},
    "2 s a call": {"delay": 2.0},
}


class Outage:
    """A run that was logged, and ended, while its server was in trouble."""

    def __init__(self, trouble, proxy, folder):
        self.proxy = proxy
        if trouble == "refused connections":
            proxy.close()
        settings = {"mlflow": {"tracking_uri": proxy.uri}}
        self.run = multitrack.start_run(
            "outages", trouble, report_to="mlflow", dir=folder, settings=settings
        )
        started = time.monotonic()
        for step in range(STEPS):
            self.run.log({"train/loss": step / 7}, step=step)
        self.logged_in = time.monotonic() - started

    def end(self):
        started = time.monotonic()
        [self.report] = self.run.finish(timeout=LIMIT, quiet=True)
        self.ended_in = time.monotonic() - started


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
        name: Outage(name, Proxy(server.uri, **trouble), folder)
        for name, trouble in TROUBLES.items()
    }
    for one in found.values():
        courier = one.run.folder.courier("mlflow")
        wait_until(lambda c=courier: c.read_state().phase != "starting", 120, courier.log)
    with ThreadPoolExecutor(len(found)) as pool:
        list(pool.map(Outage.end, found.values()))
    for one in found.values():
        one.proxy.recover()
    command = [sys.executable, "-m", "multitrack", "sync", str(folder), "--jobs", "2"]
    deadline = time.monotonic() + 180
    while subprocess.run(command, check=False, capture_output=True).returncode:
        assert time.monotonic() < deadline, "what was left could not be brought"
    yield found
    for one in found.values():
        one.proxy.close()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_training_and_its_end_are_not_held_up(outages, trouble):
    one = outages[trouble]
    assert one.logged_in < SLACK
    assert one.ended_in < LIMIT + SLACK
    assert one.run.status == "finished"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_end_says_what_is_left_why_and_what_to_type(outages, trouble):
    one = outages[trouble]
    if one.report.delivered:
        assert trouble == "2 s a call", "slow is not down"
        return
    said = str(one.report)
    assert f"{STEPS + 2} records pending" in said or trouble == "2 s a call"
    assert said.endswith(f"deliver with: multitrack sync {one.run.folder.path} --to mlflow")
    if trouble == "401":
        assert "MLFLOW_TRACKING_TOKEN" in said
        assert one.ended_in < LIMIT, "nobody waits for a person"
    elif trouble not in {"black hole", "2 s a call"}:
        assert one.report.message, "the reason"


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
