"""`multitrack view` in a shell."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from viewing import ADDRESS, PATIENCE, Viewer, wait_for

MISSING = """
import sys
sys.modules["uvicorn"] = None
from multitrack.cli import app
app()
"""


def test_control_c_ends_it_quietly(serve, tmp_path):
    viewer = serve(tmp_path)
    told = viewer.get("/api/runs").json
    assert (told["dir"], told["runs"], told["reading"]) == (str(tmp_path), [], False)
    viewer.process.send_signal(signal.SIGINT)
    assert viewer.process.wait(PATIENCE) == 0


def test_it_shows_the_directory_of_the_environment(tmp_path):
    command = [sys.executable, "-m", "multitrack", "view", "--port", "0"]
    environment = {**os.environ, "MULTITRACK_DIR": str(tmp_path / "a"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        viewer = Viewer(tmp_path, process)
        assert viewer.get("/api/runs").json["dir"] == str(tmp_path / "a")
        process.terminate()


def test_it_listens_on_the_loopback_alone(viewer):
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", viewer.port), timeout=PATIENCE)


def test_a_port_that_is_taken_is_told_of(viewer, tmp_path):
    command = [sys.executable, "-m", "multitrack", "view", str(tmp_path)]
    command += ["--port", str(viewer.port)]
    taken = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert taken.returncode == 2
    said = f"Error: port {viewer.port} is taken: name another with --port, or 0 for any"
    assert said in taken.stderr


def test_without_the_extra_it_says_how_to_get_it(tmp_path):
    command = [sys.executable, "-c", MISSING, "view", str(tmp_path)]
    missing = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert missing.returncode == 2
    assert missing.stderr == (
        'Error: multitrack view needs uvicorn: pip install "multitrack[view]"\n'
    )


def test_a_browser_is_opened_with_an_address_that_is_good_once(tmp_path):
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > "$0.part"\nmv "$0.part" "$0.opened"\n')
    browser.chmod(0o700)
    command = [sys.executable, "-m", "multitrack", "view", str(tmp_path), "--port", "0", "--open"]
    environment = {**os.environ, "BROWSER": f"{browser} %s", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        viewer = Viewer(tmp_path, process)
        viewer.get("/api/runs")
        wait_for((tmp_path / "browser.opened").exists)
        opened = ADDRESS.search((tmp_path / "browser.opened").read_text())
        assert opened["token"] != viewer.token
        target = f"/?token={opened['token']}"
        assert [viewer.ask(target).status for _ in range(2)] == [303, 401]
        assert viewer.ask(f"/?token={viewer.token}").status == 303
        process.terminate()
