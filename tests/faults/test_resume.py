"""Training that is killed and resumed from its checkpoint goes on with the same runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import INSTALLED, reader_of, wait_until

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import glance, read_history

pytest.importorskip("sklearn", reason="the example trains on scikit-learn's digits")

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_digits.py"


def start(training, *arguments):
    command = [sys.executable, str(EXAMPLE), "--output-dir", "out", "--max-steps", "160"]
    return subprocess.Popen(
        [*command, "--report-to", *INSTALLED, *arguments],
        cwd=training.cwd,
        env={**training.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_killed_training_goes_on_with_its_runs(training):
    training.dir = training.cwd / "out" / "multitrack"
    process = start(training)
    wait_until(lambda: find_runs(training.dir), 90)
    wait_until(lambda: (glance(training.run).last_step or 0) >= 60, 90)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for backend in INSTALLED:
        assert training.wait_for_delivery(backend).told == "killed"
    attached = {b: training.run.courier(b).read_state().attachment.id for b in INSTALLED}

    assert start(training, "--resume").wait(timeout=180) == 0
    history = read_history(training.run)
    assert history.status == "finished"
    assert len(history.resumed) >= 1
    for backend in INSTALLED:
        state = training.wait_for_delivery(backend)
        reader = reader_of(backend)
        stored = reader.read(training.run, state)
        assert state.attachment.id == attached[backend], "the same run at the backend"
        steps = {point.step for point in stored.metrics["train/loss"]}
        assert steps == set(range(10, 161, 10)), backend
        assert stored.status == "finished"
