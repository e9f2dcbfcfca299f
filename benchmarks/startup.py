"""What a program waits for before its first step: multitrack beside the clients themselves.

    python benchmarks/startup.py

Each variant runs in a process of its own, in rounds that alternate between them; what Python
itself takes to start is left out. Trackers store on this machine.
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

THREE = '["tensorboard", "mlflow", "wandb"]'
VARIANTS = {
    "import multitrack": "import multitrack",
    "start a run, no tracker": "import multitrack; multitrack.start_run(report_to='none')",
    "start a run, three trackers": (
        f"import multitrack; multitrack.start_run(report_to={THREE}, finish_timeout=0)"
    ),
    "open a SummaryWriter": (
        "from torch.utils.tensorboard import SummaryWriter; SummaryWriter('runs')"
    ),
    "open an MLflow run": "import mlflow; mlflow.start_run()",
    "open a W&B run": "import wandb; wandb.init(project='benchmark')",
}
MEASURE = """
import os, sys, time
sys.dont_write_bytecode = False
start = time.perf_counter()
{code}
print("\\n", time.perf_counter() - start, flush=True)
os._exit(0)
"""
OFFLINE = {"WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}


def run_once(code: str) -> float:
    """Return the milliseconds that some code takes in a new process."""
    environment = {**os.environ, **OFFLINE, "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", MEASURE.format(code=code)]
        output = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, check=True, text=True
        ).stdout
    return 1000 * float(output.splitlines()[-1])


def main() -> None:
    """Measure all variants, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="folder for startup.json")
    options = parser.parse_args()
    for code in VARIANTS.values():
        run_once(code)  # byte code is written, and files are in the system's cache
    rounds = [
        {name: run_once(code) for name, code in VARIANTS.items()} for _ in range(options.rounds)
    ]
    table = Table(title="Before the first step, ms: median over rounds (range)")
    for column in ("what", "milliseconds"):
        table.add_column(column)
    for name in VARIANTS:
        table.add_row(name, spread([row[name] for row in rounds]))
    Console(width=100).print(table)
    write_results("startup", {"rounds": rounds}, options.json)


if __name__ == "__main__":
    main()
