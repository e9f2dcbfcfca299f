"""What the hosts' tests share: what TensorBoard stored, what the journal says, and real ranks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history

SHARED = Path(__file__).parents[1] / "shared"


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    output: str


@pytest.fixture
def options(tmp_path):
    """Return the options of a run that TensorBoard stores."""
    settings = {"tensorboard": {"logging_dir": tmp_path / "tensorboard"}}
    return {"report_to": "tensorboard", "dir": tmp_path / "runs", "settings": settings}


@pytest.fixture
def histories(tmp_path):
    """Return what the journals of all runs say."""
    return lambda: [read_history(run) for run in find_runs(tmp_path / "runs")]


@pytest.fixture
def stored(tmp_path):
    """Return what TensorBoard's own reader finds: the points of each scalar, and the tags."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )

    def read():
        folder = str(tmp_path / "tensorboard")
        events = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0})
        events.Reload()
        tags = events.Tags()
        points = {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in tags["scalars"]
        }
        return points, tags

    return read


@pytest.fixture
def program(tmp_path):
    """Return a function that runs a Python program, alone or as two ranks."""

    def run(code, *launcher):
        script = tmp_path / "program.py"
        script.write_text(code)
        path = os.pathsep.join([str(SHARED), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RUN_DIR": str(tmp_path)}
        environment["PYTHONPATH"] = path
        ended = subprocess.run(
            [sys.executable, *launcher, str(script)],
            env=environment | {"MULTITRACK_DIR": str(tmp_path / "runs")},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=240,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout)

    return run


@pytest.fixture
def torchrun():
    """Return the launcher of two ranks that gloo joins."""
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0")
    two = ("--nproc-per-node", "2", "--local-addr", "127.0.0.1")
    return ("-m", "torch.distributed.run", *two, *rendezvous)
