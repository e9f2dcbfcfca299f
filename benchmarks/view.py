"""What `multitrack view` takes: a thousand runs in a folder, a million points in one of them.

    python benchmarks/view.py                            # a minute
    python benchmarks/view.py --runs 100 --points 10000  # a look

The server is a process of its own, asked over one connection. Times are those of whole answers:
the first one, all until everything is read, and those that follow. Memory is the server's resident
set.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from machine import spread, write_results
from rich.console import Console
from rich.table import Table
from volume import resident

import multitrack
from multitrack.trackers.folder import RunFolder

METRIC = "train/loss"
BACKENDS = ("mlflow", "tensorboard", "wandb")
PARAMS = {f"group{n // 10}": {f"param{m}": m / 7 for m in range(10)} for n in range(0, 50, 10)}
ADDRESS = re.compile(r"http://(?P<host>[\d.]+):(?P<port>\d+)/\?token=(?P<token>\S+)")

Rows = dict[str, str]


class Page:
    """What asks the server, as the page does.

    Args:
        process: the server.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        found = next(filter(None, map(ADDRESS.search, process.stdout)))
        self.url, self.pid = found[0], process.pid
        self._connection = HTTPConnection(found["host"], int(found["port"]))
        self._headers = {"Authorization": f"Bearer {found['token']}"}

    def ask(self, path: str, status: int = 200, **query: object) -> tuple[float, bytes]:
        """Return the milliseconds that an answer took, and what it said."""
        began = time.perf_counter()
        self._connection.request("GET", f"{path}?{urlencode(query)}", headers=self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        taken = 1000 * (time.perf_counter() - began)
        assert answer.status == status, content[:1000]
        return taken, content

    def measure(self, what: str, times: int, path: str, **query: object) -> Rows:
        """Ask until nothing is left to read, and then ``times`` more."""
        answers = [self.ask(path, **query)]
        while msgspec.json.decode(answers[-1][1]).get("reading"):
            answers.append(self.ask(path, **query))
        warm = [self.ask(path, **query)[0] for _ in range(times)]
        whole = sum(taken for taken, _ in answers)
        return {
            f"{what}, first answer": f"{answers[0][0]:.0f} ms",
            f"{what}, all is read": f"{whole:.0f} ms, {len(answers)} answers",
            f"{what}, then": f"{spread(warm)} ms, {len(answers[-1][1]) / 1000:,.0f} kB",
        }

    def measure_polls(self, what: str, times: int) -> Rows:
        """Ask for what is new in the table, where nothing is."""
        version = msgspec.json.decode(self.ask("/api/runs")[1])["version"]
        polls = [self.ask("/api/runs", 204, since=version)[0] for _ in range(times)]
        return {f"{what}, nothing new": f"{spread(polls)} ms"}

    def memory(self, when: str) -> Rows:
        """Return the server's memory."""
        return {f"server's memory, {when}": f"{resident(self.pid):.0f} MB"}


def make_runs(folder: Path, count: int) -> None:
    """Make runs with fifty params and three backends, all delivered."""
    run = multitrack.start_run(
        "bench", "one", dir=folder / "one", report_to="tensorboard", delivery="later", config=PARAMS
    )
    for step in range(500):
        run.log({METRIC: 1 / (step + 1), "train/accuracy": 0.5, "lr": 1e-3}, step=step)
    run.finish(quiet=True)
    journal = run.folder.journal.read_bytes()
    for number in range(count):
        copy = RunFolder(folder / "runs" / f"run-{number:06d}")
        copy.create()
        copy.journal.write_bytes(journal.replace(run.id.encode(), copy.run_id.encode()))
        for backend in BACKENDS:
            courier = copy.courier(backend)
            courier.create()
            state = courier.read_state()
            state.offset, state.phase = copy.journal.stat().st_size, "done"
            courier.write_state(state)


def make_long_run(folder: Path, points: int) -> str:
    """Log that many points of one metric, and return the run's id."""
    run = multitrack.start_run(
        "bench", "long", dir=folder / "runs", report_to="tensorboard", delivery="later"
    )
    for step in range(points):
        run.log({METRIC: (step * 7919 % 1000) / (step + 1)}, step=step, epoch=step / 1000)
    run.finish(quiet=True)
    return run.id


@contextmanager
def served(directory: Path) -> Iterator[Page]:
    """Serve a directory while the block runs."""
    command = [sys.executable, "-m", "multitrack", "view", str(directory), "--port", "0"]
    server = subprocess.Popen([*command, "--no-open"], stdout=subprocess.PIPE, text=True)
    try:
        yield Page(server)
    finally:
        server.terminate()
        server.wait()


def measure(page: Page, run_id: str, times: int) -> Rows:
    """Ask for everything that the page polls or draws."""
    curve = {"run": run_id, "name": METRIC, "points": 800}
    zoom = {"from": 1000, "to": 2000}
    series = "/api/series"
    return {
        **page.memory("at the start"),
        **page.measure("/api/runs", times, "/api/runs"),
        **page.measure_polls("/api/runs", times),
        **page.memory("with the table"),
        **page.measure(series, times, series, **curve),
        **page.measure(f"{series}, smoothed", times, series, **curve, smooth=0.99),
        **page.measure(f"{series}, over epochs", times, series, **curve, axis="epoch"),
        **page.measure(f"{series}, zoomed in", times, series, **curve, **zoom),
        **page.measure("/api/runs/ID", times, f"/api/runs/{run_id}"),
        **page.memory("with the long run"),
    }


def options_of(description: str, times: int) -> argparse.Namespace:
    """Return what the command line asks for, of this benchmark and of the page's."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=times, help="measurements of each kind")
    parser.add_argument("--json", type=Path, help="folder for the results")
    return parser.parse_args()


def report(name: str, rows: Rows, options: argparse.Namespace) -> None:
    """Print a table, and write JSON."""
    table = Table(title=f"{options.runs:,} runs, and one with {options.points:,} points")
    for column in ("what", "median and range"):
        table.add_column(column)
    for what, found in rows.items():
        table.add_row(what, found)
    Console(width=120).print(table)
    amounts = {"runs": options.runs, "points": options.points}
    write_results(name, {**amounts, "rows": rows}, options.json)


def main() -> None:
    """Measure, print a table, write JSON."""
    options = options_of(__doc__, times=30)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TENSORBOARD_LOGGING_DIR"] = f"{folder}/board"
        make_runs(folder, options.runs)
        run_id = make_long_run(folder, options.points)
        with served(folder / "runs") as page:
            rows = measure(page, run_id, options.times)
    report("view", rows, options)


if __name__ == "__main__":
    main()
