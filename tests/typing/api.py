"""User code that must type-check under ``mypy --strict``; it is never run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

import multitrack
from multitrack import Run, TrackingCallback, start_run
from multitrack.trackers.delivery import Report
from multitrack.trainer import Trainer, TrainingArguments


@dataclasses.dataclass
class Config:
    learning_rate: float = 1e-3


def record(losses: list[float]) -> list[Report]:
    """Log what a loop has, in all the ways that the run takes it."""
    run: Run = multitrack.start_run(
        project="digits",
        name="quiet-fox",
        report_to=["tensorboard", "mlflow"],
        config=Config(),
        tags=["baseline"],
        notes="First try.",
        dir=Path("runs"),
        run_id="mine",
        delivery="later",
        settings={"mlflow": {"tracking_uri": "sqlite:///mlflow.db"}},
        finish_timeout=10.0,
    )
    for step, loss in enumerate(losses):
        run.log({"train/loss": loss, "eval": {"accuracy": 1.0}}, step=step, epoch=0.5)
    run.log_params({"optim": {"lr": 0.1}})
    run.set_tags({"team": "vision"})
    run.summary({"best/accuracy": 0.9, "why": "patience"})
    run.log_text("sample", "hello", step=1)
    run.log_image("digit", Path("digit.png"), caption="a three")
    run.log_figure("confusion", object(), step=2)
    run.log_histogram("weights", [1.0, 2.0], bins=16)
    run.log_table("errors", [["3", "5"]], columns=["label", "guess"])
    run.log_audio("voice", [0.0, 0.1], sample_rate=16_000)
    run.log_video("rollout", [object()], fps=30)
    run.log_artifact("out/model.pt", kind="model", aliases=["best"], metadata={"epoch": 1})
    where: Path = run.folder.path
    identity: str = run.id
    reports = run.finish(timeout=5.0)
    first: str | None = reports[0].url
    del where, identity, first
    return reports


def observe(model: nn.Module) -> None:
    """Let a run observe its model, machine and console, and log beside it by hand."""
    with start_run(
        report_to=["wandb", "mlflow"],
        delivery="thread",
        system_metrics=True,
        capture_console=True,
    ) as run:
        run.watch(model)
        run.watch(model, log="all", every=500, bins=32, name="student")
        run.unwatch(model)
        run.unwatch()
        native: Any = run.native("wandb")
        native.log({"by_hand": 1})
        client, run_id = run.native("mlflow", timeout=10.0)
        client.log_metric(run_id, "by_hand", 1.0)
        run.log_image("digit", object(), step=1)
        run.log_artifact(Path("out"), name="m", step=1, withhold_from=["wandb"])
    start_run(system_metrics=5.0, capture_console=False).finish(wait=False, quiet=True)


def record_in_a_block() -> None:
    """Finish by leaving the block."""
    with start_run(report_to="tensorboard") as run:
        run.log({"loss": 0.5})


def make_callback() -> TrackingCallback:
    """Hand this one to a Trainer."""
    return TrackingCallback(
        report_to=["wandb"], project="digits", system_metrics=30, capture_console=True
    )


def train(model: nn.Module) -> float:
    """Train; a misspelt parameter is found, or the comment would be an unused one."""
    args = TrainingArguments("out", max_steps=3, report_to=["wandb"])
    Trainer(model, args, train_data=[])  # type: ignore[arg-type]
    return Trainer(model, args, train_dataset=[], callbacks=[make_callback()]).train().training_loss
