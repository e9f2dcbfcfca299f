"""The training of a test, stopped and cleared away behind it."""

import shutil

import pytest
from harness import INSTALLED, Training


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A database that MLflow has already migrated, which takes it seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    if "mlflow" in INSTALLED:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def training(tmp_path, database, monkeypatch):
    """A training in a folder of its own, with stores that need no account."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if database.exists():
        shutil.copy(database, tmp_path / "mlflow.db")
    one = Training(tmp_path)
    yield one
    if one.process and one.process.poll() is None:
        one.process.kill()
    shutil.rmtree(tmp_path, ignore_errors=True)
