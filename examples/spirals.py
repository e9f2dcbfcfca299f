"""Two spirals to tell apart: the model and the samples of the short examples."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from multitrack.trainer import EvalPrediction


class SpiralClassifier(nn.Module):
    """A point of the plane to one of two spirals."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()),
            nn.Linear(width, 2),
        )

    def forward(self, point: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss and the logits."""
        logits = self.layers(point)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def spirals(count: int, seed: int) -> list[dict[str, Any]]:
    """Return samples: noisy points of two spirals that wind around each other."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    turn = torch.rand(count, generator=generator) * 1.5 * math.pi + 0.5
    angle = turn + labels * math.pi
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / 5
    points += torch.randn(count, 2, generator=generator) * 0.03
    return [{"point": point, "labels": label} for point, label in zip(points, labels, strict=True)]


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Return the part of the points that were told right."""
    logits, labels = prediction
    return {"accuracy": (logits.argmax(axis=-1) == labels).mean()}
