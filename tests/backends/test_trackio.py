"""Trackio: the conformance suite, read back with trackio's own storage layer and API."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pytest

from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.process import LEFT, spawn
from multitrack.trackers.start import start_run
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance, samples
from multitrack.trackers.testing.deliver import environment

STORE = tempfile.mkdtemp(prefix="trackio-")
"""One folder for all tests, since the client reads TRACKIO_DIR once; a project for each."""
KINDS = {"trackio.markdown": "text", "trackio.histogram": "histogram", "trackio.table": "table"}


METRICS = "SELECT metrics FROM metrics"


@pytest.fixture(scope="module", autouse=True)
def _client():
    """Import the client where it reads from the tests' folder."""
    with environment({"TRACKIO_DIR": STORE}):
        import trackio  # noqa: F401


def logs(project, run_id):
    """Return the rows of a run, without what trackio adds to each."""
    from trackio.sqlite_storage import SQLiteStorage

    for row in SQLiteStorage.get_logs(project, run_id=run_id):
        moment = datetime.fromisoformat(row.pop("timestamp")).timestamp()
        yield row.pop("step"), moment, row


def parse(value):
    """Return the kind and the content of a stored value that is no number."""
    from trackio.utils import MEDIA_DIR

    kind = KINDS.get(value["_type"])
    if kind == "histogram":
        return kind, (value["bins"], value["values"])
    if kind == "table":
        assert all(list(row) == value["columns"] for row in value["_value"])
        return kind, (value["columns"], [list(row.values()) for row in value["_value"]])
    if kind == "text":
        return kind, value["_value"]
    path = Path(value["file_path"])
    return path.name.partition("-")[0], (MEDIA_DIR / path).read_bytes()


def metrics_and_media(project, run_id):
    metrics, media = {}, {}
    for step, moment, row in logs(project, run_id):
        epoch = row.get("epoch")
        for name, value in row.items():
            key = name.removeprefix("__")
            if isinstance(value, dict):
                kind, content = parse(value)
                item = Item(step, content, value.get("caption"))
                media.setdefault(kind, {}).setdefault(key, []).append(item)
            else:
                metrics.setdefault(key, []).append(Point(step, value, moment, epoch))
    return metrics, media


def artifacts(project):
    from trackio.sqlite_storage import SQLiteStorage
    from trackio.utils import ARTIFACTS_DIR

    found = {}
    for record in SQLiteStorage.list_artifacts(project):
        manifest = SQLiteStorage.get_artifact_manifest(project, record["name"], None)["manifest"]
        blobs = {path.name: path for path in Path(ARTIFACTS_DIR).rglob("*") if path.is_file()}
        found[unescape(record["name"])] = {
            entry["path"]: blobs[entry["digest"]].read_bytes() for entry in manifest
        }
    return found


class TestTrackio(TrackerConformance):
    tracker = "trackio"
    by_hand = "native.log({'by_hand': value}, step=step)"
    time_resolution = 1e-6

    def environ(self, tmp_path):
        return {"TRACKIO_DIR": STORE, "MULTITRACK_PROJECT": tmp_path.name, "HF_HUB_OFFLINE": "1"}

    def read(self, folder, state):
        import trackio

        project = state.attachment.state["project"]
        [run] = [run for run in trackio.Api().runs(project) if run.id == folder.run_id]
        config = run.config
        ours = config.pop("multitrack")
        tree = {key: value for key, value in config.items() if not key.startswith("_")}
        metrics, media = metrics_and_media(project, folder.run_id)
        return StoredRun(
            name=run.name,
            project=project,
            notes=ours["notes"],
            status=ours["status"],
            params=dict(flatten(tree | ours.get("params", {}))),
            metrics=metrics,
            tags=ours.get("tags", {}),
            summary=ours.get("summary", {}),
            media=media,
            artifacts=artifacts(project),
        )

    def count_runs(self, folder, state):
        import trackio

        return len(trackio.Api().runs(state.attachment.state["project"]))


# -- what is particular to trackio ---------------------------------------------------------------

SERVE = """
import time, trackio
trackio.show(block_thread=False, open_browser=False, host="127.0.0.1", server_port={port})
time.sleep(300)
"""


def record(tmp_path, environ, **arguments):
    """Record a run that is delivered later, with what a row, the config and a file need."""
    with environment(environ):
        run = start_run(
            report_to="trackio", dir=tmp_path / "multitrack", delivery="later", **arguments
        )
    run.log({"loss": 0.5, "odd": float("nan")}, step=3)
    return run


def courier(run, environ):
    """Deliver by a courier process; return its exit code and what it knows."""
    with environment(environ):
        code = spawn(run.folder, "trackio").wait(180)
    return code, run.folder.courier("trackio")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Trackio's own server on the loopback interface: its address, with the token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = os.environ | {"TRACKIO_DIR": str(tmp_path_factory.mktemp("server"))}
    command = [sys.executable, "-u", "-c", SERVE.format(port=port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        for line in process.stdout:
            if found := re.search(r"http://\S+write_token=\S+", line):
                yield found[0]
                break
        process.kill()


def ask(server, name, /, **arguments):
    from trackio.remote_client import RemoteClient

    return RemoteClient(server).predict(api_name=f"/{name}", **arguments)


def test_self_hosted_server(tmp_path, server):
    """Rows, config, files and artifacts reach a server; a resumed run keeps its config."""
    environ = {"TRACKIO_DIR": str(tmp_path / "client"), "TRACKIO_SERVER_URL": server}
    run = record(tmp_path, environ, project="served", name="n", config={"lr": 0.1}, tags=["t"])
    run.log_image("picture", samples.png(), step=4)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    run.log_artifact(path, name="my weights", kind="model", aliases=["best"])
    run.finish("failed", quiet=True)
    code, folder = courier(run, environ)
    assert not code, folder.log.read_text()
    with environment(environ):
        run = start_run(dir=tmp_path / "multitrack", run_id=run.id, delivery="later")
    run.log_params({"seed": 7})
    run.finish(quiet=True)
    assert not courier(run, environ)[0], folder.log.read_text()

    address = server.partition("?")[0]
    assert folder.read_state().attachment.url == address
    assert "write_token" not in folder.settings.read_text() + folder.state.read_text()
    rows = ask(server, "get_logs", project="served", run_id=run.id)
    assert [row["loss"] for row in rows if "loss" in row] == [0.5]
    [database] = tmp_path.parent.glob("server[0-9]/served.db")  # the server's answer has no NaN
    metrics = [json.loads(row[0]) for row in sqlite3.connect(database).execute(METRICS)]
    assert {"loss": 0.5, "odd": "NaN"} in metrics
    assert {row["step"] for row in rows if "loss" in row} == {3}
    config = ask(server, "get_run_summary", project="served", run_id=run.id)["config"]
    assert (config["lr"], config["seed"]) == (0.1, 7)
    assert config["multitrack"]["tags"] == {"t": ""}
    assert config["multitrack"]["status"] == "finished"
    [picture] = [row["picture"] for row in rows if "picture" in row]
    stored = next(tmp_path.parent.glob(f"server[0-9]/media/{picture['file_path']}"))
    assert stored.read_bytes() == samples.png()
    manifest = ask(
        server, "get_artifact_manifest", project="served", name="my_x20_weights", spec="best"
    )
    assert [entry["path"] for entry in manifest["manifest"]] == ["weights.bin"]


def test_wrong_token_waits_for_a_person(tmp_path, server):
    """The server says no: the run is parked with what mends it."""
    environ = {
        "TRACKIO_DIR": str(tmp_path / "client"),
        "TRACKIO_SERVER_URL": server.partition("?")[0],
        "TRACKIO_WRITE_TOKEN": "wrong",
    }
    run = record(tmp_path, environ)
    run.finish(quiet=True)
    code, folder = courier(run, environ)
    assert code == LEFT
    assert folder.read_state().phase == "parked"
    assert "TRACKIO_SERVER_URL" in folder.read_state().remedy


def test_space_without_a_token_waits_for_a_person(tmp_path):
    """Nobody is logged in: the run is parked, nothing asks for a key."""
    environ = {
        "TRACKIO_DIR": str(tmp_path / "client"),
        "TRACKIO_SPACE_ID": "board",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_TOKEN": "",
        "HF_HUB_OFFLINE": "1",
    }
    run = record(tmp_path, environ)
    run.finish(quiet=True)
    code, folder = courier(run, environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert folder.read_state().remedy == "hf auth login"


def test_dead_server_is_tried_again(tmp_path):
    """A server that is down neither loses nor holds anything."""
    environ = {
        "TRACKIO_DIR": str(tmp_path / "client"),
        "TRACKIO_SERVER_URL": "http://127.0.0.1:9/?write_token=x",
    }
    run = record(tmp_path, environ)
    with environment(environ):
        process = spawn(run.folder, "trackio", watch=True)
    state = run.folder.courier("trackio").read_state
    deadline = time.monotonic() + 60
    while state().phase != "retrying" and time.monotonic() < deadline:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == LEFT
    assert (state().phase, state().offset) == ("retrying", 0)
    assert "127.0.0.1:9" in state().message
    run.finish(quiet=True)


def test_folder_on_a_file_system_of_the_network(tmp_path):
    """Where SQLite is not safe, rows go to trackio's inbox, which its dashboard takes in."""
    environ = {"TRACKIO_DIR": str(tmp_path / "nfs"), "TRACKIO_STORAGE_MODE": "jsonl"}
    run = record(tmp_path, environ, project="inbox", config={"lr": 0.1})
    run.finish(quiet=True)
    code, folder = courier(run, environ)
    assert not code, folder.log.read_text()
    assert not list((tmp_path / "nfs").glob("*.db"))
    lines = [
        json.loads(line)
        for path in sorted((tmp_path / "nfs" / "inbox").rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert [line["metrics"] for line in lines if line["step"] == 3] == [{"loss": 0.5, "odd": "NaN"}]
    assert lines[-1]["config"]["lr"] == 0.1
    assert lines[-1]["config"]["multitrack"]["status"] == "finished"


def test_names_that_trackio_keeps_for_itself(tmp_path):
    """Reserved names are renamed as trackio renames them, and reserved params kept apart."""
    environ = {"TRACKIO_DIR": STORE, "MULTITRACK_PROJECT": tmp_path.name}
    run = record(tmp_path, environ, config={"_odd": 1, "multitrack": 2, "lr": {"a": 1}})
    run.log({"step": 1.0, "__step": 2.0, "time": 3.0}, step=8)
    run.log_params({"lr": {"b": 2}})
    run.finish(quiet=True)
    code, folder = courier(run, environ)
    assert not code, folder.log.read_text()
    with environment(environ):
        from trackio.sqlite_storage import SQLiteStorage

        rows = [row for step, _, row in logs(tmp_path.name, run.id) if step == 8]
        config = SQLiteStorage.get_run_config(tmp_path.name, run_id=run.id)
    assert rows == [{"__step": 1.0, "____step": 2.0, "__time": 3.0}]
    assert config["lr"] == {"a": 1, "b": 2}
    assert config["multitrack"]["params"] == {"_odd": 1, "multitrack": 2}


def test_columns_of_one_name_are_refused(tmp_path):
    """A table that trackio would merge is set aside by name."""
    environ = {"TRACKIO_DIR": STORE, "MULTITRACK_PROJECT": tmp_path.name}
    run = record(tmp_path, environ)
    run.log_table("twice", [[1, 2]], columns=["a", "a"])
    run.finish(quiet=True)
    code, folder = courier(run, environ)
    assert not code
    assert [(r.key, "two columns" in r.reason) for r in folder.read_refused()] == [("twice", True)]


def test_second_folder_in_one_process_is_parked(tmp_path):
    """The client has one folder a process: a run that wants another says so."""
    code = """
import sys
from multitrack.trackers.start import start_run
for name in ("first", "second"):
    folder = f"{sys.argv[1]}/{name}"
    run = start_run(report_to="trackio", dir=folder, delivery="thread",
                    settings={"trackio": {"dir": folder}})
    run.log({"loss": 1.0})
    [report] = run.finish(quiet=True, timeout=60)
    print(report.delivered, report.message)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    environ = {k: v for k, v in os.environ.items() if k != "TRACKIO_DIR"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    first, second = done.stdout.splitlines()
    assert first == "True None", done.stderr
    assert second.startswith("False this process already uses trackio with")
