"""Couriers in processes of their own: how they end, are told to, are killed and go on."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from multitrack.trackers.locks import FileLock, is_locked
from multitrack.trackers.priority import NICENESS
from multitrack.trackers.process import BUSY, DELIVERED, LEFT, spawn

OWN_GROUP = Path("/proc/self/autogroup")
"""Linux' scheduling group of this session."""


@pytest.fixture
def courier():
    """Start courier processes, which do not outlive the test."""
    started = []

    def start(run, **options):
        started.append(spawn(run.folder, "notebook", **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def run(start, notebook):
    return start(report_to="notebook")


def log(run, count, first=0):
    for step in range(first, first + count):
        run.log({"loss": step / 8}, step=step)


def state_of(run):
    return run.folder.courier("notebook").read_state()


def log_of(run):
    return run.folder.courier("notebook").log


def end(run, status="finished"):
    run.finish(status, quiet=True)


# -- how it ends ---------------------------------------------------------------------------------


def test_ended_run_is_delivered(run, notebook, courier):
    log(run, 10)
    end(run, "failed")
    assert courier(run).wait(60) == DELIVERED
    assert (notebook.steps(run), notebook.outcomes(run)) == (list(range(10)), ["failed"])
    assert not log_of(run).read_text()
    assert log_of(run).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("orders", [{"park": True}, {"retry": 10**6, "after": 10**6}])
def test_what_does_not_go_through_is_left(run, notebook, courier, orders):
    notebook.order(**orders)
    end(run)
    assert courier(run).wait(60) == LEFT


def test_run_that_goes_on_is_left_though_all_of_it_is_delivered(run, notebook, courier):
    log(run, 10)
    assert courier(run).wait(60) == LEFT
    assert (notebook.steps(run), notebook.outcomes(run)) == (list(range(10)), [])


def test_run_that_goes_on_is_watched_to_its_end(run, notebook, courier, wait_until):
    process = courier(run, watch=True)
    for step in range(3):
        log(run, 1, first=step)
        wait_until(lambda step=step: notebook.steps(run) == list(range(step + 1)))
    assert process.poll() is None
    end(run)
    assert process.wait(60) == DELIVERED
    assert notebook.outcomes(run) == ["finished"]


def test_two_at_once(run, notebook, courier, wait_until):
    notebook.order(slow=1, at=["start"])
    log(run, 3)
    end(run)
    first = courier(run)
    wait_until(lambda: is_locked(run.folder.courier("notebook").lock))
    first.send_signal(signal.SIGSTOP)  # on a busy machine it could be done before the second looks
    assert courier(run).wait(60) == BUSY
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == DELIVERED
    assert notebook.steps(run) == [0, 1, 2]


def test_it_is_nice_to_the_trainer(run, notebook, courier, wait_until):
    process = courier(run, watch=True)
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS)
    if OWN_GROUP.exists():  # where there are groups, it is their niceness that counts
        group = Path("/proc", str(process.pid), "autogroup")
        wait_until(lambda: group.read_text().endswith(f"nice {NICENESS}\n"))


HELPED = """
import subprocess, time
from multitrack.trackers.priority import put_helpers_last
helper = subprocess.Popen(["sleep", "60"], start_new_session=True)
group = f"/proc/{helper.pid}/autogroup"
for _ in range(100):
    put_helpers_last()
    if open(group).read().endswith(" 19\\n"):
        print("last")
        break
    time.sleep(0.1)
helper.kill()
"""


@pytest.mark.skipif(not OWN_GROUP.exists(), reason="there are no scheduling groups here")
def test_a_helper_of_the_client_is_nice_too():
    output = subprocess.run([sys.executable, "-c", HELPED], capture_output=True, check=True)
    assert output.stdout == b"last\n"


@pytest.mark.skipif(not OWN_GROUP.exists(), reason="there are no scheduling groups here")
def test_the_group_of_others_is_left_alone():
    """Else a courier that is started by hand would make a whole terminal wait for others."""
    before = OWN_GROUP.read_text()
    code = "from multitrack.trackers.priority import put_last; import os; put_last(os.getpid())"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert OWN_GROUP.read_text() == before


QUICK = """
import sys
from multitrack.trackers import courier, process
courier.SILENCE, process.SILENCE, process.HANG_CHECK = 0.5, 0.5, 0.05
sys.exit(process.main(sys.argv[1:]))
"""


CHATTY = """
import sys
from multitrack.trackers import process
process.MOST_LOG, process.HANG_CHECK = 10_000, 0.05
print("x" * 20_000, flush=True)
sys.exit(process.main(sys.argv[1:]))
"""


def test_a_log_that_has_grown_large_begins_again(run, notebook, wait_until):
    run.folder.courier("notebook").create()
    log = log_of(run)
    with log.open("ab") as output:
        command = [sys.executable, "-c", CHATTY, str(run.folder.path), "notebook", "--watch"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: b"begun again" in log.read_bytes())
        assert log.stat().st_size < 10_000
    finally:
        process.kill()
        process.wait()


def test_client_that_hangs_ends_the_process_and_counts_as_a_crash(run, notebook):
    notebook.order(hang=60, at=["log_metrics"])
    log(run, 3)
    end(run)
    command = [sys.executable, "-c", QUICK, str(run.folder.path), "notebook"]
    assert subprocess.run(command, check=False, timeout=50).returncode == LEFT
    state = state_of(run)
    assert state.message == "the client did not answer within 0.5 seconds"
    assert state.attempt.tries == 1


# -- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [{}, {"park": True}, {"retry": 10**6, "after": 10**6}])
def test_sigterm_stops_a_watching_courier_at_once(run, notebook, courier, wait_until, orders):
    notebook.order(**orders)
    log(run, 3)
    process = courier(run, watch=True)
    wait_until(lambda: state_of(run).phase in {"waiting", "parked", "retrying"}, 30, log_of(run))
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.terminate()
    assert process.wait(30) == LEFT
    assert time.monotonic() - started < 10
    assert state_of(run).attempt is None


def test_sigterm_lets_a_trainers_courier_tell_the_outcome(run, notebook, courier, wait_until):
    reader, writer = os.pipe()
    process = courier(run, pipe=reader)
    log(run, 3)
    wait_until(lambda: state_of(run).phase == "waiting")
    process.terminate()
    log(run, 3, first=3)
    wait_until(lambda: notebook.steps(run) == list(range(6)))
    assert process.poll() is None
    run._session.close()
    os.close(writer)
    assert process.wait(30) == DELIVERED
    assert notebook.outcomes(run) == ["killed"]
    os.close(reader)


# -- settings and surroundings -------------------------------------------------------------------


def test_later_courier_has_the_settings_of_the_start(start, notebook, courier, monkeypatch):
    run = start(report_to="notebook", settings={"notebook": {"paper": "squared"}})
    end(run)
    for name in ("NOTEBOOK_DIR", "NOTEBOOK_TROUBLE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NOTEBOOK_PAPER", "plain")
    assert courier(run).wait(60) == DELIVERED
    (line,) = notebook.lines(run, "start")
    assert line["paper"] == "squared", "what was given in code wins over the environment"


def test_secret_reaches_the_courier_and_no_file(start, notebook):
    settings = {"notebook": {"token": "given-secret"}}
    run = start(report_to="notebook", settings=settings, delivery="process")
    log(run, 1)
    run.finish(quiet=True)
    seals = [line["seal"] for line in notebook.lines(run, "start")]
    assert seals == [hashlib.sha256(b"given-secret").hexdigest()]
    files = [path for path in run.folder.path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if b"given-secret" in path.read_bytes()]


def test_imports_nothing_from_where_the_trainer_works(
    start, notebook, tmp_path, monkeypatch, courier
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from the working directory')")
    run = start(report_to="notebook")
    end(run)
    assert courier(run).wait(60) == DELIVERED, log_of(run).read_text()


def test_interpreter_of_its_own(run, notebook, courier, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "{tmp_path}/used"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("MULTITRACK_PYTHON_NOTEBOOK", str(python))
    end(run)
    assert courier(run).wait(60) == DELIVERED
    assert (tmp_path / "used").exists()


# -- crashes and kills ---------------------------------------------------------------------------


def test_record_that_crashes_the_client_is_set_aside_and_the_rest_arrives(run, notebook, courier):
    notebook.order(crash_on="poison")
    log(run, 5)
    run.log({"poison": 1.0}, step=5)
    log(run, 5, first=6)
    end(run)
    codes = [courier(run).wait(60) for _ in range(5)]
    assert codes == [9, 9, 9, 9, DELIVERED]
    assert notebook.steps(run) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    (refusal,) = run.folder.courier("notebook").read_refused()
    assert refusal.reason == "its delivery crashed the courier 3 times"


def test_client_that_crashes_at_its_start_costs_no_record(run, notebook, courier):
    log(run, 3)
    end(run)
    notebook.order(crash_on="start")
    assert [courier(run).wait(60) for _ in range(5)] == [9] * 5
    notebook.orders.unlink()
    assert courier(run).wait(60) == DELIVERED
    assert notebook.steps(run) == [0, 1, 2]
    assert state_of(run).refused == 0


def test_death_in_the_middle_of_a_batch_repeats_that_batch_at_most(run, notebook, courier):
    notebook.order(exit=True)
    log(run, 150)
    end(run)
    assert [courier(run).wait(60), courier(run).wait(60)] == [9, DELIVERED]
    steps = notebook.steps(run)
    assert sorted(set(steps)) == list(range(150))
    assert steps[:50] == steps[50:100] == list(range(50)), "half of the first call came twice"
    assert len(steps) == 200


def test_killed_at_any_moment_it_loses_nothing(run, notebook, courier, wait_until):
    notebook.order(slow=0.05, at=["log_metrics"])
    log(run, 300)
    end(run)
    for more in (100, 5):
        stored = len(notebook.steps(run)) + more
        process = courier(run)
        wait_until(lambda stored=stored: len(notebook.steps(run)) >= stored, 120)
        process.kill()
        process.wait()
    notebook.orders.unlink()
    assert courier(run).wait(60) == DELIVERED
    steps = notebook.steps(run)
    assert sorted(set(steps)) == list(range(300))
    assert len(steps) <= 300 + 300 + 1, "one batch, and then one record, may come twice"
    assert notebook.outcomes(run) == ["finished"]


def test_unacknowledged_session_is_superseded(run, notebook, courier, wait_until):
    notebook.order(session_ack=True, slow=0.1, at=["log_metrics"])
    log(run, 300)
    end(run)
    process = courier(run)
    draft = notebook.dir / run.id / "draft.jsonl"
    wait_until(lambda: draft.exists() and draft.stat().st_size > 10_000)
    process.kill()
    process.wait()
    assert state_of(run).offset == 0
    notebook.order(session_ack=True)
    assert courier(run).wait(60) == DELIVERED
    assert notebook.steps(run) == list(range(300))


def test_lock_of_a_killed_courier_is_free(run, notebook, courier, wait_until):
    process = courier(run, watch=True)
    lock = run.folder.courier("notebook").lock
    wait_until(lambda: is_locked(lock))
    process.kill()
    process.wait()
    with FileLock(lock, timeout=5):
        pass
