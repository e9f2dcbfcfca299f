"""What tracking costs a whole training: multitrack beside transformers' own callbacks.

    python benchmarks/training.py

Each variant trains the same model on the same data with transformers' Trainer, logging every
step, in a process of its own; rounds alternate between the variants. The figure is the wall time
of ``trainer.train()``, and its ratio to the same round's training with no tracker.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import spread, write_results
from rich.console import Console
from rich.table import Table

BACKENDS = ["tensorboard", "mlflow", "wandb"]
MARK = "seconds of training: "
VARIANTS = ("none", "multitrack", "transformers")


def train(variant: str, steps: int) -> float:
    """Train and return the seconds that it took."""
    import torch
    from transformers import Trainer, TrainingArguments

    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.chdir(tempfile.mkdtemp())
    trainer = Trainer(
        model=_model(),
        args=TrainingArguments(
            output_dir="out",
            max_steps=steps,
            per_device_train_batch_size=32,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            report_to=BACKENDS if variant == "transformers" else "none",
        ),
        train_dataset=[
            {"inputs": torch.randn(64), "labels": torch.tensor(i % 10)} for i in range(1024)
        ],
        callbacks=_callbacks(variant),
    )
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


def _model():
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
            self.criterion = nn.CrossEntropyLoss()

        def forward(self, inputs, labels):
            logits = self.layers(inputs)
            return {"loss": self.criterion(logits, labels), "logits": logits}

    return Classifier()


def _callbacks(variant: str):
    if variant != "multitrack":
        return []
    from multitrack import TrackingCallback

    return [TrackingCallback(report_to=BACKENDS, finish_timeout=120)]


def run_round(variant: str, steps: int) -> float:
    """Train in a process of its own, which also waits for all delivery."""
    command = [sys.executable, __file__, "--variant", variant, "--steps", str(steps)]
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONDONTWRITEBYTECODE": ""}
    output = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    [line] = [line for line in output.stdout.splitlines() if line.startswith(MARK)]
    return float(line.removeprefix(MARK))


def main() -> None:
    """Measure all variants, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="folder for training.json")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        seconds = train(options.variant, options.steps)
        sys.stdout.write(f"\n{MARK}{seconds}\n")
        return
    rounds = [
        {variant: run_round(variant, options.steps) for variant in VARIANTS}
        for _ in range(options.rounds)
    ]
    table = Table(title=f"{options.steps} steps, logging every step: median over rounds (range)")
    for column in ("trackers", "seconds", "ratio to none"):
        table.add_column(column)
    for variant in VARIANTS:
        seconds = [row[variant] for row in rounds]
        ratios = [row[variant] / row["none"] for row in rounds]
        table.add_row(variant, spread(seconds), spread(ratios))
    Console(width=100).print(table)
    write_results("training", {"steps": options.steps, "rounds": rounds}, options.json)


if __name__ == "__main__":
    main()
