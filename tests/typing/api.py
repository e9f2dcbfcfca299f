"""User code that must type-check under ``mypy --strict``; it is never run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import multitrack
from multitrack import Run, TrackingCallback, start_run
from multitrack.trackers.delivery import Report


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


def record_in_a_block() -> None:
    """Finish by leaving the block."""
    with start_run(report_to="tensorboard") as run:
        run.log({"loss": 0.5})


def make_callback() -> TrackingCallback:
    """Hand this one to a Trainer."""
    return TrackingCallback(report_to=["wandb"], project="digits")
