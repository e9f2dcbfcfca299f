"""What one call of ``run.log`` with five scalars costs the caller.

    python benchmarks/log_latency.py

Rounds alternate between the variants, in one process each, so that the machine's moods hit all
alike; the floor (encode with msgspec, one ``write``) is measured beside them. Times are of single
calls, in microseconds; a row gives the median over the rounds, and their range.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import spread, write_results
from rich.console import Console
from rich.table import Table

METRICS = {"train/loss": 0.5123, "grad_norm": 1.5456, "lr": 2.5e-4, "accuracy": 0.875, "x": 4.5}
VARIANTS: dict[str, list[str]] = {
    "floor": [],
    "no tracker": [],
    "1 tracker": ["tensorboard"],
    "3 trackers": ["tensorboard", "mlflow", "wandb"],
}
PERCENTILES = {"p50": 0.50, "p99": 0.99, "max": 1.0}


def measure_floor(calls: int, pause: float) -> list[int]:
    """Time encoding and writing a record of five scalars, and nothing else."""
    from multitrack.trackers.records import Codec, Metrics

    path = Path(tempfile.mkdtemp()) / "journal.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def call(step: int) -> None:
        record = Metrics(time=time.time(), step=step, values=METRICS)
        os.write(descriptor, Codec.encode(record))

    return timed(call, calls, pause)


def measure_run(backends: list[str], calls: int, pause: float) -> list[int]:
    """Time ``run.log`` while couriers deliver to the backends."""
    import multitrack

    os.chdir(tempfile.mkdtemp())
    run = multitrack.start_run(report_to=backends or "none", dir="runs", finish_timeout=0)
    time.sleep(8 if backends else 0)  # let the couriers open their clients
    return timed(lambda step: run.log(METRICS, step=step), calls, pause)


def timed(call, calls: int, pause: float) -> list[int]:
    """Return the nanoseconds of each call."""
    times = []
    for step in range(calls):
        start = time.perf_counter_ns()
        call(step)
        times.append(time.perf_counter_ns() - start)
        if pause:
            time.sleep(pause)
    return times


def one_round(variant: str, calls: int, pause: float) -> None:
    """Measure a variant in this process and print its percentiles as JSON."""
    if variant == "floor":
        times = measure_floor(calls, pause)
    else:
        times = measure_run(VARIANTS[variant], calls, pause)
    times.sort()
    row = {
        name: times[min(len(times) - 1, int(len(times) * q))] / 1000
        for name, q in PERCENTILES.items()
    }
    print(json.dumps(row), flush=True)
    os._exit(0)  # couriers end by themselves; their work is not what is measured


def run_round(variant: str, options: argparse.Namespace, pause: float) -> dict[str, float]:
    """Measure a variant in a process of its own."""
    command = [sys.executable, __file__, "--variant", variant, "--pause", str(pause)]
    command += ["--calls", str(options.calls if not pause else options.calls // 10)]
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONDONTWRITEBYTECODE": ""}
    output = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Measure all variants, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="folder for log_latency.json")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--pause", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        one_round(options.variant, options.calls, options.pause)
    paces = {"flat out": 0.0, "1 kHz": 0.001}
    rows: dict[str, dict[str, list[dict[str, float]]]] = {pace: {} for pace in paces}
    for _ in range(options.rounds):
        for pace, pause in paces.items():
            for variant in VARIANTS:
                rows[pace].setdefault(variant, []).append(run_round(variant, options, pause))
    show(rows)
    write_results("log_latency", {"rounds": rows}, options.json)


def show(rows: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """Print the medians over the rounds with their range."""
    table = Table(title="run.log of five scalars, µs: median over rounds (range)")
    for column in ("pace", "variant", *PERCENTILES, "p50 / floor"):
        table.add_column(column)
    for pace, variants in rows.items():
        for variant, rounds in variants.items():
            cells = [spread([row[name] for row in rounds]) for name in PERCENTILES]
            pairs = zip(rounds, variants["floor"], strict=True)
            ratios = [row["p50"] / floor["p50"] for row, floor in pairs]
            table.add_row(pace, variant, *cells, spread(ratios))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
