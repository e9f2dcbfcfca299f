"""From tracker to tracker: a run goes by TensorBoard, MLflow and W&B, and comes back whole."""

from __future__ import annotations

import math

import pytest
from typer.testing import CliRunner

from multitrack.cli import app
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.start import start_run

for client in ("tensorboard", "mlflow", "wandb"):
    pytest.importorskip(client)


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def curve(history, name):
    series = history.series[name]
    return list(zip(series.steps, map(repr, series.values), strict=True))


def test_round_by_three_trackers(tmp_path, monkeypatch):
    settings = {
        "TENSORBOARD_LOGGING_DIR": tmp_path / "logs",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "WANDB_MODE": "offline",
        "WANDB_DIR": tmp_path,
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    stores = {"tensorboard": "logs", "mlflow": "mlflow.db", "wandb": "wandb"}
    with start_run(
        "digits",
        "small",
        config={"optim": {"lr": 0.1}, "depth": 3},
        tags={"team": "vision"},
        notes="a note",
        dir=tmp_path / "original",
        delivery="later",
    ) as run:
        for step in range(5):
            run.log({"loss": 2.0**-step, "acc": step / 4}, step=step * 10)
        run.log({"loss": math.nan}, step=50)
        run.summary({"best": 0.25, "name": "step 40"})
        run.finish("failed", quiet=True)
    original, folder = read_history(run.folder), run.folder
    for backend, store in stores.items():
        assert "delivered" in call("sync", folder.path, "--to", backend)
        assert "Everything is delivered" in call("sync", folder.path, "--to", backend)
        call("import", tmp_path / store, "--dir", tmp_path / f"from-{backend}")
        [folder] = find_runs(tmp_path / f"from-{backend}")
        history = read_history(folder)
        header = history.header
        assert (header.project, header.name, header.notes) == ("digits", "small", "a note")
        assert abs(header.time - original.header.time) < 1
        assert history.params.pop("imported_from")["tracker"] == backend
        assert (history.params, history.tags) == (original.params, original.tags)
        assert history.summary == original.summary
        assert history.status == "failed"
        for name in ("loss", "acc"):
            assert curve(history, name) == curve(original, name), backend
