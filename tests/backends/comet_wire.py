"""The calls of Comet's client, on the loopback interface: it keeps what the client sends.

It is the wire only, and what its client shows the server to refuse: no server of Comet's runs here.
"""

import gzip
import json
from contextlib import contextmanager
from email.parser import BytesParser
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from loopback import Handler, listening

EXISTS = 90_999
"""The client's number for an experiment that is there already."""
NO_SUCH_KEY = 90_212
NO_SUCH_EXPERIMENT = 90_210

BEAT = {"is_alive_beat_duration_millis": 10_000, "gpu_monitor_interval_millis": 60_000}
LARGEST_FILE = 1 << 20
"""Bytes of a file that it says it takes."""
FREE = {"/clientlib/health/ping", "/clientlib/isAlive/ver"}
"""What is answered whoever asks."""
WRITES = {
    "/clientlib/asset/3d-limits",
    "/clientlib/asset/upload",
    "/clientlib/visualizations/upload",
    "/clientlib/batch/logger/experiment/metric",
    "/clientlib/batch/logger/experiment/parameter",
    "/clientlib/notification/experiment",
    "/clientlib/tags/add-tags-to-experiment",
    "/api/rest/v2/write/experiment/log-other",
    "/api/rest/v2/write/experiment/update-status",
}


class Wire:
    """What the client sent to one server.

    Attributes:
        url: the address for ``COMET_URL_OVERRIDE``.
        knows: keys of users, or None if any will do.
        outage: None, ``"is down"`` where it answers so, or ``"is gone"`` where it does not answer.
        unanswered: paths of the calls that came meanwhile.
        largest_file: bytes of a file that it does take.
        experiments: keys of the experiments that were made.
        calls: path and JSON body of each call that was not refused.
        uploads: form fields of each upload.
    """

    def __init__(self):
        self.knows = None
        self.outage = None
        self.unanswered = []
        self.largest_file = LARGEST_FILE
        self.experiments = []
        self.calls = []
        self.uploads = []

    def answer(self, path, key, body):
        """Return the status and the answer to a call.

        Args:
            path: with its query.
            key: of the user, in the headers.
            body: from JSON; for an upload, its form fields.
        """
        place = urlsplit(path)
        status, answer = self._answer(place.path, parse_qs(place.query), key, body)
        if status == HTTPStatus.OK:
            self.calls.append((path, body))
        return status, answer

    def _answer(self, plain, query, key, body):
        if plain in FREE:
            return 200, {"version": "4.0.0"}
        if plain.endswith(("add/run", "get/run")):
            return self._run(plain, body)
        if not self._lets_in(key):
            return 401, {"msg": "invalid API key"}
        return self._of_experiment(plain, query, body)

    def _lets_in(self, key):
        return bool(key) and (self.knows is None or key in self.knows)

    def _run(self, path, body):
        if not self._lets_in(body["apiKey"]):
            return 400, {"sdk_error_code": NO_SUCH_KEY, "msg": "no such key"}
        if path.endswith("get/run"):
            if body["previousExperiment"] not in self.experiments:
                return 400, {"sdk_error_code": NO_SUCH_EXPERIMENT, "msg": "no such experiment"}
        elif body["experimentKey"] not in self.experiments:
            self.experiments.append(body["experimentKey"])
        elif not body["getOrCreateEnabled"]:
            return 400, {"sdk_error_code": EXISTS, "msg": "the experiment exists"}
        limits = ("upload_file_size_limit_in_mb", "asset_upload_file_size_limit_in_mb")
        about = {"runId": "r", "project_id": "p", "focusUrl": f"{self.url}w/p/", "name": "n"}
        return 200, about | dict.fromkeys(limits, LARGEST_FILE >> 20)

    def _of_experiment(self, path, query, body):
        keys = query.get("experimentKey") or query.get("experimentId")
        key = keys[0] if keys else body.get("experimentKey") or body.get("experiment_key")
        if key not in self.experiments:
            return (404 if path.endswith("/metadata") else 400), {"msg": "no such experiment"}
        if path.endswith("experiment/metadata"):
            return 200, {"experimentKey": key, "workspaceName": "w", "projectName": "p"}
        if path.endswith("rest/v2/experiment/tags"):
            return 200, {"tags": []}
        if path.endswith("status-report/update"):
            return 200, BEAT
        if path.endswith("/upload"):
            return self._upload(path, query, body)
        return (200, {}) if path in WRITES else (404, {"msg": f"there is no {path}"})

    def _upload(self, path, query, fields):
        if len(fields["file"]) > self.largest_file:
            return 413, {"msg": "the file is too large"}
        self.uploads.append((path, query, fields))
        return 200, {"assetId": query["assetId"][0]}

    def bodies(self, end):
        """Return the bodies of the calls whose path ends so, in order."""
        return [body for path, body in self.calls if path.endswith(end)]


@contextmanager
def serving():
    """Serve on the loopback interface."""
    wire = Wire()

    class Comet(Handler):
        def do_GET(self):
            self.tell({})

        def do_POST(self):
            content = self.content()
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            kind = self.headers.get("Content-Type", "")
            self.tell(fields(kind, content) if "multipart" in kind else json.loads(content))

        def tell(self, body):
            """Answer, unless there is an outage."""
            if wire.outage:
                wire.unanswered.append(self.path)
            if wire.outage == "is gone":
                self.close_connection = True
            elif wire.outage:
                self.reply_json(503, {})
            else:
                self.reply_json(*wire.answer(self.path, self.headers["Authorization"], body))

    with listening(Comet) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}/clientlib/"
        yield wire


def fields(kind, content):
    """Return the fields of a form."""
    message = BytesParser().parsebytes(f"Content-Type: {kind}\n\n".encode() + content)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.get_payload()
    }
