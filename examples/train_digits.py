"""Train a small network on scikit-learn's handwritten digits, reported to several trackers.

    python examples/train_digits.py --output-dir digits --report-to tensorboard mlflow

It takes a few seconds on a CPU and downloads nothing. `--resume` goes on from the newest
checkpoint, in the run that it belongs to.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from multitrack.trainer import EvalPrediction, Trainer, TrainingArguments


class DigitClassifier(nn.Module):
    """A small convolutional network for pictures of 8 by 8 pixels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(2 * width * 4 * 4, 10),
        )

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        """Return the logits, and the loss if there are labels."""
        logits = self.layers(pixels)
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def digits() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return samples to train on and samples to evaluate."""
    pixels, labels = load_digits(return_X_y=True)
    pictures = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    samples = [
        {"pixels": picture, "labels": int(label)}
        for picture, label in zip(pictures, labels, strict=True)
    ]
    train, test = train_test_split(samples, test_size=0.2, random_state=0, stratify=labels)
    return train, test


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Return the part of the digits that was told right."""
    logits, labels = prediction
    return {"accuracy": (logits.argmax(axis=-1) == labels).mean()}


def main() -> None:
    """Train, evaluate, and say how good the model is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output-dir", default="digits")
    parser.add_argument("--report-to", nargs="*", default=["tensorboard", "mlflow", "wandb"])
    parser.add_argument("--max-steps", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    options = parser.parse_args()

    train, test = digits()
    torch.manual_seed(0)
    trainer = Trainer(
        model=DigitClassifier(),
        args=TrainingArguments(
            output_dir=options.output_dir,
            report_to=options.report_to,
            project="digits",
            run_name="small-cnn",
            max_steps=options.max_steps,
            learning_rate=options.learning_rate,
            warmup_steps=0.1,
            per_device_train_batch_size=64,
            per_device_eval_batch_size=256,
            logging_steps=10,
            eval_strategy="steps",
            eval_steps=50,
            save_strategy="steps",
            save_steps=50,
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="accuracy",
        ),
        train_dataset=train,
        eval_dataset=test,
        compute_metrics=accuracy,
    )
    trainer.train(resume_from_checkpoint=options.resume)
    print(f"accuracy: {trainer.evaluate()['eval_accuracy']:.1%}")


if __name__ == "__main__":
    main()
