"""A stand-in for the wire only: what a W&B server answers to the real client, on loopback.

It checks nothing and draws no conclusions. It answers the calls that ``wandb-core`` makes and
keeps what was sent, so that a test can see what a server would hold.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

ENTITY = "team"
KEY = "0123456789" * 4


@dataclass
class WireRun:
    """What was sent for one run: rows by their place in the history, files by name."""

    run_id: str
    project: str
    upserts: list[dict[str, Any]] = field(default_factory=list)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    def last(self, name: str) -> Any:
        """Return a property of the run as the last call that named it set it."""
        values = [upsert[name] for upsert in self.upserts if upsert.get(name) is not None]
        return values[-1] if values else None

    @property
    def display_name(self) -> str | None:
        """The run's name."""
        return self.last("displayName")

    @property
    def notes(self) -> str | None:
        """The run's notes."""
        return self.last("notes")

    @property
    def host(self) -> str | None:
        """The machine that the run ran on."""
        return self.last("host")

    @property
    def tags(self) -> list[str]:
        """The run's tags."""
        return self.last("tags") or []

    @property
    def config(self) -> dict[str, Any]:
        """The config, without the client's own bookkeeping."""
        stored = json.loads(self.last("config") or "{}")
        return {key: entry["value"] for key, entry in stored.items() if key != "_wandb"}

    @property
    def state(self) -> str:
        """The outcome, as W&B words it."""
        if self.exit_code is None:
            return "running"
        return "failed" if self.exit_code else "finished"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, in its order."""
        return [self.history[place] for place in sorted(self.history)]


@dataclass
class WireArtifact:
    """One version of an artifact: its description, and its files by path."""

    sent: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.sent["artifactCollectionName"]

    @property
    def run_id(self) -> str:
        """The run that made it."""
        return self.sent["runName"]

    @property
    def files(self) -> dict[str, bytes]:
        """The content by path, joined by digest as the server's storage does."""
        by_digest = {
            base64.b64encode(hashlib.md5(content).digest()).decode(): content
            for content in self.uploads.values()
        }
        return {path: by_digest[e["digest"]] for path, e in self.manifest["contents"].items()}


class WandbWire:
    """The server; a context manager.

    Args:
        port: to listen on; any that is free if 0.

    Attributes:
        runs: by id.
        artifacts: every version that the client created, in order.
        refuse: an HTTP status that answers everything from now on, or None.
        unknown: GraphQL operations that it has no answer to.
    """

    def __init__(self, port: int = 0) -> None:
        self.runs: dict[str, WireRun] = {}
        self.artifacts: list[WireArtifact] = []
        self.refuse: int | None = None
        self.unknown: list[str] = []
        wire = self

        class Handler(_Handler):
            def answer(self, method: str, body: bytes) -> Any:
                return wire._answer(method, self.path, body)

            @property
            def refused(self) -> int | None:
                return wire.refuse

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> WandbWire:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environ(self) -> dict[str, str]:
        """The variables that bring the client here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}

    def _answer(self, method: str, path: str, body: bytes) -> Any:
        if path.endswith("/graphql"):
            return self._graphql(json.loads(body))
        if path.endswith("/file_stream"):
            self._stream(self.runs[path.split("/")[-2]], json.loads(body))
        elif method == "PUT":
            self._upload(path, body)
        return {}

    def _graphql(self, call: dict[str, Any]) -> Any:
        found = re.search(r"(?:query|mutation)\s+(\w+)", call["query"])
        name = call.get("operationName") or (found[1] if found else "Viewer")
        answer = getattr(self, f"_on_{name}", None)
        if answer is None:
            self.unknown.append(name)
            return {"errors": [{"message": f"unknown operation {name}"}]}
        return {"data": answer(call.get("variables") or {})}

    def _on_Viewer(self, _: dict[str, Any]) -> Any:
        user = {"id": "V", "entity": ENTITY, "username": "u", "flags": "{}", "email": "u@x"}
        more = {"__typename": "User", "name": "u", "admin": False, "deletedAt": None}
        keys = {"apiKeys": {"edges": []}, "teams": {"edges": []}}
        server = {"cliVersionInfo": {"max_cli_version": "1.0.0"}}
        return {"viewer": user | more | keys, "serverInfo": server}

    _on_GetViewer = _on_Viewer

    def _on_ProbeRunInput(self, _: dict[str, Any]) -> Any:
        return {"RunType": {"fields": [{"name": "projectId"}]}}

    def _on_ProbeServerCapabilities(self, _: dict[str, Any]) -> Any:
        """Say that it tells which clients it knows: older ones ask, and doubt one that does not."""
        known = {"QueryType": ["serverInfo"], "ServerInfoType": ["cliVersionInfo"]}
        kinds = ("QueryType", "MutationType", "ServerInfoType")
        return {kind: {"fields": [{"name": n} for n in known.get(kind, [])]} for kind in kinds}

    def _on_ProbeServerSettings(self, _: dict[str, Any]) -> Any:
        return {"ServerSettingsType": {"fields": []}}

    def _on_InputFields(self, _: dict[str, Any]) -> Any:
        return {"TypeInfo": {"inputFields": []}}

    def _on_RunStoppedStatus(self, _: dict[str, Any]) -> Any:
        return {"project": {"run": {"stopped": False}}}

    def _on_ServerFeaturesQuery(self, _: dict[str, Any]) -> Any:
        return {"serverInfo": {"features": []}}

    def _on_UpsertBucket(self, sent: dict[str, Any]) -> Any:
        run_id = sent.get("name") or self._by_number(sent["id"])
        is_new = run_id not in self.runs
        run = self.runs.setdefault(run_id, WireRun(run_id, sent.get("project") or "uncategorized"))
        run.upserts.append(sent)
        run.exit_code = None
        bucket = self._bucket(run_id) | {"project": self._project(run.project)}
        return {"upsertBucket": {"inserted": is_new, "bucket": bucket}}

    def _on_RunResumeStatus(self, asked: dict[str, Any]) -> Any:
        bucket = self._bucket(asked["name"]) if asked["name"] in self.runs else None
        return {"model": self._project(asked.get("project") or "") | {"bucket": bucket}}

    def _on_Run(self, asked: dict[str, Any]) -> Any:
        run = self.runs[asked["name"]]
        facts = {"state": run.state, "readOnly": False, "user": {"name": "u", "username": "u"}}
        times = dict.fromkeys(("createdAt", "heartbeatAt"), "2026-01-01T00:00:00")
        found = self._bucket(asked["name"]) | facts | times | {"projectId": "1"}
        return {"project": {"run": found}}

    def _on_ArtifactType(self, _: dict[str, Any]) -> Any:
        return {"project": {"artifact": None}}

    def _on_ArtifactByID(self, asked: dict[str, Any]) -> Any:
        sent = self.artifacts[int(asked["id"])].sent
        project = self._project(sent["projectName"]) | {"internalId": "1"}
        collection = {"__typename": "ArtifactSequence", "name": sent["artifactCollectionName"]}
        found = {
            "__typename": "Artifact",
            "id": asked["id"],
            "artifactSequence": collection | {"project": project},
            "versionIndex": 0,
            "artifactType": {"name": sent["artifactTypeName"]},
            "description": None,
            "metadata": sent.get("metadata"),
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": 0,
            "digest": sent["digest"],
            "commitHash": "c",
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00",
            "updatedAt": None,
            "aliases": [],
        }
        return {"artifact": found}

    def _on_CreateRunFiles(self, asked: dict[str, Any]) -> Any:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/run/{asked['run']}/{quote(name)}"}
            for name in asked["files"]
        ]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}

    def _on_CreateArtifact(self, sent: dict[str, Any]) -> Any:
        self.artifacts.append(WireArtifact(sent["input"]))
        sequence = {"latestArtifact": None}
        number = str(len(self.artifacts) - 1)
        artifact = {"id": number, "state": "PENDING", "artifactSequence": sequence}
        return {"createArtifact": {"artifact": artifact}}

    def _on_CreateArtifactManifest(self, asked: dict[str, Any]) -> Any:
        return {"createArtifactManifest": {"artifactManifest": self._manifest(asked["artifactID"])}}

    def _on_UpdateArtifactManifest(self, asked: dict[str, Any]) -> Any:
        manifest = self._manifest(asked["artifactManifestID"])
        return {"updateArtifactManifest": {"artifactManifest": manifest}}

    def _on_CreateArtifactFiles(self, asked: dict[str, Any]) -> Any:
        edges = []
        for file in asked.get("input", asked)["artifactFiles"]:  # before 0.25, without `input`
            number, name = file["artifactID"], file["name"]
            node = {
                "storagePath": name,
                "uploadUrl": f"{self.url}/artifact/{number}/{quote(name)}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": number},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_CommitArtifact(self, asked: dict[str, Any]) -> Any:
        artifact = self.artifacts[int(asked["artifactID"])]
        artifact.committed = True
        answer = {"id": asked["artifactID"], "digest": artifact.sent.get("digest", "")}
        return {"commitArtifact": {"artifact": answer}}

    def _manifest(self, number: str) -> Any:
        file = {"id": number, "uploadUrl": f"{self.url}/manifest/{number}", "uploadHeaders": []}
        return {"id": number, "file": file}

    def _project(self, name: str) -> dict[str, Any]:
        return {"id": "P", "name": name, "entity": {"id": "E", "name": ENTITY}}

    def _bucket(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        rows = run.rows
        return {
            "id": base64.b64encode(run_id.encode()).decode(),
            "name": run_id,
            "displayName": run.display_name or run_id,
            "description": "",
            "sweepName": None,
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyLineCount": len(rows),
            "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]),
            "eventsTail": "[]",
            "config": run.last("config") or "{}",
            "tags": run.tags,
            "notes": run.notes,
            "wandbConfig": '{"t": 1}',
        }

    def _by_number(self, number: str) -> str:
        return base64.b64decode(number).decode()

    def _stream(self, run: WireRun, sent: dict[str, Any]) -> None:
        for name, chunk in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                for place, line in enumerate(chunk["content"], chunk["offset"]):
                    run.history[place] = json.loads(line)
            elif name == "wandb-summary.json":
                run.summary = json.loads(chunk["content"][-1])
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]

    def _upload(self, path: str, body: bytes) -> None:
        _, kind, owner, *rest = unquote(path).split("/", 3)
        if kind == "run":
            self.runs[owner].files[rest[0]] = body
        elif kind == "manifest":
            self.artifacts[int(owner)].manifest = json.loads(body)
        elif kind == "artifact":
            self.artifacts[int(owner)].uploads[rest[0]] = body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    refused: int | None

    def answer(self, method: str, body: bytes) -> Any:
        raise NotImplementedError

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # a client that was killed
            super().handle_one_request()

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        status = self.refused or 200
        answer = {} if self.refused else self.answer(self.command, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _serve
