"""Promises 1 and 5: a server that is down, comes back or never answers does not hold training."""

import contextlib
import socket
import threading
import time

import pytest
from harness import INSTALLED, wait_until

if "mlflow" not in INSTALLED:
    pytest.skip("needs the mlflow client and server", allow_module_level=True)

from mlflow import MlflowClient
from mlflow_server import Server

STEPS = 2000


@pytest.fixture
def server(tmp_path, training, monkeypatch):
    one = Server(tmp_path, tmp_path / "mlflow.db")
    training.environ["MLFLOW_TRACKING_URI"] = one.uri
    one.start()
    yield one
    one.kill()


@pytest.fixture
def black_hole(training):
    """A server that takes connections and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken = []

    def take():
        with contextlib.suppress(OSError):
            while True:
                taken.append(listener.accept())

    threading.Thread(target=take, daemon=True).start()
    training.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield listener
    listener.close()


def steps_at(server, training):
    client = MlflowClient(server.uri)
    run_id = training.run.courier("mlflow").read_state().attachment.id
    assert client.get_run(run_id).info.status == "FINISHED"
    return sorted(point.step for point in client.get_metric_history(run_id, "train/loss"))


def is_delivering(training):
    return lambda: training.run.courier("mlflow").read_state().delivered > 0


def test_a_server_that_stops_in_mid_run_gets_the_rest_by_sync(training, server):
    training.start(["mlflow"], steps=STEPS, finish_timeout=3)
    training.wait_for_steps(1)
    wait_until(is_delivering(training), 90, training.run.courier("mlflow").log)
    server.kill()
    output, _ = training.process.communicate(timeout=120)
    assert training.process.returncode == 0
    assert training.returned() == list(range(STEPS)), "training went on"
    assert "records pending" in output
    assert f"multitrack sync {training.run.path} --to mlflow" in output

    server.start()
    wait_until(lambda: training.sync("--to", "mlflow").returncode == 0, 120)
    assert steps_at(server, training) == list(range(STEPS))


def test_a_server_that_comes_back_gets_everything_without_a_hand(training, server):
    training.start(["mlflow"], steps=STEPS, pause=0.005)
    training.wait_for_steps(1)
    wait_until(is_delivering(training), 90, training.run.courier("mlflow").log)
    server.kill()
    time.sleep(2)
    server.start()
    training.process.communicate(timeout=120)
    training.wait_for_delivery("mlflow")
    assert steps_at(server, training) == list(range(STEPS))


def test_a_server_that_never_answers_holds_neither_training_nor_its_end(training, black_hole):
    started = time.monotonic()
    training.start(["mlflow", "tensorboard"], steps=STEPS, finish_timeout=5)
    output, _ = training.process.communicate(timeout=120)
    assert training.process.returncode == 0
    assert training.returned() == list(range(STEPS))
    assert time.monotonic() - started < 60
    assert "multitrack: tensorboard: delivered" in output, "nor the other trackers"
    assert "multitrack: mlflow: " in output
    assert "records pending" in output
