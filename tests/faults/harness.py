"""Real trainers, real couriers and real clients, which the tests kill, stop and starve."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from multitrack.trackers import registry
from multitrack.trackers.folder import RunFolder, find_runs

HERE = Path(__file__).parent
TRIES = int(os.environ.get("MULTITRACK_FAULT_TRIES", "1"))
"""Kills per kind: few by default, many for the figures in docs/reliability.md."""
CHECKED = os.environ.get("MULTITRACK_FAULT_BACKENDS", "tensorboard mlflow wandb").split()
PATIENCE = 300.0
"""Seconds for what a training does; its end alone may wait 120 for delivery."""
INSTALLED = [name for name in CHECKED if registry.is_installed(name)]


def reader_of(backend):
    """Return the conformance class of a backend, which reads back what its client stored."""
    module = importlib.import_module(f"test_{backend}")  # the reader of the backend's own tests
    for name, value in vars(module).items():
        if name.startswith("Test") and getattr(value, "tracker", None) == backend:
            return value()
    raise AssertionError(f"test_{backend}.py has no conformance class")


class Training:
    """A training script in a process of its own."""

    def __init__(self, tmp_path):
        self.dir = tmp_path / "runs"
        self.cwd = tmp_path / "cwd"
        self.cwd.mkdir(exist_ok=True)
        self.returned_file = tmp_path / "returned"
        self.stop_file = tmp_path / "stop"
        self.environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        self.process = None

    def start(self, backends, steps=100_000, pause=0.001, **options):
        arguments = {"dir": str(self.dir), "backends": backends, "steps": steps, "pause": pause}
        arguments |= {"returned": str(self.returned_file), **options}
        arguments["stop"] = str(self.stop_file)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "train.py"), json.dumps(arguments)],
            cwd=self.cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def wait_for_steps(self, count):
        wait_until(lambda: len(self.returned()) >= count, PATIENCE)

    def returned(self):
        """Return the steps whose ``log`` call returned."""
        if not self.returned_file.exists():
            return []
        return [int(line) for line in self.returned_file.read_text().split("\n")[:-1]]

    def end(self):
        """Let the training end after the step that it is at, and return what it printed."""
        self.stop_file.touch()
        output, _ = self.process.communicate(timeout=PATIENCE)
        return output

    def kill(self, sent=signal.SIGKILL):
        self.process.send_signal(sent)
        self.process.communicate(timeout=PATIENCE)

    @property
    def run(self) -> RunFolder:
        [run] = find_runs(self.dir)
        return run

    def sync(self, *arguments):
        command = [sys.executable, "-m", "multitrack", "sync", str(self.run.path), *arguments]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False, timeout=300
        )

    def wait_for_delivery(self, backend, timeout=120):
        folder = self.run.courier(backend)
        wait_until(lambda: folder.read_state().phase == "done", timeout, folder.log)
        return folder.read_state()


def wait_until(condition, timeout, log=None):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            said = log.read_text()[-3000:] if log and log.exists() else ""
            raise AssertionError(f"not within {timeout} s\n{said}")
        time.sleep(0.02)
