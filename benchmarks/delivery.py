"""How fast couriers deliver a recorded run to each tracker, and to several at once.

    python benchmarks/delivery.py                # every tracker that is installed
    python benchmarks/delivery.py mlflow wandb   # only these

A run of records with three scalars each is recorded once. Then ``multitrack sync`` plays it to
each tracker, stored on this machine, in rounds; the opening of the tracker's client is included.
The last row plays a copy of the run for each core to the first tracker, with ``--jobs``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import spread, write_results
from rich.console import Console
from rich.table import Table

import multitrack
from multitrack.trackers import registry

STORED_HERE = ["tensorboard", "mlflow", "wandb", "aim", "comet", "dvclive", "swanlab", "trackio"]
OFFLINE = {
    "WANDB_MODE": "offline",
    "COMET_START_ONLINE": "0",
    "SWANLAB_MODE": "offline",
    "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
}


def record(folder: Path, records: int) -> Path:
    """Record a run that nobody delivers yet, and return its folder."""
    run = multitrack.start_run(dir=folder, report_to="none")
    for step in range(records):
        run.log({"train/loss": step / 7, "train/accuracy": step / 9, "lr": 1e-3}, step=step)
    run.finish(quiet=True)
    return run.folder.path


def deliver(runs: Path, backend: str, *options: str) -> float:
    """Deliver all runs of a folder, and return the seconds that it took."""
    command = [sys.executable, "-m", "multitrack", "sync", str(runs), "--to", backend, *options]
    environment = {**os.environ, **OFFLINE, "PYTHONDONTWRITEBYTECODE": ""}
    began = time.perf_counter()
    subprocess.run(
        command, env=environment, cwd=runs.parent, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - began


def fresh_copies(run: Path, count: int) -> Path:
    """Return a folder with copies of a run, each a run of its own that was never delivered."""
    runs = Path(tempfile.mkdtemp()) / "runs"
    for number in range(count):
        copy = runs / f"{run.name[:-2]}{number:02d}"
        shutil.copytree(run, copy)
        journal = copy / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().replace(run.name.encode(), copy.name.encode()))
    return runs


def main() -> None:
    """Measure the trackers, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help=", ".join(STORED_HERE))
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="folder for delivery.json")
    options = parser.parse_args()
    backends = options.backends or [name for name in STORED_HERE if registry.is_installed(name)]
    folder = options.json and options.json.absolute()
    os.chdir(tempfile.mkdtemp())  # couriers work where a run was started
    run = record(Path.cwd(), options.records)
    cores = os.cpu_count() or 1
    rows: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for backend in backends:
            rows.setdefault(backend, []).append(deliver(fresh_copies(run, 1), backend))
        together = deliver(fresh_copies(run, cores), backends[0], "--jobs", str(cores))
        rows.setdefault(f"{backends[0]}, {cores} runs at once", []).append(together / cores)
    table = Table(title=f"{options.records:,} records of three scalars: median (range)")
    for column in ("tracker", "seconds a run", "records a second"):
        table.add_column(column)
    for name, seconds in rows.items():
        rates = [options.records / taken for taken in seconds]
        table.add_row(name, spread(seconds), spread(rates))
    Console(width=100).print(table)
    write_results("delivery", {"records": options.records, "seconds": rows}, folder)


if __name__ == "__main__":
    main()
