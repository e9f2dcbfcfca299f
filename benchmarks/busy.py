"""What three trackers take of a machine whose cores are all busy, and how late they hear of a run.

    python benchmarks/busy.py

A training process logs every step, and keeps every core busy with workers that compute, as data
loaders do. Rounds alternate between no tracker and three: TensorBoard, MLflow (SQLite) and W&B
(offline). The figures are the wall time of the steps, its ratio to the same round's without a
tracker, and the seconds from the start of the run until each tracker had its first records.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import spread, write_results
from rich.console import Console
from rich.table import Table
from training import OFFLINE
from training_hosts import BACKENDS

import multitrack
from multitrack.trackers.courier import read_header
from multitrack.trackers.folder import find_runs

MARK = "seconds of training: "
STEP = 30_000
"""Numbers that a step adds up: a millisecond or two."""

Round = dict[str, float]


def compute() -> None:
    """Keep a core busy for a step."""
    sum(range(STEP))


def work() -> None:
    """Keep a core busy until the process is killed."""
    while True:
        compute()


def train(steps: int, backends: list[str]) -> None:
    """Train, log every step, and print the seconds that it took."""
    workers = [
        multiprocessing.Process(target=work, daemon=True) for _ in range((os.cpu_count() or 2) - 1)
    ]
    for worker in workers:
        worker.start()
    run = multitrack.start_run("bench", "busy", report_to=backends or "none", dir="runs")
    start = time.perf_counter()
    for step in range(steps):
        compute()
        run.log({"train/loss": 1 / (1 + step)}, step=step)
    sys.stdout.write(f"{MARK}{time.perf_counter() - start}\n")
    for worker in workers:
        worker.kill()
    run.finish(quiet=True)


def run_once(steps: int, backends: list[str]) -> tuple[float, Round]:
    """Train in a process of its own; return its seconds, and when each tracker had something."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--steps", str(steps), "--trackers", *backends]
        environment = {**os.environ, **OFFLINE}
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            heard = watch(process, Path(folder) / "runs")
            output = process.stdout.read() if process.stdout else ""
    [line] = [line for line in output.splitlines() if line.startswith(MARK)]
    return float(line.removeprefix(MARK)), heard


def watch(process: subprocess.Popen[str], directory: Path) -> Round:
    """Return the seconds from a run's start until each tracker had its first records."""
    heard: Round = {}
    while process.poll() is None:
        for run in find_runs(directory):
            for courier in run.couriers():
                if courier.backend not in heard and courier.read_state().offset:
                    heard[courier.backend] = time.time() - read_header(run).time
        time.sleep(0.5)
    return heard


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="folder for busy.json")
    parser.add_argument("--trackers", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trackers is not None:
        train(options.steps, options.trackers)
        return
    none, three, heard = [], [], []
    for _ in range(options.rounds):
        none.append(run_once(options.steps, [])[0])
        seconds, when = run_once(options.steps, BACKENDS)
        three.append(seconds)
        heard.append(when)
    table = Table(title=f"{options.steps:,} steps on {os.cpu_count()} busy cores: median (range)")
    for column in ("what", "seconds"):
        table.add_column(column)
    ratios = [with_three / without for with_three, without in zip(three, none, strict=True)]
    table.add_row("no tracker", spread(none))
    table.add_row("three trackers", spread(three))
    table.add_row("three trackers, ratio to none", spread(ratios))
    for backend in BACKENDS:
        table.add_row(f"{backend} hears of the run", spread([when[backend] for when in heard]))
    Console(width=100).print(table)
    figures = {"none": none, "three": three, "heard": heard}
    write_results("busy", {"steps": options.steps, **figures}, options.json)


if __name__ == "__main__":
    main()
