"""The same training in four hosts: with no tracker, with the host's own, with multitrack.

Each function trains for some steps, logs the loss of every step, and returns the seconds of
training alone: what comes before and after it, and the wait for delivery, are left out.
"""

from __future__ import annotations

import time

import torch
from torch import nn

BACKENDS = ["tensorboard", "mlflow", "wandb"]
BATCH = 32
PROJECT = "benchmark"
ARGUMENTS = {
    "per_device_train_batch_size": BATCH,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
    "use_cpu": True,
}
"""Of both Trainers, which name them alike."""
TRACKERS = ("none", "multitrack", "own")


class Classifier(nn.Module):
    """A network whose step takes about a millisecond on one core."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, inputs, labels):
        """Return the loss and the logits of a batch."""
        logits = self.layers(inputs)
        return {"loss": self.criterion(logits, labels), "logits": logits}


def examples() -> list[dict[str, torch.Tensor]]:
    """Return a data set."""
    return [{"inputs": torch.randn(64), "labels": torch.tensor(i % 10)} for i in range(1024)]


def train_in_transformers(trackers: str, steps: int) -> float:
    """Train with transformers' Trainer."""
    from transformers import Trainer, TrainingArguments

    from multitrack import TrackingCallback

    trainer = Trainer(
        model=Classifier(),
        args=TrainingArguments(
            output_dir="out",
            max_steps=steps,
            **ARGUMENTS,
            report_to=BACKENDS if trackers == "own" else "none",
        ),
        train_dataset=examples(),
        callbacks=[TrackingCallback(report_to=BACKENDS)] if trackers == "multitrack" else [],
    )
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


def train_in_lightning(trackers: str, steps: int) -> float:
    """Train with Lightning's Trainer."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = Classifier()

        def training_step(self, batch, index):
            loss = self.classifier(**batch)["loss"]
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())

    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        log_every_n_steps=1,
        logger=_loggers_of_lightning(trackers),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(examples(), batch_size=BATCH, shuffle=True)
    start = time.perf_counter()
    trainer.fit(Module(), loader)
    return time.perf_counter() - start


def _loggers_of_lightning(trackers: str):
    if trackers == "none":
        return False
    if trackers == "multitrack":
        from multitrack.compat.lightning import MultitrackLogger

        return MultitrackLogger(PROJECT, report_to=BACKENDS)
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

    return [
        TensorBoardLogger("runs"),
        MLFlowLogger(PROJECT, tracking_uri="sqlite:///mlflow.db"),
        WandbLogger(project=PROJECT, offline=True),
    ]


def train_in_accelerate(trackers: str, steps: int) -> float:
    """Train in a loop of one's own with accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator(
        cpu=True, log_with=_trackers_of_accelerate(trackers), project_dir="runs"
    )
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters())
    loader = torch.utils.data.DataLoader(examples(), batch_size=BATCH, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    start = time.perf_counter()
    if trackers != "none":
        accelerator.init_trackers(PROJECT)
    step = 0
    while step < steps:
        for batch in loader:
            loss = model(**batch)["loss"]
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            accelerator.log({"train/loss": loss.item()}, step=step)
            if step == steps:
                break
    return time.perf_counter() - start


def _trackers_of_accelerate(trackers: str):
    if trackers == "multitrack":
        from multitrack.compat.accelerate import MultitrackTracker

        return MultitrackTracker(PROJECT, report_to=BACKENDS)
    return BACKENDS if trackers == "own" else None


def train_in_multitrack(trackers: str, steps: int) -> float:
    """Train with the reference Trainer, which has no trackers but multitrack's."""
    from multitrack.trainer import Trainer, TrainingArguments

    trainer = Trainer(
        Classifier(),
        TrainingArguments(
            "out",
            max_steps=steps,
            **ARGUMENTS,
            report_to="none" if trackers == "none" else BACKENDS,
        ),
        train_dataset=examples(),
    )
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


HOSTS = {
    "multitrack": train_in_multitrack,
    "transformers": train_in_transformers,
    "Lightning": train_in_lightning,
    "accelerate": train_in_accelerate,
}
