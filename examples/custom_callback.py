"""A callback that measures something, shows it to every tracker, and asks for things.

    python examples/custom_callback.py --output-dir callback --report-to tensorboard

What it adds to a row is reported with the row; through `control` it asks for a checkpoint and for
the end of training when the accuracy is good enough.
"""

from __future__ import annotations

import argparse
from typing import Any

from spirals import SpiralClassifier, accuracy, spirals

from multitrack.trainer import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)


class GoodEnough(TrainerCallback):
    """Reports the norm of the weights, and ends training at an accuracy."""

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Add to the row of the loss."""
        if logs is not None and "loss" in logs:
            squares = sum(weight.detach().square().sum() for weight in model.parameters())
            logs["weight_norm"] = float(squares) ** 0.5

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Save and stop, if the model is good enough."""
        if metrics is not None and metrics["eval_accuracy"] >= self.wanted:
            control.should_save = control.should_training_stop = True


def main() -> None:
    """Train until the model is good enough, and say when that was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output-dir", default="callback")
    parser.add_argument("--report-to", nargs="*", default=["none"])
    parser.add_argument("--accuracy", type=float, default=0.97)
    options = parser.parse_args()
    trainer = Trainer(
        SpiralClassifier(),
        TrainingArguments(
            options.output_dir,
            report_to=options.report_to,
            max_steps=1000,
            learning_rate=1e-2,
            per_device_train_batch_size=64,
            per_device_eval_batch_size=256,
            logging_steps=20,
            eval_strategy="steps",
            eval_steps=20,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=spirals(2048, seed=1),
        eval_dataset=spirals(512, seed=2),
        compute_metrics=accuracy,
        callbacks=[GoodEnough(options.accuracy)],
    )
    output = trainer.train()
    print(f"good enough after {output.global_step} steps")


if __name__ == "__main__":
    main()
