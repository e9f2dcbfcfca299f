"""A real ``mlflow server`` on loopback, and a stand-in that only answers with a status."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from loopback import Handler, listening

STARTED_WITHIN = 90.0


class Server:
    """``mlflow server`` over a database and a folder of artifacts, which outlive it."""

    def __init__(self, folder, database):
        self.folder = folder
        self.database = database
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{self.database}"),
                *("--artifacts-destination", str(self.folder / "artifacts")),
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=(self.folder / "server.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()

    def kill(self):
        """End the server and its workers at once, as a crash does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _wait(self):
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-2000:])


@contextlib.contextmanager
def answering(status, body=b"", headers=(), delay=0.0):
    """Listen where a server would, and answer every call alike: this is no MLflow."""

    class Alike(Handler):
        def answer(self):
            self.content()
            time.sleep(delay)
            self.reply(status, body, {**dict(headers), "X-Stand-In": "true"})

        do_GET = do_POST = do_PUT = do_PATCH = answer

    with listening(Alike) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
