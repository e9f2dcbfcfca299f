"""The variables of transformers' callbacks send checkpoints to the backends that they name."""

import pytest
import torch
from harness import INSTALLED
from wandb_files import sessions_of

from multitrack import TrackingCallback
from multitrack.trainer import Trainer, TrainingArguments

pytestmark = pytest.mark.skipif(
    not {"tensorboard", "mlflow", "wandb"} <= set(INSTALLED), reason="needs the three clients"
)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x, labels):
        return {"loss": (self.layer(x)[:, 0] - labels).square().mean()}


def train(out):
    """Train with three checkpoints, of which the Trainer keeps one; return the run."""
    arguments = TrainingArguments(
        str(out), max_steps=6, save_steps=2, save_total_limit=1, disable_tqdm=True, use_cpu=True
    )
    data = [{"x": torch.ones(2) * i, "labels": torch.tensor(1.0)} for i in range(16)]
    tracking = TrackingCallback(["tensorboard", "mlflow", "wandb"], project="kept")
    Trainer(Model(), arguments, train_dataset=data, callbacks=[tracking]).train()
    reports = tracking.run.finish(timeout=120)
    assert all(report.delivered and not report.refused for report in reports), reports
    return tracking.run


def test_each_backend_gets_what_its_variable_asks_for(training, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_MLFLOW_LOG_ARTIFACTS", "TRUE")
    monkeypatch.setenv("WANDB_LOG_MODEL", "end")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    out = tmp_path / "out"
    run = train(out)
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-6"]
    weights = (out / "checkpoint-6" / "model.safetensors").read_bytes()

    client = MlflowClient()
    id_at_mlflow = run.folder.courier("mlflow").read_state().attachment.id
    kept = client.list_artifacts(id_at_mlflow, "artifacts")
    assert sorted(info.path for info in kept) == [
        f"artifacts/checkpoint-{step}" for step in (2, 4, 6)
    ]
    stored = client.download_artifacts(id_at_mlflow, "artifacts/checkpoint-6", str(tmp_path))
    [path] = tmp_path.joinpath(stored).rglob("model.safetensors")
    assert path.read_bytes() == weights

    [session] = sessions_of(tmp_path / "wandb", run.id)
    [(artifact, files)] = session.artifacts()
    assert (artifact.name, artifact.type) == ("checkpoint-6", "checkpoint")
    assert files["model.safetensors"] == weights
    assert not list((tmp_path / "board").rglob("*.safetensors"))
