"""What large amounts cost: a million records, many names, a huge checkpoint, ten thousand runs.

    python benchmarks/volume.py                 # everything: about five minutes
    python benchmarks/volume.py runs checkpoint # only these

Memory is the resident set of the trainer's and of the courier's process, looked at while they work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import write_results
from rich.console import Console
from rich.table import Table

import multitrack
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import JournalReader

MEGABYTE = 1e6
PAGE = os.sysconf("SC_PAGE_SIZE")
BACKEND = "tensorboard"
CHECKPOINT = 5 * 10**9
NAMES_A_RECORD = 100

Rows = dict[str, str]


def measure_records(folder: Path, count: int) -> Rows:
    """Log records of three scalars, read them, and deliver them."""
    run = start(folder)
    sizes, began = [], time.perf_counter()
    for step in range(count):
        run.log({"train/loss": step / 7, "train/accuracy": step / 9, "lr": 1e-3}, step=step)
        if step % max(1, count // 20) == 0:
            sizes.append(resident(os.getpid()))
    logged = time.perf_counter() - began
    run.finish(quiet=True)
    began = time.perf_counter()
    reader = JournalReader(run.folder.journal)
    while reader.read():
        pass
    read = time.perf_counter() - began
    return {
        f"log {count:,} records": f"{logged:.1f} s, {count / logged:,.0f} a second",
        "trainer's memory, a tenth in and at the end": f"{sizes[2]:.0f} and {sizes[-1]:.0f} MB",
        "journal": f"{run.folder.journal.stat().st_size / MEGABYTE:.0f} MB",
        "read it": f"{read:.1f} s, {count / read:,.0f} records a second",
        **deliver(run.folder, count),
    }


def measure_names(folder: Path, count: int) -> Rows:
    """Log distinct names, a hundred in a record, and deliver them."""
    run = start(folder)
    began = time.perf_counter()
    for first in range(0, count, NAMES_A_RECORD):
        run.log({f"layer/{n}/norm": n / 7 for n in range(first, first + NAMES_A_RECORD)}, step=1)
    logged = time.perf_counter() - began
    run.finish(quiet=True)
    return {
        f"log {count:,} distinct names": f"{logged:.1f} s",
        **deliver(run.folder, count),
        "multitrack show": seconds("show", str(run.folder.path)),
    }


def measure_checkpoint(folder: Path, size: int) -> Rows:
    """Keep a huge sparse file, delete the original, and look whether it is there."""
    run, source = start(folder), folder / "model.bin"
    with source.open("wb") as file:
        file.truncate(size)
    began = time.perf_counter()
    run.log_artifact(source, kind="checkpoint")
    staged = time.perf_counter() - began
    source.unlink()
    run.finish(quiet=True)
    [kept] = run.folder.files.rglob("model.bin")
    assert kept.stat().st_size == size
    return {f"keep a checkpoint of {size / 1e9:g} GB": f"{1000 * staged:.1f} ms"}


def measure_runs(folder: Path, count: int) -> Rows:
    """Look through a directory of many delivered runs, of a hundred steps each."""
    run = start(folder / "one")
    for step in range(100):
        run.log({"train/loss": step / 7, "train/accuracy": step / 9, "lr": 1e-3}, step=step)
    run.finish(quiet=True)
    journal = run.folder.journal.read_bytes()
    for number in range(count):
        other = RunFolder(folder / "many" / f"run-{number:06d}")
        other.create()
        other.journal.write_bytes(journal.replace(run.id.encode(), other.run_id.encode()))
        courier = other.courier(BACKEND)
        courier.create()
        state = courier.read_state()
        state.offset, state.phase = other.journal.stat().st_size, "done"
        courier.write_state(state)
    many = str(folder / "many")
    return {
        f"multitrack runs, of {count:,}": seconds("runs", many),
        f"multitrack runs --last 0, of {count:,}": seconds("runs", many, "--last", "0"),
        f"multitrack sync, {count:,} delivered": seconds("sync", many),
    }


def start(folder: Path) -> multitrack.Run:
    """Start a run that is delivered later."""
    return multitrack.start_run(report_to=BACKEND, dir=folder / "runs", delivery="later")


def deliver(run: RunFolder, count: int) -> Rows:
    """Deliver a run with ``multitrack sync``, and watch its courier's memory."""
    with watched(run) as sizes:
        began = time.perf_counter()
        command(("sync", str(run.path)))
        taken = time.perf_counter() - began
    assert run.courier(BACKEND).read_state().phase == "done"
    tenth = sizes[len(sizes) // 10]
    return {
        f"deliver to {BACKEND}": f"{taken:.1f} s, {count / taken:,.0f} a second",
        "courier's memory, a tenth in and at most": f"{tenth:.0f} and {max(sizes):.0f} MB",
    }


@contextmanager
def watched(run: RunFolder) -> Iterator[list[float]]:
    """Note the memory of the run's courier ten times a second."""
    sizes: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            state = run.courier(BACKEND).read_state()
            if state.delivered and state.phase == "delivering":
                sizes.append(resident(state.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()
        sizes[:] = [size for size in sizes if size] or [0.0]


def resident(pid: int) -> float:
    """Return the megabytes that a process holds in memory; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MEGABYTE
    except OSError:
        return 0.0


def command(words: tuple[str, ...]) -> None:
    """Call the command line."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(
        [sys.executable, "-m", "multitrack", *words],
        env=environment,
        check=True,
        capture_output=True,
    )


def seconds(*words: str) -> str:
    """Return the time of a command."""
    began = time.perf_counter()
    command(words)
    return f"{time.perf_counter() - began:.1f} s"


SUBJECTS: dict[str, tuple[Callable[[Path, int], Rows], int]] = {
    "records": (measure_records, 1_000_000),
    "names": (measure_names, 100_000),
    "checkpoint": (measure_checkpoint, CHECKPOINT),
    "runs": (measure_runs, 10_000),
}


def main() -> None:
    """Measure the subjects, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--share", type=float, default=1.0, help="of the amounts, such as 0.01")
    parser.add_argument("--json", type=Path, help="folder for volume.json")
    options = parser.parse_args()
    rows: Rows = {}
    for name in options.subjects or SUBJECTS:
        measure, amount = SUBJECTS[name]
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TENSORBOARD_LOGGING_DIR"] = f"{folder}/board"
            rows |= {
                f"{name}: {what}": found
                for what, found in measure(Path(folder), int(amount * options.share)).items()
            }
    table = Table(title="What large amounts cost")
    for column in ("what", "measured"):
        table.add_column(column)
    for what, found in rows.items():
        table.add_row(what, found)
    Console(width=120).print(table)
    write_results("volume", {"rows": rows}, options.json)


if __name__ == "__main__":
    main()
