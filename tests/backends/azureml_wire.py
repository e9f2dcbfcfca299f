"""The calls of Azure ML's client, on the loopback interface: it keeps what the client sends.

The service's own calls come by plain HTTP. Files go to a host of Azure's, by TLS: the client gets
there through a proxy, which is this server as well.
"""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import time
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import Handler, listening

HOST = "account.blob.core.localhost"
PARTS = (
    *("history", "experimentation", "artifact", "metrics", "hyperdrive", "modelmanagement"),
    *("api", "modelregistry", "run-history", "catalog", "pipelines", "execution", "studio"),
    *("dataset", "mlflow", "assets"),
)
EVENTS = {
    "Microsoft.MachineLearning.Run.Start": "Running",
    "Microsoft.MachineLearning.Run.Completed": "Completed",
    "Microsoft.MachineLearning.Run.Failed": "Failed",
}


class Wire:
    """What the client sent to one service.

    Attributes:
        url: address of the service.
        runs: by id, as the service shows them.
        points: what was sent of each metric, in order, by the run's id.
        files: content by path, by the run's container.
        is_down, is_closed: answer as a service that is away, or that no longer takes the token.
        refuses: names of metrics that are not taken.
    """

    def __init__(self):
        self.runs, self.points, self.files = {}, {}, {}
        self.is_down = self.is_closed = False
        self.refuses = set()

    def patch(self, _, body, run_id):
        """Make or change a run; its properties never change."""
        fresh = {
            "runId": run_id,
            "rootRunId": run_id,
            "runNumber": 1,
            "status": "Running",
            "experimentId": "eid",
            "dataContainerId": f"dcid.{run_id}",
            "tags": {},
            "properties": {},
            "runType": "azureml.scriptrun",
        }
        run = self.runs.setdefault(run_id, fresh)
        for key, value in body.items():
            if key == "tags":
                run[key] |= value or {}
            elif key == "properties":
                run[key] = (value or {}) | run[key]
            elif value is not None:
                run[key] = value
        return run

    def answer(self, path, query, body):
        """Return the status and the answer to a call of the service."""
        if self.is_down:
            return 503, {}
        if path.endswith("/discovery"):
            return 200, dict.fromkeys(PARTS, self.url)
        if self.is_closed:
            return 401, {"error": {"code": "UserError", "message": "the token has expired"}}
        for pattern, act in ROUTES:
            if match := re.search(pattern, path):
                found = act(self, query, body, *match.groups())
                return 207 if act is Wire.take_points and found["errors"] else 200, found
        return 200, {}

    def event(self, _, body, run_id):
        self.runs[run_id]["status"] = EVENTS.get(body["name"], self.runs[run_id]["status"])

    def take_points(self, _, body, run_id):
        errors = []
        for value in body["values"]:
            if value["name"] in self.refuses:
                why = {"error": {"code": "UserError", "message": "no such name"}}
                errors.append({"metric": value, "errorResponse": why})
            else:
                self.points.setdefault(run_id, {}).setdefault(value["name"], []).append(value)
        return {"errors": errors}

    def list_metrics(self, _, body, run_id):
        return {"value": [{"metricKey": {"name": n}} for n in self.points.get(run_id, {})]}

    def full_metric(self, _, body, run_id):
        found = self.points[run_id][body["metricName"]]
        rows = [row for value in found for row in value["value"]]
        return found[0] | {"value": rows, "dataContainerId": self.runs[run_id]["dataContainerId"]}

    def make_files(self, _, body, container):
        paths = [artifact["path"] for artifact in body["paths"]]
        taken = self.files.setdefault(container, {})
        clash = {"error": {"code": "UserError", "message": "Resource Conflict: already exists"}}
        errors = {path: clash for path in paths if path in taken}
        taken.update({path: b"" for path in paths if path not in taken})
        infos = {path: self.info({}, None, container, path) for path in paths}
        artifacts = {p: {k: v for k, v in i.items() if k != "contentUri"} for p, i in infos.items()}
        return {"artifacts": artifacts, "artifactContentInformation": infos, "errors": errors}

    def list_files(self, _, body, container):
        return {"value": [self.info({}, None, container, p) for p in self.files.get(container, {})]}

    def info(self, query, body, container, path=None):
        path = path or query["path"][0]
        uri = (
            f"https://{HOST}/c/{container}/{base64.urlsafe_b64encode(path.encode()).decode()}?sig=x"
        )
        about = {"origin": "ExperimentRun", "container": container, "path": path}
        return about | {"artifactId": f"ExperimentRun/{container}/{path}", "contentUri": uri}


ROUTES = [
    (r"/runs/([^/]+)/events$", Wire.event),
    (r"/metric/.*/runs/([^/]+)/batch$", Wire.take_points),
    (r"/metric/.*/runs/([^/]+)/list$", Wire.list_metrics),
    (r"/metric/.*/runs/([^/]+)/full$", Wire.full_metric),
    (r"/artifacts/batch/metadata/ExperimentRun/([^/]+)$", Wire.make_files),
    (r"/artifacts/contentinfo/ExperimentRun/([^/]+)/(.+)$", Wire.info),
    (r"/artifacts/contentinfo/ExperimentRun/([^/]+)$", Wire.info),
    (r"/artifacts/ExperimentRun/([^/]+)$", Wire.list_files),
    (r"/history/.*/runs/([^/]+)$", Wire.patch),
]


def make_certificate(folder):
    """Make a certificate for the host that has the files; return its files."""
    files = [str(folder / name) for name in ("cert.pem", "key.pem")]
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    names = f"subjectAltName=DNS:{HOST}"
    subprocess.run(
        [*command.split(), names, "-out", files[0], "-keyout", files[1]],
        check=True,
        capture_output=True,
    )
    return files


def token():
    """Return a token that the client can read, valid for a month."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"exp": int(time.time()) + 86400 * 30})
    texts = [json.dumps(part).encode() for part in parts]
    return ".".join(base64.urlsafe_b64encode(t).decode().rstrip("=") for t in [*texts, b"sign"])


def job(wire, folder):
    """Return the variables that Azure ML sets in the job that runs in a folder."""
    return {
        "AZUREML_RUN_ID": f"job_{folder.name}",
        "AZUREML_RUN_TOKEN": token(),
        "AZUREML_SERVICE_ENDPOINT": wire.url,
        "AZUREML_DISCOVERY_SERVICE_ENDPOINT": f"{wire.url}/discovery",
        "AZUREML_ARM_SUBSCRIPTION": "00000000-0000-0000-0000-000000000001",
        "AZUREML_ARM_RESOURCEGROUP": "group",
        "AZUREML_ARM_WORKSPACE_NAME": "space",
        "AZUREML_ARM_PROJECT_NAME": "trials",
        "AZUREML_EXPERIMENT_ID": "eid",
        "AZUREML_WORKSPACE_ID": "wid",
        "HOME": str(folder),  # where the client keeps the service's addresses
        "HTTPS_PROXY": wire.url,
        "REQUESTS_CA_BUNDLE": wire.certificate,
    }


@contextmanager
def serving(folder):
    """Serve on the loopback interface.

    Args:
        folder: for the certificate.
    """
    wire = Wire()
    wire.certificate, key = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(wire.certificate, key)

    class AzureML(Handler):
        def do_CONNECT(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_any(self):
            content = self.content()
            if isinstance(self.connection, ssl.SSLSocket):
                self.store(content)
                return
            url = urlsplit(self.path)
            body = json.loads(content) if content.strip() else {}
            status, found = wire.answer(unquote(url.path), parse_qs(url.query), body)
            self.reply_json(status, found)

        do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = do_any

        def store(self, content):
            container, name = urlsplit(self.path).path.split("/")[-2:]
            path = base64.urlsafe_b64decode(unquote(name)).decode()
            headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-request-server-encrypted": "true"}
            if self.command == "PUT":
                wire.files[container][path] = content
                digest = base64.b64encode(hashlib.md5(content).digest()).decode()
                self.reply(201, b"", headers | {"Content-MD5": digest})
                return
            found = wire.files[container][path]
            span = f"bytes 0-{len(found) - 1}/{len(found)}"
            status = 200 if self.command == "HEAD" else 206
            self.reply(status, found, headers | {"Content-Range": span})

    with listening(AzureML) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}"
        yield wire
