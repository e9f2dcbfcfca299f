"""The calls of Comet's client, on the loopback interface: it keeps what the client sends."""

import gzip
import json
from contextlib import contextmanager
from email.parser import BytesParser

from loopback import Handler, listening

EXISTS = 90_999
"""The client's number for an experiment that is there already."""
NO_SUCH_KEY = 90_212

BEAT = {"is_alive_beat_duration_millis": 10_000, "gpu_monitor_interval_millis": 60_000}


class Wire:
    """What the client sent to one server.

    Attributes:
        url: the address for ``COMET_URL_OVERRIDE``.
        knows: keys of users, or None if any will do.
        experiments: keys of the experiments that were made.
        calls: path and JSON body of each call.
        uploads: form fields of each upload.
    """

    def __init__(self):
        self.knows = None
        self.is_down = False
        self.experiments = []
        self.calls = []
        self.uploads = []

    def answer(self, path, body):
        """Return the status and the answer to a call."""
        if self.is_down:
            return 503, {}
        self.calls.append((path, body))
        if path.endswith(("add/run", "get/run")):
            return self._run(body)
        if "experiment/metadata" in path:
            return self._metadata(path.partition("experimentKey=")[2])
        return 200, BEAT if path.endswith("status-report/update") else {}

    def _run(self, body):
        if not body["apiKey"] or (self.knows is not None and body["apiKey"] not in self.knows):
            return 400, {"sdk_error_code": NO_SUCH_KEY, "msg": "no such key"}
        key = body.get("experimentKey") or body["previousExperiment"]
        if key in self.experiments and body.get("getOrCreateEnabled") is False:
            return 400, {"sdk_error_code": EXISTS}
        self.experiments.append(key)
        return 200, {"runId": "r", "project_id": "p", "focusUrl": f"{self.url}w/p/", "name": "n"}

    def _metadata(self, key):
        if key not in self.experiments:
            return 404, {"msg": "no such experiment"}
        return 200, {"experimentKey": key, "workspaceName": "w", "projectName": "p"}

    def bodies(self, end):
        """Return the bodies of the calls whose path ends so, in order."""
        return [body for path, body in self.calls if path.endswith(end)]


@contextmanager
def serving():
    """Serve on the loopback interface."""
    wire = Wire()

    class Comet(Handler):
        def do_GET(self):
            self.reply_json(*wire.answer(self.path, {}))

        def do_POST(self):
            content = self.content()
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/"):
                message = BytesParser().parsebytes(f"Content-Type: {kind}\n\n".encode() + content)
                fields = {
                    part.get_param("name", header="content-disposition"): part.get_payload(
                        decode=True
                    )
                    for part in message.get_payload()
                }
                wire.uploads.append((self.path, fields))
                self.reply_json(*wire.answer(self.path, {}))
            else:
                self.reply_json(*wire.answer(self.path, json.loads(content or b"{}")))

    with listening(Comet) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}/clientlib/"
        yield wire
