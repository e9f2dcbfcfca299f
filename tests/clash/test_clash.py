"""One run, delivered by two clients that no environment can hold together.

Each has an environment of its own, which ``nox -s clash`` makes; the tests run in a third one.
"""

import json
import os
import subprocess

import pytest
from packaging.specifiers import SpecifierSet

from multitrack import start_run
from multitrack.trackers import registry

SHARED = "protobuf"
PYTHONS = {
    backend: os.environ.get(registry.python_variable(backend), "")
    for backend in ("mlflow", "tensorboard")
}
pytestmark = pytest.mark.skipif(not all(PYTHONS.values()), reason="run by nox -s clash")

ABOUT = """
import json, sys
from importlib import metadata
from packaging.requirements import Requirement
client, shared = sys.argv[1:]
asked = [r for r in map(Requirement, metadata.requires(client)) if r.name == shared]
print(json.dumps([metadata.version(shared), str(asked[0].specifier)]))
"""
READ_MLFLOW = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
[experiment] = client.search_experiments(filter_string="name = 'clash'")
[run] = client.search_runs([experiment.experiment_id])
points = client.get_metric_history(run.info.run_id, "train/loss")
print(json.dumps([run.info.status, run.data.params, [[p.step, p.value] for p in points]]))
"""
READ_TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
print(json.dumps([[p.step, p.value] for p in events.Scalars("train/loss")]))
"""


def ask(backend, code, *arguments):
    """Return what a program says in the environment of a backend."""
    command = [PYTHONS[backend], "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_clients_really_clash():
    older, refuses_newer = ask("mlflow", ABOUT, "mlflow-skinny", SHARED)
    newer, refuses_older = ask("tensorboard", ABOUT, "tensorboard", SHARED)
    assert older in SpecifierSet(refuses_newer)
    assert newer in SpecifierSet(refuses_older)
    assert newer not in SpecifierSet(refuses_newer)
    assert older not in SpecifierSet(refuses_older)


def test_both_get_the_run(tmp_path, monkeypatch):
    assert not any(map(registry.is_installed, PYTHONS)), "the trainer has neither"
    for backend, python in PYTHONS.items():
        monkeypatch.setenv(registry.python_variable(backend), python)
    store = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    run = start_run("clash", report_to=list(PYTHONS), dir=tmp_path / "runs", config={"lr": 0.5})
    for step in range(100):
        run.log({"train/loss": step / 4}, step=step)
    reports = run.finish(timeout=120)
    assert [report.delivered for report in reports] == [True, True], reports
    points = [[step, step / 4] for step in range(100)]
    assert ask("mlflow", READ_MLFLOW, store) == ["FINISHED", {"lr": "0.5"}, points]
    assert ask("tensorboard", READ_TENSORBOARD, tmp_path / "board") == points
