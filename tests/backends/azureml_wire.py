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
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import Handler, listening

HOST = "account.blob.core.localhost"
PARTS = (
    *("history", "experimentation", "artifact", "metrics", "hyperdrive", "modelmanagement"),
    *("api", "modelregistry", "run-history", "catalog", "pipelines", "execution", "studio"),
    *("dataset", "mlflow", "assets"),
)
SIGNATURE = "c2lnbmF0dXJlIG9mIG9uZSBob3Vy"
LONGEST = {"displayName": 256, "description": 5000}
"""Characters that texts of a run may have; others have 1,000."""
TYPES = {"double": float, "string": str}
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
        files: content by path, by the run's container; None for one that was only announced.
        is_down: answer as a service that is away.
        denies: with what status it no longer takes the token; 0 if it does.
        refuses: names of metrics that are not taken.
        fails: of calls whose paths contain the word, so many are done and answered as failed.
        ingests: how often it says that it still takes in what it got.
        rival: properties that somebody else sets first, before the next change of a run.
        delay: seconds that it needs for each file.
        details: what it adds to the reason why it does not do a call.
    """

    def __init__(self):
        self.runs, self.points, self.files = {}, {}, {}
        self.blocks = {}
        self.reset()

    def reset(self):
        """Answer as a service at its best."""
        self.is_down = False
        self.denies = self.ingests = self.delay = 0
        self.rival, self.details = {}, []
        self.refuses = set()
        self.fails = ("", 0)

    def submit(self, run_id, **about):
        """Make a run as the service does, when a job is submitted or a run gets a child."""
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
        self.files.setdefault(f"dcid.{run_id}", {})
        return self.runs.setdefault(run_id, fresh | about)

    def answer(self, call):
        """Return the status, the answer and its further headers to a call of the service."""
        if self.is_down:
            return 503, {}, {}
        if call.path.endswith("/discovery"):
            return 200, dict.fromkeys(PARTS, self.url), {}
        try:
            self.let_in(call.authorization)
            status, found, *headers = self.act(call)
        except Wrong as wrong:
            code = "UserError" if wrong.status < 500 else "ServiceError"
            found = {"code": code, "message": str(wrong), "details": self.details}
            return wrong.status, {"error": found}, {}
        if self.loses(call.path):
            return 500, {}, {}
        return status, found, headers[0] if headers else {}

    def loses(self, path):
        word, left = self.fails
        if not left or word not in path:
            return False
        self.fails = (word, left - 1)
        return True

    def let_in(self, authorization):
        kind, _, given = authorization.partition(" ")
        if self.denies or kind != "Bearer" or expiry(given) < time.time():
            raise Wrong(self.denies or 401, "the token has expired")

    def act(self, call):
        for method, pattern, act in ROUTES:
            if method == call.method and (match := re.search(pattern, call.path)):
                return act(self, call, *match.groups())
        raise Wrong(404, f"there is no {call.method} {call.path}")

    def run(self, run_id):
        if run_id not in self.runs:
            raise Wrong(404, f"there is no run {run_id}")
        return self.runs[run_id]

    def show(self, _, run_id):
        return 200, self.run(run_id)

    def patch(self, call, run_id):
        """Change a run, or make the child of one; properties never change."""
        body = call.body
        if run_id not in self.runs and (parent := body.get("parentRunId")):
            check(len(run_id) <= 256, "a run's id is too long")
            self.submit(run_id, rootRunId=self.run(parent)["rootRunId"])
        run = self.run(run_id)
        run["properties"] |= self.rival
        self.rival = {}
        for key, value in body.items():
            if key in {"tags", "properties"}:
                kept = {k: v for k, v in run[key].items() if key == "properties"}
                run[key] = check_texts(run[key] | (value or {}) | kept)
            elif value is not None:
                check(len(str(value)) <= LONGEST.get(key, 1000), f"{key} is too long")
                run[key] = value
        return 200, run

    def event(self, call, run_id):
        run, name = self.run(run_id), call.body["name"]
        run["status"] = EVENTS.get(name, run["status"])
        return 200, None

    def take_points(self, call, run_id):
        self.run(run_id)
        values = call.body["values"]
        check(len(values) <= 50 and call.body["reportErrors"], "no batch of metrics")
        errors = []
        for value in values:
            kept = self.points.setdefault(run_id, {}).setdefault(value["name"], [])
            if why := self.fault(value, kept):
                found = {"error": {"code": "UserError", "message": why}}
                errors.append({"metric": value, "errorResponse": found})
            else:
                kept.append(value)
        self.points[run_id] = {name: kept for name, kept in self.points[run_id].items() if kept}
        return (207, {"errors": errors}) if errors else (200, None)

    def fault(self, value, kept):
        name, columns = value["name"], value["columns"]
        if name in self.refuses:
            return "no such name"
        if not 0 < len(name) <= 255 or columns.keys() != {name}:
            return "no name of a metric"
        if kept and kept[0]["columns"] != columns:
            return "another type than before"
        [row] = value["value"]
        fits = isinstance(row["data"][name], TYPES[columns[name]])
        return None if fits and row["metricId"] and row["createdUtc"] else "no value of a metric"

    def wait_for_points(self, call, run_id):
        self.run(run_id)
        if not self.ingests:
            return 200, None
        self.ingests -= 1
        return 202, None, {"Location": f"{self.url}{call.path}"}

    def list_metrics(self, _, run_id):
        self.run(run_id)
        return 200, {"value": [{"metricKey": {"name": n}} for n in self.points.get(run_id, {})]}

    def full_metric(self, call, run_id):
        found = self.points[run_id][call.body["metricName"]]
        rows = [row for value in found for row in value["value"]]
        container = self.run(run_id)["dataContainerId"]
        return 200, found[0] | {"value": rows, "dataContainerId": container}

    def container(self, name):
        if name not in self.files:
            raise Wrong(404, f"there is no container {name}")
        return self.files[name]

    def make_files(self, call, container):
        paths = [artifact["path"] for artifact in call.body["paths"]]
        check(0 < len(paths) <= 50, "no batch of files")
        taken = self.container(container)
        errors = {}
        for path in paths:
            if path in taken:
                why = f"Resource Conflict: ArtifactId {ident(container, path)} already exists."
                errors[path] = {"error": {"code": "UserError", "message": why}}
            check(len(path) <= 5000 and all(path.split("/")), "no path of a file")
        taken.update({path: None for path in paths if path not in taken})
        infos = {path: self.about(container, path) for path in paths if path not in errors}
        artifacts = {p: {k: v for k, v in i.items() if k != "contentUri"} for p, i in infos.items()}
        return 200, {
            "artifacts": artifacts,
            "artifactContentInformation": infos,
            "errors": errors,
        }

    def list_files(self, _, container):
        return 200, {"value": [self.about(container, path) for path in self.container(container)]}

    def info(self, call, container, path=None):
        path = path or call.query["path"][0]
        if path not in self.container(container):
            raise Wrong(404, f"there is no file {path}")
        return 200, self.about(container, path)

    def about(self, container, path):
        name = base64.urlsafe_b64encode(path.encode()).decode()
        uri = f"https://{HOST}/c/{container}/{name}?sig={SIGNATURE}"
        about = {"origin": "ExperimentRun", "container": container, "path": path}
        return about | {"artifactId": ident(container, path), "contentUri": uri}

    # -- the host that has the files ------------------------------------------------------------

    def store(self, call, container, path):
        """Take what is put, in one piece or in blocks: no file is replaced."""
        what = call.query.get("comp", [""])[0]
        if self.denies or call.query.get("sig") != [SIGNATURE]:
            raise Wrong(self.denies or 403, "AuthenticationFailed")
        if path not in self.files.get(container, {}):
            raise Wrong(404, "BlobNotFound")
        digest = base64.b64encode(hashlib.md5(call.content).digest()).decode()
        if call.headers.get("Content-MD5", digest) != digest:
            raise Wrong(400, "Md5Mismatch")
        if what == "block":
            self.blocks[container, path, call.query["blockid"][0]] = call.content
            return digest
        if self.files[container][path] is not None:
            raise Wrong(409, "BlobAlreadyExists")
        found = call.content
        if what == "blocklist":
            names = re.findall(r"<Latest>(.*?)</Latest>", call.content.decode())
            found = b"".join(self.blocks.pop((container, path, name)) for name in names)
        time.sleep(self.delay)
        self.files[container][path] = found
        if self.loses(f"/c/{container}"):
            raise Wrong(500, "InternalError")
        return digest


class Wrong(Exception):
    """A call that the service does not do.

    Args:
        status: of the answer.
        why: what it says.
    """

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Call(NamedTuple):
    """A request."""

    method: str
    path: str
    query: dict
    headers: dict
    content: bytes

    @property
    def authorization(self):
        return self.headers.get("Authorization", "")

    @property
    def body(self):
        """What it holds as JSON, which has no NaN."""
        return json.loads(self.content, parse_constant=no_number)


def no_number(word):
    raise Wrong(400, f"{word} is no JSON")


def check(is_well, why):
    if not is_well:
        raise Wrong(400, why)


def check_texts(texts):
    """Return tags or properties that a run can have."""
    check(len(texts) <= 50, "more than 50 tags or properties")
    check(all(0 < len(key) <= 100 for key in texts), "the key is too long")
    check(all(len(value or "") <= 1000 for value in texts.values()), "the value is too long")
    return texts


def ident(container, path):
    return f"ExperimentRun/{container}/{path}"


ROUTES = [
    ("POST", r"/runs/([^/]+)/events$", Wire.event),
    ("GET", r"/runs/([^/]+)/metricsingest/wait$", Wire.wait_for_points),
    ("POST", r"/metric/.*/runs/([^/]+)/batch$", Wire.take_points),
    ("POST", r"/metric/.*/runs/([^/]+)/list$", Wire.list_metrics),
    ("POST", r"/metric/.*/runs/([^/]+)/full$", Wire.full_metric),
    ("POST", r"/artifacts/batch/metadata/ExperimentRun/([^/]+)$", Wire.make_files),
    ("GET", r"/artifacts/contentinfo/ExperimentRun/([^/]+)/(.+)$", Wire.info),
    ("GET", r"/artifacts/contentinfo/ExperimentRun/([^/]+)$", Wire.info),
    ("GET", r"/artifacts/ExperimentRun/([^/]+)$", Wire.list_files),
    ("GET", r"/history/.*/runs/([^/]+)$", Wire.show),
    ("PATCH", r"/history/.*/runs/([^/]+)$", Wire.patch),
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


def expiry(token):
    """Return when a token ends; 0 for what is none."""
    try:
        text = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))["exp"]
    except (IndexError, ValueError):
        return 0


def job(wire, folder):
    """Submit the job that runs in a folder; return the variables that Azure ML sets in it."""
    wire.submit(f"job_{folder.name}")
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
            url, content = urlsplit(self.path), self.content()
            call = Call(self.command, unquote(url.path), parse_qs(url.query), self.headers, content)
            if isinstance(self.connection, ssl.SSLSocket):
                self.keep(call)
                return
            status, found, headers = wire.answer(call)
            content = b"" if found is None else json.dumps(found).encode()
            self.reply(status, content, {"Content-Type": "application/json", **headers})

        do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = do_any

        def keep(self, call):
            container, name = call.path.split("/")[-2:]
            path = base64.urlsafe_b64decode(name).decode()
            headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-request-server-encrypted": "true"}
            try:
                if self.command == "PUT":
                    digest = wire.store(call, container, path)
                    self.reply(201, b"", headers | {"Content-MD5": digest})
                else:
                    self.give(wire.files[container][path], headers)
            except Wrong as wrong:
                code = str(wrong)
                xml = (
                    f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
                )
                kind = {"Content-Type": "application/xml", "x-ms-error-code": code}
                self.reply(wrong.status, xml.encode(), kind)

        def give(self, content, headers):
            if self.command == "HEAD":
                self.reply(200, content, headers)
                return
            first, last = re.fullmatch(
                r"bytes=(\d+)-(\d+)", self.headers.get("x-ms-range", "bytes=0-99999999")
            ).groups()
            part = content[int(first) : int(last) + 1]
            span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
            self.reply(206, part, headers | {"Content-Range": span})

    with listening(AzureML) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}"
        yield wire
