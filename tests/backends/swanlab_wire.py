"""The calls of SwanLab's client, on the loopback interface: it keeps what the client sends.

It is the wire only, and what its client shows the server to refuse: no server runs here.
"""

import json
import re
from contextlib import contextmanager

from loopback import Handler, listening

SESSION = "sid=session"
PROJECT = {"cuid": "project", "version": 1, "_count": {"experiments": 0}}
NOT_FOUND = 404, {"code": "not_found", "message": "not found"}
OF_PROJECT, OF_RUN = "(?P<project>[^/]+)", "(?P<run>[^/]+)"
CALLS = {
    ("GET", f"/project/me/{OF_PROJECT}"): "get_project",
    ("POST", "/projects/me"): "add_project",
    ("POST", f"/project/me/{OF_PROJECT}/experiment"): "start_run",
    ("PUT", f"/project/me/{OF_PROJECT}/runs/{OF_RUN}/(profile|state)"): "change_run",
    ("POST", f"/projects/me/{OF_PROJECT}/series"): "add_columns",
    ("POST", "/house/metrics"): "add_metrics",
    ("GET", f"/house/metrics/summaries/project/{OF_RUN}"): "sum_up",
    ("POST", f"/house/experiments/{OF_RUN}/heartbeat"): "take",
    ("POST", "/resources/presigned/put"): "sign",
}


class Wire:
    """What the client sent to one server.

    Attributes:
        url: the address for ``SWANLAB_API_HOST``.
        knows: keys of users, or None if any will do.
        takes_session: whether who has logged in may go on.
        cannot: end of the paths that are answered by an error of the server.
        projects: names of the projects.
        runs: state, config and number of starts of the runs, by id.
        columns: what was sent of the columns, in order.
        metrics: what was sent of one kind, in order, by kind.
        files: contents, by path.
    """

    def __init__(self):
        self.knows = None
        self.takes_session = True
        self.cannot = None
        self.projects = []
        self.runs = {}
        self.columns = []
        self.metrics = {"scalar": [], "media": [], "log": []}
        self.files = {}

    def answer(self, method, path, headers, body):
        """Return the status and the answer to a call."""
        if self.cannot and path.endswith(self.cannot):
            return 500, {"code": "failed", "message": "the server failed"}
        if path == "/login/api_key":
            return self._session(headers["Authorization"])
        if not self.takes_session or SESSION not in (headers["Cookie"] or ""):
            return 401, {"code": "unauthorized", "message": "log in first"}
        for (verb, pattern), name in CALLS.items():
            if verb == method and (found := re.fullmatch(pattern, path)):
                return self._about(name, found.groupdict(), body)
        return NOT_FOUND

    def _about(self, name, place, body):
        """Answer a call about a project and a run, if they are there."""
        run = place.get("run") or body.get("experimentId")
        if run and run not in self.runs:
            return NOT_FOUND
        if "project" in place and place["project"] not in self.projects:
            return NOT_FOUND
        return getattr(self, name)(body, **place)

    def _session(self, key):
        if not key or (self.knows is not None and key not in self.knows):
            return 401, {"code": "unauthorized", "message": "no such key"}
        about = {"sid": "session", "expiredAt": "2099-01-01T00:00:00.000Z"}
        return 200, about | {"userInfo": {"username": "me"}}

    def get_project(self, _, project):
        about = {"name": project, "path": f"/me/{project}", "group": {"username": "me"}}
        return 200, PROJECT | about

    def add_project(self, body):
        self.projects.append(body["name"])
        return 201, {}

    def start_run(self, body, **_):
        is_new = body["cuid"] not in self.runs
        run = self.runs.setdefault(body["cuid"], {"starts": 0})
        run |= {"starts": run["starts"] + 1, "name": body["name"], "labels": body.get("labels")}
        about = {"cuid": body["cuid"], "slug": body["cuid"], "name": body["name"]}
        return (201 if is_new else 200), about | {"createdAt": body["createdAt"]}

    def change_run(self, body, run, **_):
        self.runs[run] |= body
        return self.take(body)

    def add_columns(self, body, **_):
        self.columns += body["series"]
        return 201, {}

    def add_metrics(self, body):
        self.metrics[body["type"]] += body["metrics"]
        return 201, {}

    def sum_up(self, *_, **__):
        return 200, {"log": [], "media": [], "scalar": []}

    def sign(self, body):
        return 200, {"urls": [f"{self.url}/files/{path}" for path in body["paths"]]}

    def take(self, *_, **__):
        return 200, {}


@contextmanager
def serving():
    """Serve on the loopback interface."""
    wire = Wire()

    class SwanLab(Handler):
        def do_GET(self):
            self.tell()

        def do_POST(self):
            self.tell()

        def do_PUT(self):
            self.tell()

        def tell(self):
            content, path = self.content(), self.path.partition("?")[0]
            if path.startswith("/files/"):
                wire.files[path.removeprefix("/files/")] = content
                self.reply(200, b"", {})
                return
            body = json.loads(content or b"{}")
            call = self.command, path.removeprefix("/api")
            self.reply_json(*wire.answer(*call, self.headers, body))

    with listening(SwanLab) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}"
        yield wire
