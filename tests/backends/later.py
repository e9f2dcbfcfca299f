"""Runs that a courier process takes to one backend after they were recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen
from typing import Any

from multitrack.trackers.folder import CourierFolder
from multitrack.trackers.process import spawn
from multitrack.trackers.run import Run
from multitrack.trackers.start import start_run
from multitrack.trackers.testing.deliver import environment

PATIENCE = 180.0
"""Seconds in which a courier does what is waited for, on a machine with much to do."""


class Later:
    """What the tests of one backend do with such runs, each in environment variables of its own."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def record(self, tmp_path: Path, environ: Mapping[str, str], **arguments: Any) -> Run:
        """Record a run that is delivered later."""
        arguments = {"report_to": self.backend, **arguments}
        with environment(environ):
            return start_run(dir=tmp_path / "multitrack", delivery="later", **arguments)

    def deliver(
        self, run: Run, environ: Mapping[str, str], status: Any = "finished"
    ) -> tuple[int, CourierFolder]:
        """Deliver by a courier process; return its exit code and what it knows."""
        run.finish(status, quiet=True)
        with environment(environ):
            code = spawn(run.folder, self.backend).wait(PATIENCE)
        return code, run.folder.courier(self.backend)

    def follow(self, run: Run, environ: Mapping[str, str], phase: str) -> Popen[bytes]:
        """Start a courier that follows the run; return it when it is in a phase."""
        with environment(environ):
            courier = spawn(run.folder, self.backend, watch=True)
        self.await_phase(run, phase)
        return courier

    def await_phase(self, run: Run, phase: str) -> None:
        """Wait until the run's courier is in a phase."""
        folder = run.folder.courier(self.backend)
        deadline = time.monotonic() + PATIENCE
        while folder.read_state().phase != phase:
            assert time.monotonic() < deadline, f"not {phase}: {folder.read_state()}"
            time.sleep(0.1)
