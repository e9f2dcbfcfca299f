"""What trackers that misbehave cost a training: a black hole for MLflow, and nobody at W&B's door.

    python benchmarks/outages.py        # about two minutes

Each round trains the same steps of about 1 ms twice in this process: with no tracker, and logging
every step to MLflow, whose server takes connections and never answers, and to Weights & Biases,
whose server refuses them. The couriers are at it all the time: what is measured begins when both
have met their trouble. Every other round has the two in the other order.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is loaded

import numpy as np
from machine import spread, write_results
from rich.console import Console

import multitrack
from multitrack.trackers.folder import RunFolder

SIZE = 240
"""Of the matrices whose product is a step: about 1 ms on one core."""
PATIENCE = 120.0
"""Seconds in which the couriers must have met their trouble."""

Log = Callable[[int, float], object]


class Taken(NamedTuple):
    """Seconds of a training: on the clock, and of the processor, which other work disturbs less."""

    clock: float
    processor: float


class BlackHole:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self._listener.accept()[0])


def train(steps: int, log: Log) -> Taken:
    """Return what the steps take."""
    weights = np.random.default_rng(0).normal(size=(SIZE, SIZE)) / SIZE
    state = np.ones((SIZE, SIZE))
    began, used = time.perf_counter(), time.thread_time()
    for step in range(steps):
        state = np.tanh(weights @ state) + 0.1
        log(step, float(state[0, 0]))
    return Taken(time.perf_counter() - began, time.thread_time() - used)


def train_without(steps: int) -> Taken:
    """Train with no tracker."""
    return train(steps, lambda *_: None)


def train_in_trouble(steps: int, hole: BlackHole) -> Taken:
    """Train with the two trackers in trouble."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before = len(hole.taken)
        run = multitrack.start_run(report_to=["mlflow", "wandb"], dir=folder)
        with killed_in_the_end(run.folder):
            await_that(lambda: len(hole.taken) > before)
            await_that(lambda: run.folder.courier("wandb").read_state().failures > 0)
            taken = train(steps, lambda step, loss: run.log({"train/loss": loss}, step=step))
            [mlflow, wandb] = run.finish(timeout=0, quiet=True)
            assert mlflow.pending == wandb.pending == steps + 2
    return taken


@contextmanager
def killed_in_the_end(run: RunFolder) -> Iterator[None]:
    """Kill the couriers of a run, which would go on for minutes."""
    try:
        yield
    finally:
        for courier in run.couriers():
            with suppress(ProcessLookupError):
                os.killpg(courier.read_state().pid, signal.SIGKILL)


def await_that(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the couriers met no trouble"
        time.sleep(0.05)


def main() -> None:
    """Measure, print the medians with their ranges, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="folder for outages.json")
    options = parser.parse_args()
    hole = BlackHole()
    places = {"MLFLOW_TRACKING_URI": hole.uri, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    keys = {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online", "WANDB_INIT_TIMEOUT": "2"}
    os.environ.update(places | keys)
    os.chdir(tempfile.mkdtemp())
    train_without(options.steps)  # the first is slower
    without, troubled = [], []
    for number in range(options.rounds):
        if number % 2:
            troubled.append(train_in_trouble(options.steps, hole))
        without.append(train_without(options.steps))
        if not number % 2:
            troubled.append(train_in_trouble(options.steps, hole))
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{options.steps} steps, each logged, {options.rounds} rounds: median (range)")
    for what in Taken._fields:
        alone, both = ([getattr(one, what) for one in taken] for taken in (without, troubled))
        ratios = [one / other for one, other in zip(both, alone, strict=True)]
        out.print(f"seconds ({what}): no tracker {spread(alone)}, two in trouble {spread(both)}")
        out.print(f"    ratio {spread(ratios)}")
    rows = {"without": without, "troubled": troubled}
    write_results("outages", {"steps": options.steps, **rows}, options.json)


if __name__ == "__main__":
    main()
