"""A run that goes on in another process is read on from where it was read last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from viewing import PATIENCE, wait_for

from multitrack.trackers.folder import RunFolder
from multitrack.view.index import RunIndex
from multitrack.view.library import Library

TRAIN = """
import sys, multitrack
run = multitrack.start_run("live", dir=sys.argv[1], report_to=[], run_id=sys.argv[2])
for step, line in enumerate(sys.stdin):
    run.log({"loss": float(line)}, step=step)
    print(step, flush=True)
"""


def test_points_and_the_end_come_while_it_is_looked_at(viewer):
    command = [sys.executable, "-c", TRAIN, str(viewer.directory), "live-run"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as trainer:
        seen = []
        for value in (3.0, 2.0, 1.0):
            trainer.stdin.write(f"{value}\n")
            trainer.stdin.flush()
            trainer.stdout.readline()
            found = viewer.get("/api/series", {"run": "live-run", "name": "loss"}).json
            seen.append(found["series"][0]["y"])
            row = viewer.row("live-run")
            assert (row["status"], row["metrics"]) == ("running", {"loss": value})
        assert seen == [[3.0], [3.0, 2.0], [3.0, 2.0, 1.0]]
        assert viewer.get("/api/runs/live-run").json["status"] == "running"
        os.kill(trainer.pid, signal.SIGKILL)
        trainer.wait(PATIENCE)
    wait_for(lambda: viewer.row("live-run")["status"] == "killed")
    assert viewer.get("/api/runs/live-run").json["status"] == "killed"


def test_a_journal_is_read_once_and_then_only_what_came(start):
    run = start()
    index = RunIndex(RunFolder(run.folder.path))
    run.log({"loss": 1.0})
    first = index.refresh()
    run.log({"loss": 2.0})
    assert index.refresh() is first
    assert first.columns("loss").values.tolist() == [1.0, 2.0]


def test_another_journal_in_its_place_is_read_anew(start):
    run, other = start(), start()
    index = RunIndex(RunFolder(run.folder.path))
    for _ in range(50):
        run.log({"loss": 1.0})
    index.refresh()
    other.log({"other": 2.0})
    for content in (other.folder.journal.read_bytes(), other.folder.journal.read_bytes() * 100):
        run.folder.journal.write_bytes(content)
        assert list(index.refresh().series) == ["other"]


def test_a_torn_last_line_is_read_when_it_is_whole(start):
    run = start()
    index = RunIndex(RunFolder(run.folder.path))
    run.log({"loss": 1.0})
    whole = run.folder.journal.read_bytes()
    run.folder.journal.write_bytes(whole[:-5])
    assert not index.refresh().series
    run.folder.journal.write_bytes(whole)
    assert index.refresh().columns("loss").values.tolist() == [1.0]


def test_what_was_looked_into_long_ago_leaves_memory(start):
    runs = [start() for _ in range(3)]
    for run in runs:
        for step in range(1000):
            run.log({"loss": 1.0}, step=step)
    library = Library(runs[0].folder.path.parent, memory=100_000)
    for run in runs:
        with library.open(run.id) as recorded:
            assert recorded.nbytes > 40_000
    assert [run.id in library._indexes for run in runs] == [False, True, True]
