"""`multitrack sync`, with couriers as processes and a tracker that keeps a text file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from multitrack.trackers.folder import CourierState

pytestmark = pytest.mark.usefixtures("ledger")

COMMAND = [sys.executable, "-c", "from multitrack.cli import app; app()"]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_what_is_left_is_delivered_once(multitrack, make_run, ledger):
    make_run("a", report_to=["ledger"], config={"lr": 0.1}, name="fox")
    result = multitrack("sync").output
    assert result == f"a ledger delivered\n    file://{ledger}\n"
    assert ledger.read_text().splitlines() == [
        "a start fox",
        "a params {'lr': 0.1}",
        "a metrics 1 {'train/loss': 2.0}",
        "a metrics 2 {'train/loss': 1.0}",
        "a metrics 3 {'train/loss': 0.5}",
        "a end finished",
    ]
    assert multitrack("sync").output == "Everything is delivered.\n"
    assert len(ledger.read_text().splitlines()) == 6


def test_a_run_can_be_played_to_a_tracker_that_it_never_knew(multitrack, make_run, ledger):
    make_run("a")
    make_run("b")
    assert multitrack("sync").output == "Everything is delivered.\n"
    multitrack("sync", "b", "--to", "ledger")
    assert {line.split()[0] for line in ledger.read_text().splitlines()} == {"b"}
    assert "1/1" in multitrack("runs").output


def test_many_runs_are_delivered_a_few_at_a_time(multitrack, make_run, ledger):
    for name in "abcde":
        make_run(name, report_to=["ledger"])
    multitrack("sync", "--jobs", "2")
    ended = [line.split()[0] for line in ledger.read_text().splitlines() if " end " in line]
    assert sorted(ended) == list("abcde")


def test_a_killed_run_is_told_to_be_killed(multitrack, make_run, ledger):
    make_run("a", end=None, report_to=["ledger"])
    multitrack("sync")
    assert ledger.read_text().splitlines()[-1] == "a end killed"


def test_what_waits_for_a_person_is_left_and_says_why(multitrack, make_run):
    make_run("a", report_to=["ledger"])
    output = multitrack("sync", code=1, LEDGER_FAULT="park").output
    assert output == "a ledger parked\n    the ledger is locked away\n    fetch the ledger\n"
    assert "ledger parked" in multitrack("runs").output
    multitrack("sync")


def test_a_courier_that_dies_leaves_its_log_to_look_at(multitrack, make_run):
    folder = make_run("a", report_to=["ledger"])
    output = multitrack("sync", code=1, LEDGER_FAULT="die").output
    assert f"see {folder.courier('ledger').log}" in output


def test_what_is_refused_is_said(multitrack, make_run):
    make_run("a", report_to=["ledger"])
    assert "3 records refused" in multitrack("sync", LEDGER_FAULT="refuse").output
    assert "the ledger takes no numbers" in multitrack("show").output


def test_an_unknown_backend_is_an_error_and_one_of_the_run_is_left(multitrack, make_run):
    make_run("a", report_to=["nobody"])
    assert "'nobody' is no known backend" in multitrack("sync", "--to", "nobody", code=2).stderr
    assert "'nobody' is no known backend" in multitrack("sync", code=1).output


def test_a_run_that_goes_on_is_delivered_as_far_as_it_is(multitrack, make_run, ledger):
    folder = make_run("a", end=None, report_to=["ledger"])
    with FileLock(folder.writer_lock):
        assert "a ledger up to date" in multitrack("sync").output
    assert "a end" not in ledger.read_text()
    multitrack("sync")
    assert ledger.read_text().splitlines()[-1] == "a end killed"


def test_a_courier_at_work_is_left_to_its_work(multitrack, make_run, ledger):
    folder = make_run("a", report_to=["ledger"])
    courier = folder.courier("ledger")
    courier.create()
    courier.write_state(CourierState(phase="retrying", message="no network", pid=4711))
    with FileLock(courier.lock):
        output = multitrack("sync", code=1).output
    assert "a ledger retrying" in output
    assert "no network" in output
    assert "the courier of its trainer (process 4711) is at work on it" in output
    assert not ledger.exists()


def test_watching_follows_new_runs_until_ctrl_c(make_run, ledger):
    make_run("a", report_to=["ledger"])
    process = subprocess.Popen([*COMMAND, "sync", "--watch"], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: ledger.exists() and "a end finished" in ledger.read_text())
        make_run("b", report_to=["ledger"])
        wait_for(lambda: "b end finished" in ledger.read_text())
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert output.splitlines()[0] == "Watching; Ctrl-C stops."


def test_a_terminal_gets_bars(make_run):
    """A pseudo terminal, since bars are drawn nowhere else."""
    make_run("a", report_to=["ledger"])
    ours, theirs = os.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([*COMMAND, "sync"], stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        output = b""
        while chunk := read(ours):
            output += chunk
    assert process.returncode == 0
    assert "━".encode() in output
    assert b"delivered" in output


def read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the terminal's other side is gone
        return b""
