"""Comet: the conformance suite offline, read back from the archives that the client writes."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from comet_wire import LARGEST_FILE, serving
from later import Later

from multitrack.trackers.names import unescape
from multitrack.trackers.process import LEFT
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance

WEBM = b"\x1aE\xdf\xa3" + bytes(16)
OWN = {"curr_step", "curr_epoch", "process duration"}
"""What the client logs by itself."""


class Archive:
    """One archive of the client: its messages by type, and the files that they name."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path)
        self.about = json.loads(self.zip.read("experiment.json"))
        self.messages = {}
        for line in self.zip.read("messages.json").decode().splitlines():
            message = json.loads(line)
            self.messages.setdefault(message["type"], []).append(message["payload"])

    @property
    def others(self):
        return {other["key"]: other["value"] for other in self.messages.get("log_other", [])}

    @property
    def params(self):
        params = [m.get("param") or m["params"] for m in self.messages.get("parameter_msg", [])]
        return {p["paramName"]: p["paramValue"] for p in params if p["paramName"] not in OWN}

    def metrics(self):
        for message in self.messages.get("metric_msg", []):
            if message["metric"]["metricName"] not in OWN:
                yield message["metric"]

    def files(self):
        for upload in self.messages.get("file_upload", []):
            about = upload["additional_params"]
            name = about.get("fileName") or about.get("figName")
            yield name, about, upload["metadata"] or {}, self.zip.read(upload["file_path"])


def archives(state):
    return [Archive(session["archives"][0]) for session in state.attachment.state["sessions"]]


def whole(name, others):
    """Return the name that was shortened."""
    return others[f"multitrack/name/{name[-16:]}"] if name[80:81] == "…" else name


def below(prefix, others):
    return {k.removeprefix(prefix): v for k, v in others.items() if k.startswith(prefix)}


def content_of(kind, content):
    if kind == "text":
        return content.decode()
    if kind == "table":
        grid = json.loads(content)
        return grid["columns"], grid["data"]
    if kind == "histogram":
        bins = json.loads(content)
        return bins["edges"], bins["counts"]
    return content


class TestComet(TrackerConformance):
    tracker = "comet"
    by_hand = "native.log_metric('by_hand', value, step=step)"
    time_resolution = None

    def environ(self, tmp_path):
        return {
            "COMET_START_ONLINE": "false",
            "COMET_OFFLINE_DIRECTORY": str(tmp_path / "archives"),
            "HOME": str(tmp_path),
        }

    def read(self, folder, state):
        found = archives(state)
        params, others, tags, metrics, media, artifacts = {}, {}, {}, {}, {}, {}
        for archive in found:
            params |= archive.params
            others |= archive.others
            tags |= dict.fromkeys(archive.about["tags"], "")
        for archive in found:
            for metric in archive.metrics():
                value = metric["metricValue"]
                value = float(value) if isinstance(value, str) else value
                point = Point(metric["step"], value, None, metric["epoch"])
                metrics.setdefault(whole(metric["metricName"], others), []).append(point)
            for name, about, metadata, content in archive.files():
                if "param" in metadata:
                    params[metadata["param"]] = content.decode()
                elif "other" in metadata:
                    others[metadata["other"]] = content.decode()
                elif name.startswith("artifacts/"):
                    artifact, step, path = name.removeprefix("artifacts/").split("/", 2)
                    versions = artifacts.setdefault(unescape(artifact), {})
                    versions.setdefault(int(step), {})[path] = content
                else:
                    kind = metadata.get("kind", "text")
                    parsed = content_of(kind, content)
                    item = Item(about["step"], parsed, metadata.get("caption"))
                    media.setdefault(kind, {}).setdefault(metadata["key"], []).append(item)
        others = {whole(key, others): value for key, value in others.items()}
        params = {whole(name, others): value for name, value in params.items()}
        last = found[-1]
        return StoredRun(
            name=others.get("Name"),
            project=last.about["project_name"],
            notes=others.get("notes"),
            status=last.others["multitrack/status"],
            params=params,
            metrics=metrics,
            tags=tags | below("tags/", others),
            summary=below("summary/", others),
            media=media,
            artifacts={name: versions[max(versions)] for name, versions in artifacts.items()},
        )

    def count_runs(self, folder, state):
        store = Path(state.attachment.state["sessions"][-1]["archives"][0]).parent
        return len({path.name.split("-")[0] for path in store.glob("*.zip")})

    def stored_param(self, value):
        return value if isinstance(value, int | float | str) else json.dumps(value)


# -- what is particular to Comet -----------------------------------------------------------------


@pytest.fixture
def offline(tmp_path):
    return TestComet().environ(tmp_path)


@pytest.fixture
def wire():
    with serving() as served:
        yield served


@pytest.fixture
def online(tmp_path, wire):
    return {
        "COMET_URL_OVERRIDE": wire.url,
        "COMET_API_KEY": "k" * 25,
        "COMET_OFFLINE_DIRECTORY": str(tmp_path / "archives"),
        "HOME": str(tmp_path),
    }


later = Later("comet")
record, deliver = later.record, later.deliver
follow, await_phase = later.follow, later.await_phase


def test_online(tmp_path, wire, online):
    """The server gets points, params, tags, texts and files; a resumed run is the same one."""
    run = record(tmp_path, online, name="n", project="p", config={"lr": 0.1}, tags=["t"])
    run.log({"loss": 0.5}, step=3, epoch=0.25)
    run.log({"loss": 0.25}, step=4)
    run.log_text("note", "words", step=3)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    run.log_artifact(path, name="model", step=4)
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    state = folder.read_state()
    points = [v for body in wire.bodies("experiment/metric") for v in body["values"]]
    found = [(p["step"], p["metricValue"], p["epoch"]) for p in points if p["metricName"] == "loss"]
    assert found == [(3, 0.5, 0.25), (4, 0.25, None)]
    params = [v for body in wire.bodies("experiment/parameter") for v in body["values"]]
    assert ("lr", 0.1) in [(p["parameterName"], p["parameterValue"]) for p in params]
    assert wire.bodies("add-tags-to-experiment")[0]["addedTags"] == ["t"]
    others = {body["key"]: body["value"] for body in wire.bodies("log-other")}
    assert others["multitrack/status"] == "finished"
    uploads = {fields["file"]: query for _, query, fields in wire.uploads}
    assert uploads[b"words"]["type"] == ["text-sample"]
    assert uploads[b"weights"]["step"] == ["4"]
    assert wire.bodies("status-report/update")[-1]["is_alive"] is False
    assert state.attachment.url == f"{wire.url}w/p/{state.attachment.id}"
    assert "k" * 25 not in folder.settings.read_text() + folder.state.read_text()
    run = record(tmp_path, online, run_id=run.id)
    run.log({"loss": 0.125}, step=5)
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    assert set(wire.experiments) == {state.attachment.id}


@pytest.mark.slow
@pytest.mark.parametrize(("outage", "is_known"), [("is down", False), ("is gone", True)])
def test_server_that_goes_down_gets_all_later(tmp_path, wire, online, outage, is_known):
    """What the server did not take is not acknowledged; the courier ends in bounded time.

    Of an outage that it knows of, the client says nothing: it keeps what is logged meanwhile.
    """
    run = record(tmp_path, online)
    run.log({"loss": 1.0}, step=1)
    courier = follow(run, online, "waiting")
    assert run.folder.courier("comet").read_state().offset > 0
    wire.outage = outage
    while is_known and "/clientlib/health/ping" not in wire.unanswered:
        time.sleep(0.1)
    run.log({"loss": 2.0}, step=2)
    await_phase(run, "retrying")
    started = time.monotonic()
    courier.terminate()
    assert courier.wait(120) == LEFT
    assert time.monotonic() - started < 60
    wire.outage = None
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    assert losses(wire) == [1, 2]


def losses(wire):
    """Return the steps of a metric that the server got."""
    points = [v for body in wire.bodies("experiment/metric") for v in body["values"]]
    return [point["step"] for point in points if point["metricName"] == "loss"]


@pytest.mark.slow
def test_key_that_is_revoked_waits_for_a_person(tmp_path, wire, online):
    """What the server does not take from this key is not acknowledged."""
    run = record(tmp_path, online)
    run.log({"loss": 1.0}, step=1)
    courier = follow(run, online, "waiting")
    wire.knows = []
    run.log({"loss": 2.0}, step=2)
    await_phase(run, "parked")
    run.finish(quiet=True)
    assert courier.wait(120) == LEFT
    wire.knows = None
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    assert losses(wire) == [1, 2]


def test_file_that_is_too_large(tmp_path, wire, online):
    """The client does not send it, so it is set aside."""
    run = record(tmp_path, online)
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(LARGEST_FILE + 1))
    run.log_artifact(path, name="model", step=1)
    run.log({"loss": 1.0}, step=1)
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    [refusal] = folder.read_refused()
    assert refusal.record == "artifact"
    assert losses(wire) == [1]


@pytest.mark.slow
def test_file_that_the_server_refuses_holds_nothing_up(tmp_path, wire, online):
    wire.largest_file = 3
    run = record(tmp_path, online)
    run.log_text("note", "words", step=1)
    run.log({"loss": 1.0}, step=1)
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    assert losses(wire) == [1]
    assert "too large" in folder.log.read_text()


def test_wrong_key_waits_for_a_person(tmp_path, wire, online):
    wire.knows = []
    code, folder = deliver(record(tmp_path, online), online)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "COMET_API_KEY" in folder.read_state().remedy


def test_without_a_key_waits_for_a_person(tmp_path, online):
    """Nothing asks for a key."""
    environ = online | {"COMET_API_KEY": ""}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "COMET_API_KEY" in folder.read_state().remedy


@pytest.mark.slow
@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/clientlib/"])
def test_dead_server_is_tried_again(tmp_path, wire, online, url):
    """It is no wrong key, be it that the server says so or that none answers."""
    wire.outage = "is down"
    environ = online | {"COMET_URL_OVERRIDE": url or wire.url}
    run = record(tmp_path, environ)
    courier = follow(run, environ, "retrying")
    courier.terminate()
    assert courier.wait(60) == LEFT
    assert run.folder.courier("comet").read_state().offset == 0
    run.finish(quiet=True)


def test_variables_of_the_client_and_of_transformers(tmp_path, offline):
    environ = offline | {
        "COMET_PROJECT_NAME": "p",
        "COMET_WORKSPACE": "w",
        "COMET_START_EXPERIMENT_NAME": "named",
        "COMET_START_EXPERIMENT_TAGS": "a,b",
        "COMET_EXPERIMENT_KEY": "k" * 40,
        "COMET_MODE": "create",
    }
    code, folder = deliver(record(tmp_path, environ), environ)
    assert not code, folder.log.read_text()
    [archive] = archives(folder.read_state())
    about = archive.about
    assert (about["project_name"], about["workspace"], about["offline_id"]) == ("p", "w", "k" * 40)
    assert about["resume_strategy"] == "create"
    assert sorted(about["tags"]) == ["a", "b"]
    assert archive.others["Name"] == "named"


def test_session_that_died_is_superseded(tmp_path, offline):
    """A courier that was killed leaves no empty archive, and nothing in the scratch folder."""
    run = record(tmp_path, offline)
    run.log({"loss": 1.0}, step=1)
    courier = follow(run, offline, "waiting")
    courier.kill()
    courier.wait(60)
    [session] = run.folder.courier("comet").read_state().attachment.state["sessions"]
    assert Path(session["scratch"]).is_dir()
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    assert len(list((tmp_path / "archives").glob("*.zip"))) == 1
    assert not Path(session["scratch"]).exists()


def test_limits_of_the_client(tmp_path, offline):
    """Long names are shortened and stay apart; long values are kept whole as assets."""
    run = record(tmp_path, offline, notes="n" * 3000)
    run.log({"x" * 150 + end: value for end, value in (("a", 1.0), ("b", 2.0))}, step=1)
    run.summary({"why": "w" * 3000})
    run.log_video("film", WEBM, step=2)
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    assert not folder.read_refused()
    [archive] = archives(folder.read_state())
    found = {whole(m["metricName"], archive.others): m["metricValue"] for m in archive.metrics()}
    assert found == {"x" * 150 + "a": 1.0, "x" * 150 + "b": 2.0}
    contents = {name: content for name, _, _, content in archive.files()}
    assert contents == {
        "others/notes.txt": b"n" * 3000,
        "others/summary/why.txt": b"w" * 3000,
        "video/film/2.webm": WEBM,
    }


def test_leaves_the_process_as_it_was(tmp_path, offline):
    """The user's own experiment goes on, and stays the global one."""
    code = """
import sys
import comet_ml
own = comet_ml.OfflineExperiment(offline_directory=sys.argv[1], display_summary_level=0)
before = sys.excepthook, list(sys.meta_path)
from multitrack.trackers.start import start_run
runs = [start_run(report_to="comet", dir=sys.argv[1], delivery="thread") for _ in range(2)]
for run in runs:
    run.log({"loss": 1.0})
    [report] = run.finish(quiet=True, timeout=60)
    assert report.delivered, report
assert own.alive and comet_ml.get_global_experiment() is own
assert before == (sys.excepthook, sys.meta_path)
own.end()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "multitrack")]
    environ = os.environ | offline
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert not done.returncode, done.stderr
