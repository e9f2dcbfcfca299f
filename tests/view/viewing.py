"""Asking a running ``multitrack view``."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import multitrack

PATIENCE = 60.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:(?P<port>\d+)/\?token=(?P<token>\S+)")


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """Its content, decoded."""
        return json.loads(self.content)


class Viewer:
    """A running ``multitrack view``."""

    def __init__(self, directory: Path, process: subprocess.Popen[str]) -> None:
        self.directory = directory
        self.process = process
        found = next(filter(None, map(ADDRESS.search, process.stdout)))
        self.port, self.token = int(found["port"]), found["token"]
        self.url = found[0]

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request with these headers alone, and Host unless one is given."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": f"127.0.0.1:{self.port}", **headers}.items():
                if value:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, query: Any = (), **headers: str) -> Answer:
        """Ask with the token, as the page does."""
        target = f"{quote(path)}?{urlencode(query)}" if query else quote(path)
        return self.ask(target, Authorization=f"Bearer {self.token}", **headers)

    def run(self, run: multitrack.Run) -> Any:
        """Return all about a run."""
        return self.get(f"/api/runs/{run.id}").json

    def row(self, run_id: str) -> Any:
        """Return a run's row in the table."""
        return next(row for row in self.get("/api/runs").json["runs"] if row["id"] == run_id)

    def curve(self, run: multitrack.Run, name: str, **query: Any) -> Any:
        """Return one curve of a run."""
        [curve] = self.get("/api/series", {"run": run.id, "name": name, **query}).json["series"]
        assert (curve["run"], curve["name"]) == (run.id, name)
        return curve


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return what a condition becomes, once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)
    return found
