"""`multitrack sync`, with couriers as processes and a tracker that keeps notebooks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from multitrack_notebook import read_notebook

from multitrack import start_run
from multitrack.cli import _jobs
from multitrack.trackers.folder import CourierState
from multitrack.trackers.locks import FileLock, is_locked

pytestmark = pytest.mark.usefixtures("notebooks")

COMMAND = [sys.executable, "-c", "from multitrack.cli import app; app()"]


def wait_for(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def kinds_in(notebooks, run_id):
    return [line["kind"] for line in read_notebook(notebooks, run_id)]


def status_in(notebooks, run_id):
    return read_notebook(notebooks, run_id)[-1].get("status")


def test_what_is_left_is_delivered_once(multitrack, make_run, notebooks):
    make_run("a", report_to=["notebook"], config={"lr": 0.1})
    result = multitrack("sync").output
    assert result == f"a notebook delivered\n    file://{notebooks}/a/page.jsonl\n"
    expected = ["start", "params", "metrics", "metrics", "metrics", "finish"]
    assert kinds_in(notebooks, "a") == expected
    assert multitrack("sync").output == "Everything is delivered.\n"
    assert kinds_in(notebooks, "a") == expected


def test_a_run_can_be_played_to_a_tracker_that_it_never_knew(multitrack, make_run, notebooks):
    make_run("a")
    make_run("b")
    assert multitrack("sync").output == "Everything is delivered.\n"
    multitrack("sync", "b", "--to", "notebook")
    assert [path.name for path in notebooks.iterdir()] == ["b"]
    assert "1/1" in multitrack("runs").output


def test_many_runs_are_delivered_a_few_at_a_time(multitrack, make_run, notebooks):
    for name in "abcde":
        make_run(name, report_to=["notebook"])
    multitrack("sync", "--jobs", "2")
    assert {status_in(notebooks, name) for name in "abcde"} == {"finished"}


def test_a_killed_run_is_told_to_be_killed(multitrack, make_run, notebooks):
    make_run("a", end=None, report_to=["notebook"])
    multitrack("sync")
    assert status_in(notebooks, "a") == "killed"


def test_what_waits_for_a_person_is_left_and_says_why(multitrack, make_run, trouble):
    make_run("a", report_to=["notebook"])
    trouble(park=True)
    output = multitrack("sync", code=1).output
    assert output == "a notebook parked\n    the notebook is locked\n    unlock the notebook\n"
    assert "notebook parked" in multitrack("runs").output
    trouble()
    multitrack("sync")


def test_a_courier_that_dies_leaves_its_log_to_look_at(multitrack, make_run, trouble):
    folder = make_run("a", report_to=["notebook"])
    trouble(exit=True)
    assert f"see {folder.courier('notebook').log}" in multitrack("sync", code=1).output
    multitrack("sync")


def test_what_is_refused_is_said(multitrack, make_run, trouble):
    make_run("a", report_to=["notebook"])
    trouble(refuse=["train/loss"])
    assert "1 record refused: see multitrack show" in multitrack("sync").output
    assert "train/loss: no train/loss here" in multitrack("show").output


def test_an_unknown_backend_is_an_error_and_one_of_the_run_is_left(multitrack, make_run):
    make_run("a", report_to=["nobody"])
    assert "'nobody' is no known backend" in multitrack("sync", "--to", "nobody", code=2).stderr
    assert "'nobody' is no known backend" in multitrack("sync", code=1).output


def test_a_run_that_goes_on_is_delivered_as_far_as_it_is(multitrack, make_run, notebooks):
    folder = make_run("a", end=None, report_to=["notebook"])
    with FileLock(folder.writer_lock):
        assert "a notebook up to date" in multitrack("sync").output
    assert kinds_in(notebooks, "a")[-1] == "metrics"
    multitrack("sync")
    assert status_in(notebooks, "a") == "killed"


@pytest.fixture
def live_run(directory, notebooks, trouble):
    """A run that goes on, with a courier process; what is left of it at the end is dropped."""
    run = start_run(report_to="notebook", dir=directory, run_id="a")
    yield run
    run.finish(timeout=0, quiet=True)


def wait_for_phase(run, phase):
    wait_for(lambda: run.folder.courier("notebook").read_state().phase == phase)


def test_a_courier_that_waits_for_minutes_is_told_to_try_now(
    multitrack, live_run, trouble, notebooks
):
    trouble(retry=1000, after=300)
    live_run.log({"train/loss": 0.5})
    wait_for_phase(live_run, "retrying")
    pid = live_run.folder.courier("notebook").read_state().pid
    first = multitrack("sync", code=1).output
    assert f"its courier (process {pid}) was told to try at once; waiting for it" in first
    assert f"retrying\n    the pen is empty\n    its courier (process {pid}) goes on" in first
    assert live_run.folder.courier("notebook").read_state().failures > 1, "it tried again"
    trouble()
    assert "a notebook up to date\n" in multitrack("sync").output
    assert live_run.folder.courier("notebook").read_state().pid == pid
    assert kinds_in(notebooks, "a") == ["start", "metrics"]


def test_a_parked_courier_is_told_too_and_what_it_does_not_know_is_said(
    multitrack, live_run, trouble
):
    trouble(park=True)
    live_run.log({"train/loss": 0.5})
    wait_for_phase(live_run, "parked")
    assert (
        "goes on with it, with the environment that the run was"
        in multitrack("sync", code=1).output
    )
    trouble()
    assert "a notebook up to date\n" in multitrack("sync").output


def test_a_run_that_is_finishing_is_woken_and_awaited(multitrack, live_run, trouble, notebooks):
    trouble(retry=1000, after=300)
    live_run.log({"train/loss": 0.5})
    [report] = live_run.finish(timeout=0.5, quiet=True)
    assert not report.delivered
    wait_for_phase(live_run, "retrying")
    trouble()
    assert "a notebook delivered\n" in multitrack("sync").output
    assert kinds_in(notebooks, "a")[-1] == "finish"


def test_what_its_courier_leaves_is_brought(multitrack, make_run, notebooks, directory):
    """The courier that is followed goes away, as one that its trainer parked does."""
    folder = make_run("a", report_to=["notebook"])
    folder.courier("notebook").create()
    with FileLock(folder.courier("notebook").lock) as lock:
        process = subprocess.Popen([*COMMAND, "sync"], stdout=subprocess.PIPE, text=True)
        wait_for(lambda: folder.courier("notebook").rings())
        lock.release()
        output, _ = process.communicate(timeout=60)
    assert "a notebook delivered\n" in output
    assert kinds_in(notebooks, "a")[-1] == "finish"


def test_what_is_told_at_the_end_only_is_not_waited_for(multitrack, live_run, trouble):
    trouble(session_ack=True)
    live_run.log({"train/loss": 0.5})
    wait_for_phase(live_run, "waiting")
    assert "a notebook waiting\n    its courier" in multitrack("sync", code=1).output


def test_a_courier_that_does_not_answer_is_left_to_its_work(
    multitrack, make_run, notebooks, monkeypatch
):
    monkeypatch.setattr(_jobs, "ANSWER_PATIENCE", 0.5)
    folder = make_run("a", report_to=["notebook"])
    courier = folder.courier("notebook")
    courier.create()
    courier.write_state(CourierState(phase="retrying", message="no network", pid=4711))
    with FileLock(courier.lock):
        output = multitrack("sync", code=1).output
    assert "a notebook retrying" in output
    assert "no network" in output
    assert "its courier (process 4711) goes on with it" in output
    assert not notebooks.exists()


@pytest.mark.parametrize("phase", ["delivering", "waiting"])
def test_a_courier_that_is_stopped_is_not_waited_for_without_end(
    multitrack, make_run, monkeypatch, phase
):
    monkeypatch.setattr(_jobs, "SILENCE", 0.5)
    monkeypatch.setattr(_jobs, "SIGHT_PATIENCE", 0.1)
    courier = make_run("a", report_to=["notebook"]).courier("notebook")
    courier.create()
    courier.write_state(CourierState(phase=phase, pid=4711))
    with FileLock(courier.lock):
        output = multitrack("sync", code=1).output
    assert "its courier (process 4711) goes on with it" in output


def test_a_run_that_is_removed_meanwhile_costs_the_others_nothing(
    multitrack, make_run, notebooks, monkeypatch
):
    gone, stays = make_run("a", report_to=["notebook"]), make_run("b", report_to=["notebook"])
    start = _jobs.Job.start

    def start_late(job):
        if job.folder.path == gone.path:
            shutil.rmtree(gone.path)
        start(job)

    monkeypatch.setattr(_jobs.Job, "start", start_late)
    output = multitrack("sync", code=1).output
    assert "No such file" in output
    assert read_notebook(notebooks, stays.run_id)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_follows_new_runs_until_it_is_stopped(make_run, notebooks, number):
    make_run("a", report_to=["notebook"])
    process = subprocess.Popen([*COMMAND, "sync", "--watch"], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: "finish" in kinds_in(notebooks, "a"))
        make_run("b", report_to=["notebook"])
        wait_for(lambda: "finish" in kinds_in(notebooks, "b"))
        process.send_signal(number)
        output, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0
    assert output.splitlines()[0] == "Watching; Ctrl-C stops."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_stops_it_stops_the_couriers_too(make_run, notebooks, trouble, number):
    folder = make_run("a", report_to=["notebook"], losses=[1.0] * 3000)
    trouble(at=["log_metrics"], slow=0.1)
    process = subprocess.Popen([*COMMAND, "sync"], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "metrics" in kinds_in(notebooks, "a"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=90)
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert not is_locked(folder.courier("notebook").lock)
    assert "finish" not in kinds_in(notebooks, "a")


def test_a_terminal_gets_bars(make_run):
    """A pseudo terminal, since bars are drawn nowhere else."""
    make_run("a", report_to=["notebook"])
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


def test_a_copy_of_a_live_run_says_what_a_person_may_know(multitrack, notebooks, directory):
    run = start_run(dir=directory.parent / "elsewhere", report_to="notebook", delivery="later")
    copied = directory / run.id
    shutil.copytree(run.folder.path, copied)
    hint = f"If the run is dead, type: multitrack sync {copied} --dead"
    for _ in range(2):
        assert hint in multitrack("sync").output
        assert "finish" not in kinds_in(notebooks, run.id)
    said = multitrack("sync", str(copied), "--dead").output
    assert "counts as killed from now on" in said
    assert status_in(notebooks, run.id) == "killed"
    run.finish("failed", quiet=True)
    multitrack("sync", str(run.folder.path))
    assert status_in(notebooks, run.id) == "failed"


def test_nothing_is_declared_dead_that_is_not_named(multitrack):
    assert "multitrack sync RUN --dead" in multitrack("sync", "--dead", code=2).output
