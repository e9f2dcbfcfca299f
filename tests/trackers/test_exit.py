"""However the training ends, what was logged arrives and the run gets its outcome."""

import os
import re
import signal
import subprocess
import sys

import pytest

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history

SCRIPT = """
import os, signal, sys, time
from multitrack import start_run

def start():
    return start_run(dir=sys.argv[1], report_to="notebook", delivery=sys.argv[2])

def log(run):
    for step in range(20):
        run.log({"loss": step / 8}, step=step)

def end_on_sigterm():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

"""
ENDINGS = {
    "normal": ("log(start())", "finished", None),
    "block": ("with start() as run: log(run)", "finished", None),
    "exception": ("log(start()); raise ValueError('no data')", "failed", "ValueError: no data"),
    "exit in a block": (
        "with start() as run: log(run); sys.exit(3)",
        "failed",
        "SystemExit: 3",
    ),
    "exit": ("log(start()); sys.exit(3)", "failed", "SystemExit: 3"),
    "clean exit": ("log(start()); sys.exit(0)", "finished", None),
    "exit with a message": ("log(start()); sys.exit('no data')", "failed", "SystemExit: no data"),
    "exit of the interpreter": ("log(start()); quit(4)", "failed", "SystemExit: 4"),
    "exit raised": ("log(start()); raise SystemExit(5)", "failed", "SystemExit: 5"),
    "exit that is handled": (
        "log(start())\ntry: sys.exit(3)\nexcept SystemExit as error: assert error.code == 3",
        "finished",
        None,
    ),
    "exit of a thread": (
        "import threading; log(start()); threading.Thread(target=sys.exit, args=[3]).start()",
        "finished",
        None,
    ),
    "exit after an error": (
        "log(start())\ntry: 1 / 0\nexcept ZeroDivisionError: sys.exit(1)",
        "failed",
        "ZeroDivisionError: division by zero (exit code 1)",
    ),
    "failed, said before": (
        "run = start(); log(run); run.finish('failed', 'too hot')",
        "failed",
        "too hot",
    ),
    "interrupt": ("log(start()); raise KeyboardInterrupt", "interrupted", "KeyboardInterrupt: "),
    "handled": (
        "log(start())\ntry: 1 / 0\nexcept ZeroDivisionError: pass",
        "finished",
        None,
    ),
    "out of memory": ("log(start()); x = bytearray(1 << 62)", "failed", "MemoryError: "),
    "hard exit": ("log(start()); os._exit(3)", "killed", None),
    "kill": ("log(start()); os.kill(os.getpid(), signal.SIGKILL)", "killed", None),
    "term": ("log(start()); os.kill(os.getpid(), signal.SIGTERM)", "killed", None),
    "crash": ("log(start()); import ctypes; ctypes.string_at(0)", "killed", None),
    "term, handled": (
        "with start() as run: log(run); end_on_sigterm(); os.kill(os.getpid(), signal.SIGTERM)",
        "failed",
        "SystemExit: 1",
    ),
}


def train(tmp_path, body, mode="process", **options):
    command = [sys.executable, "-c", SCRIPT + body, str(tmp_path / "runs"), mode]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path, **options
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_outcome(tmp_path, notebook, wait_until, ending):
    body, status, error = ENDINGS[ending]
    result = train(tmp_path, body)
    (folder,) = find_runs(tmp_path / "runs")
    run = type("", (), {"folder": folder})
    courier = folder.courier("notebook")
    wait_until(lambda: courier.read_state().phase == "done", 30, courier.log)
    assert notebook.steps(run) == list(range(20)), result.stderr
    assert notebook.outcomes(run) == [status]
    history = read_history(folder)
    assert (history.status, history.error) == (status, error)
    if status != "killed":
        assert "multitrack: notebook: delivered: file://" in result.stderr


def test_every_run_is_finished(tmp_path, notebook):
    train(tmp_path, "runs = [start() for _ in range(3)]", "thread")
    runs = find_runs(tmp_path / "runs")
    assert [read_history(folder).status for folder in runs] == ["finished"] * 3
    assert len(list(notebook.dir.iterdir())) == 3


def test_run_that_cannot_be_finished_keeps_no_other_from_it(tmp_path, notebook):
    body = "runs = [start() for _ in range(3)]; runs[0]._session = runs[1]._session = None"
    result = train(tmp_path, body, "later")
    statuses = [read_history(folder).status for folder in find_runs(tmp_path / "runs")]
    assert sorted(statuses) == ["finished", "killed", "killed"]
    assert result.stderr.count("could not be finished") == 2


def test_what_failed_before_the_run_is_not_its_failure(tmp_path, notebook):
    body = "sys.last_value = ValueError('of an earlier cell')\nlog(start())"
    train(tmp_path, body, "later")
    (folder,) = find_runs(tmp_path / "runs")
    assert read_history(folder).status == "finished"


def test_end_of_the_process_is_not_held_up(tmp_path, notebook):
    """What the backend does not take is left, with the command that delivers it."""
    notebook.order(hang=30)
    environ = {**os.environ, "MULTITRACK_FINISH_TIMEOUT": "0.5"}
    result = train(tmp_path, "log(start())", "thread", env=environ)
    (folder,) = find_runs(tmp_path / "runs")
    why = r"its client has been starting for \d+ s"
    what = f"22 records pending ({why}); deliver with: multitrack sync {folder.path}"
    assert re.search(what.replace("(", r"\(").replace(")", r"\)"), result.stderr)
    assert result.returncode == 0


def test_ctrl_c_reaches_no_courier(tmp_path, notebook, wait_until):
    """A terminal sends SIGINT to the whole group of the trainer."""
    command = [
        sys.executable,
        "-c",
        SCRIPT + "log(start()); time.sleep(60)",
        str(tmp_path),
        "process",
    ]
    trainer = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    (folder,) = wait_until(lambda: find_runs(tmp_path))
    run = type("", (), {"folder": folder})
    wait_until(lambda: len(notebook.steps(run)) == 20)
    os.killpg(trainer.pid, signal.SIGINT)
    _, said = trainer.communicate(timeout=60)
    assert "delivered" in said
    assert notebook.outcomes(run) == ["interrupted"]
