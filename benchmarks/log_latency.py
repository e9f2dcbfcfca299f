"""What one call of ``run.log`` with five scalars costs the caller.

    python benchmarks/log_latency.py

Rounds alternate between the variants, in one process each, so that the machine's moods hit all
alike; the floor (encode with msgspec, one ``write``) is measured beside them. Each process takes
all paces in turn: flat out, at 1 kHz, and at 1 kHz with another thread that computes in Python
all the time. Times are of single calls, in microseconds; a row gives the median over the rounds,
and their range.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from machine import spread, write_results
from rich.console import Console
from rich.table import Table

METRICS = {"train/loss": 0.5123, "grad_norm": 1.5456, "lr": 2.5e-4, "accuracy": 0.875, "x": 4.5}
THREE = ["tensorboard", "mlflow", "wandb"]
VARIANTS: dict[str, list[str]] = {
    "floor": [],
    "no tracker": [],
    "1 tracker": ["tensorboard"],
    "3 trackers": THREE,
    "8 trackers": [*THREE, "aim", "comet", "dvclive", "swanlab", "trackio"],
}
OFFLINE = {"WANDB_MODE": "offline", "COMET_START_ONLINE": "0", "SWANLAB_MODE": "offline"}
PAUSES = {"flat out": 0.0, "1 kHz": 0.001, "1 kHz, a thread computing": 0.001}
PERCENTILES = {"p50": 0.50, "p99": 0.99, "max": 1.0}

Row = dict[str, float]


def floor_call(folder: Path):
    """Return what encodes and writes a record of five scalars, and does nothing else."""
    from multitrack.trackers.records import Codec, Metrics

    descriptor = os.open(folder / "journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def call(step: int) -> None:
        record = Metrics(time=time.time(), step=step, values=METRICS)
        os.write(descriptor, Codec.encode(record))

    return call


def run_call(folder: Path, backends: list[str]):
    """Return ``run.log`` of a run whose couriers are at work."""
    import multitrack

    os.chdir(folder)
    run = multitrack.start_run(report_to=backends or "none", dir="runs", finish_timeout=0)
    while not all(run.folder.courier(name).read_state().attachment for name in backends):
        time.sleep(0.5)  # their clients open
    return lambda step: run.log(METRICS, step=step)


def timed(call, calls: int, pause: float) -> Row:
    """Return the percentiles of the calls, in microseconds."""
    times = []
    for step in range(calls):
        start = time.perf_counter_ns()
        call(step)
        times.append(time.perf_counter_ns() - start)
        if pause:
            time.sleep(pause)
    times.sort()
    return {name: times[min(calls - 1, int(calls * q))] / 1000 for name, q in PERCENTILES.items()}


def compute_all_the_time() -> None:
    """Be a thread that lets go of the interpreter only when it is made to."""

    def compute() -> None:
        while True:
            sum(range(500))

    threading.Thread(target=compute, daemon=True).start()


def measure(variant: str, calls: int) -> None:
    """Measure a variant in this process and print its percentiles, by pace, as JSON."""
    folder = Path(tempfile.mkdtemp())
    call = floor_call(folder) if variant == "floor" else run_call(folder, VARIANTS[variant])
    rows = {}
    for pace, pause in PAUSES.items():
        if "computing" in pace:
            compute_all_the_time()
        rows[pace] = timed(call, calls // 10 if pause else calls, pause)
    print(json.dumps(rows), flush=True)
    os._exit(0)  # couriers end by themselves; their work is not what is measured


def run_round(variant: str, calls: int) -> dict[str, Row]:
    """Measure a variant in a process of its own."""
    command = [sys.executable, __file__, "--variant", variant, "--calls", str(calls)]
    environment = {**os.environ, **OFFLINE, "PYTHONDONTWRITEBYTECODE": ""}
    output = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Measure all variants, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=3, help="leave out what has more trackers")
    parser.add_argument("--json", type=Path, help="folder for log_latency.json")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        measure(options.variant, options.calls)
    variants = [name for name, backends in VARIANTS.items() if len(backends) <= options.most]
    rounds = [
        {variant: run_round(variant, options.calls) for variant in variants}
        for _ in range(options.rounds)
    ]
    show(rounds)
    write_results("log_latency", {"rounds": rounds}, options.json)


def show(rounds: list[dict[str, dict[str, Row]]]) -> None:
    """Print the medians over the rounds with their range."""
    table = Table(title="run.log of five scalars, µs: median over rounds (range)")
    for column in ("pace", "variant", *PERCENTILES, "p50 / floor"):
        table.add_column(column)
    for pace in PAUSES:
        for variant in rounds[0]:
            rows = [row[variant][pace] for row in rounds]
            floors = [row["floor"][pace]["p50"] for row in rounds]
            ratios = [row["p50"] / floor for row, floor in zip(rows, floors, strict=True)]
            cells = [spread([row[name] for row in rows]) for name in PERCENTILES]
            table.add_row(pace, variant, *cells, spread(ratios))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
