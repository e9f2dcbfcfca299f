"""What `run.watch` costs: a step of training with it, as a multiple of one without.

    python benchmarks/watch.py

Each figure is the median of several rounds, in which steps with and without take turns, and the
range of the rounds. Only the journal is written. Needs torch; a quiet machine gives better figures.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from machine import spread, write_results
from torch import nn

import multitrack

SIZES = {"small": (64, 64, 2), "large": (256, 1280, 7)}
"""Width of the input, width and number of the hidden layers."""
EVERY = (1, 10, 100)
SPAN = 20
"""Least steps of a measurement; it has one look at least."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder of the results as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, log, every in itertools.product(SIZES, ("gradients", "all"), EVERY):
        rows.append({"model": name, "log": log, "every": every})
        rows[-1] |= measure(SIZES[name], log, every, options.rounds)
        print(*rows[-1].items(), flush=True)
    write_results("watch", {"watch": rows}, options.out)


def measure(size: Sequence[int], log: Any, every: int, rounds: int) -> dict[str, Any]:
    """Return the figures of one model and one way to watch it."""
    torch.manual_seed(0)
    model, step = make(*size)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        run = multitrack.start_run(report_to="none", dir=folder)
        seconds_of(step, 5)
        for _ in range(rounds):
            without = seconds_of(step, max(every, SPAN))
            run.watch(model, log=log, every=every)
            pairs.append((without, seconds_of(step, max(every, SPAN))))
            run.unwatch(model)
        run.finish(quiet=True)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "ratio": spread([watched / without for without, watched in pairs]),
        "step_ms": spread([1e3 * without for without, _ in pairs]),
        "look_ms": 1e3 * every * statistics.median(b - a for a, b in pairs),
    }


def make(inputs: int, width: int, depth: int) -> tuple[nn.Module, Any]:
    """Return a model and what trains it for a step."""
    widths = [inputs, *[width] * depth]
    layers = [m for a, b in itertools.pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    xs, ys = torch.randn(64, inputs), torch.randint(10, (64,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(xs), ys).backward()
        optimizer.step()

    return model, step


def seconds_of(step: Any, count: int) -> float:
    """Return the seconds of one step, as the mean of so many."""
    began = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()
