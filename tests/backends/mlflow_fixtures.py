"""What the tests of MLflow start from: a database with its tables, and a tracker on the bench."""

import os
import shutil

import pytest
from mlflow import MlflowClient
from mlflow_bench import Bench

from multitrack.trackers.backends import _mlflow_store as store


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A database whose tables are made: making them takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}")
    return path


@pytest.fixture
def bench(tmp_path, template, monkeypatch):
    for name in os.environ.keys() | store._DEFAULTS.keys():
        if name.startswith("MLFLOW_"):
            monkeypatch.setenv(name, "")  # so that what the adapter sets is taken back
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, f"sqlite:///{shutil.copy(template, tmp_path / 'mlflow.db')}")
