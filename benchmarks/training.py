"""What tracking costs a whole training: multitrack beside the trackers that each host brings.

    python benchmarks/training.py

Each variant trains the same model on the same data, logging every step to TensorBoard, MLflow
(SQLite) and Weights & Biases (offline), in a process of its own; rounds alternate between the
variants. The figure is the wall time of training, and its ratio to the same round's training in
that host with no tracker. What the hosts bring themselves is so slow that it is only measured where
`--own` asks for it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import spread, write_results
from rich.console import Console
from rich.table import Table
from training_hosts import HOSTS, TRACKERS

MARK = "seconds of training: "
OFFLINE = {"WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}

Round = dict[str, dict[str, float]]


def train(host: str, trackers: str, steps: int) -> None:
    """Train in this process, and print the seconds that it took."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.chdir(tempfile.mkdtemp())
    seconds = HOSTS[host](trackers, steps)
    sys.stdout.write(f"\n{MARK}{seconds}\n")


def run_once(host: str, trackers: str, steps: int) -> float:
    """Train in a process of its own, which also waits for all delivery."""
    command = [sys.executable, __file__, "--host", host, "--trackers", trackers]
    command += ["--steps", str(steps)]
    environment = {**os.environ, **OFFLINE, "PYTHONDONTWRITEBYTECODE": ""}
    output = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    [line] = [line for line in output.stdout.splitlines() if line.startswith(MARK)]
    return float(line.removeprefix(MARK))


def run_all(host: str, steps: int, *, with_own: bool) -> dict[str, float]:
    """Train once in each variant of a host."""
    has_own = with_own and host != "multitrack"
    variants = TRACKERS if has_own else [name for name in TRACKERS if name != "own"]
    return {trackers: run_once(host, trackers, steps) for trackers in variants}


def main() -> None:
    """Measure all variants, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--host", choices=HOSTS, help="only this one")
    parser.add_argument("--own", action="store_true", help="the hosts' own trackers, too")
    parser.add_argument("--json", type=Path, help="folder for training.json")
    parser.add_argument("--trackers", choices=TRACKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trackers:
        train(options.host, options.trackers, options.steps)
        return
    hosts = [options.host] if options.host else list(HOSTS)
    rounds: list[Round] = [
        {host: run_all(host, options.steps, with_own=options.own) for host in hosts}
        for _ in range(options.rounds)
    ]
    show(rounds, options.steps)
    write_results("training", {"steps": options.steps, "rounds": rounds}, options.json)


def show(rounds: list[Round], steps: int) -> None:
    """Print the medians over the rounds with their range."""
    table = Table(title=f"{steps} steps, each logged: median over rounds (range)")
    for column in ("host", "trackers", "seconds", "ratio to none"):
        table.add_column(column)
    for host in rounds[0]:
        for trackers in rounds[0][host]:
            seconds = [row[host][trackers] for row in rounds]
            ratios = [row[host][trackers] / row[host]["none"] for row in rounds]
            table.add_row(host, trackers, spread(seconds), spread(ratios))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
