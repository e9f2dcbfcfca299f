"""The server as users start it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from viewing import PATIENCE, Viewer

import multitrack


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Viewer]]:
    """Start servers, and end them with the session."""
    processes = []

    def start(directory: Path, *options: str) -> Viewer:
        command = [sys.executable, "-m", "multitrack", "view", str(directory), "--no-open"]
        process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        processes.append(process)
        return Viewer(directory, process)

    yield start
    for process in processes:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()


@pytest.fixture(scope="session")
def viewer(serve: Callable[..., Viewer], tmp_path_factory: pytest.TempPathFactory) -> Viewer:
    """A server over a directory in which each test makes its own runs."""
    return serve(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def start(viewer: Viewer) -> Iterator[Callable[..., multitrack.Run]]:
    """Start runs in the server's directory; those still going on end with the test."""
    runs = []

    def begin(**given: Any) -> multitrack.Run:
        options = {"report_to": [], "delivery": "later", "dir": viewer.directory, **given}
        runs.append(multitrack.start_run("digits", **options))
        return runs[-1]

    yield begin
    for run in runs:
        run.finish(quiet=True)
