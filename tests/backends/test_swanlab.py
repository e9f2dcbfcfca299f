"""SwanLab: the conformance suite offline, read back with the client's own store and records."""

import io
import json
import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from later import PATIENCE, Later
from loopback import Handler, listening
from PIL import Image
from swanlab_wire import serving

from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.process import LEFT
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance, samples

KIND = re.compile(r" \((text|image|figure|histogram|table|audio|video)\)$")
KEPT = re.compile(r"files/media/(?P<kind>\w+)/.+")
"""A text that says where a file is that the client cannot show."""
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(16)
STATES = {1: "finished", 2: "failed", 3: "interrupted"}


class Session:
    """One folder of the client: its records, config and files."""

    def __init__(self, folder):
        import yaml
        from swanlab.proto.swanlab.record.v1 import record_pb2
        from swanlab.sdk.internal.core_python.store import DataStoreReader

        self.folder = folder
        config = yaml.safe_load((folder / "files/config.yaml").read_text())
        self.config = {name: entry["value"] for name, entry in config.items()}
        reader = DataStoreReader()
        [path] = folder.glob("run-*.swanlab")
        reader.open(path)
        self.records = {}
        for content in reader:
            record = record_pb2.Record.FromString(content)
            kind = record.WhichOneof(record.DESCRIPTOR.oneofs[0].name)
            self.records.setdefault(kind, []).append(getattr(record, kind))
        reader.close()

    @property
    def status(self):
        [finish] = self.records["finish"]
        killed = finish.error == "the run was killed"
        return "killed" if killed else STATES[finish.state]

    def media(self):
        for record in self.records.get("media", []):
            [item] = record.value.items
            [path] = (self.folder / "media").rglob(item.filename)
            yield record, item, path.read_bytes()


def sessions(state):
    return [Session(Path(s["folder"])) for s in state.attachment.state["sessions"]]


def add_metrics(session, metrics):
    scalars = session.records.get("scalar", [])
    epochs = {s.step: s.value.number for s in scalars if s.key == "epoch"}
    for scalar in scalars:
        name = unescape(scalar.key)
        epoch = epochs.get(scalar.step) if "epoch" in name else None
        metrics.setdefault(name, []).append(Point(scalar.step, scalar.value.number, None, epoch))


def add_media(session, media):
    for record, item, content in session.media():
        key = unescape(record.key)
        named = KIND.search(key)
        kind, parsed = parse(key, item, content)
        kind = named[1] if named else kind
        if kind == "text" and (kept := KEPT.fullmatch(parsed)):
            kind, parsed = kept["kind"], (session.folder / parsed).read_bytes()
        key = KIND.sub("", key)
        media.setdefault(kind, {}).setdefault(key, []).append(
            Item(record.step, parsed, item.caption or None)
        )


def parse(key, item, content):
    """Return the kind and content of a medium; SwanLab has one column type for all pictures."""
    suffix = Path(item.filename).suffix
    if suffix == ".json":
        options = json.loads(content)
        if "rowData" in options:
            columns = [column["field"] for column in options["colDefs"]]
            return "table", (columns, [list(row.values()) for row in options["rowData"]])
        bins = [name.split(" … ") for name in options["xAxis"][0]["data"]]
        edges = [float(left) for left, _ in bins] + [float(bins[-1][1])]
        return "histogram", (edges, options["series"][0]["data"])
    if suffix == ".txt":
        return "text", content.decode()
    if suffix == ".html":
        return "figure", content
    kind = key.partition("/")[0]
    return (kind if kind in ("image", "figure", "audio", "video") else "image"), content


def artifacts(session):
    found = {}
    for folder in (session.folder / "files/artifacts").glob("*"):
        latest = max(folder.iterdir(), key=lambda path: int(path.name))
        files = [path for path in latest.rglob("*") if path.is_file()]
        found[unescape(folder.name)] = {
            path.relative_to(latest).as_posix(): path.read_bytes() for path in files
        }
    return found


def as_png(content):
    """Return a JPEG as the client stores it, without loss: as PNG."""
    if not isinstance(content, bytes) or not content.startswith(b"\xff\xd8"):
        return content
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.save(buffer, "PNG")
    return buffer.getvalue()


class TestSwanLab(TrackerConformance):
    tracker = "swanlab"
    by_hand = "native.log({'by_hand': value}, step=step)"
    time_resolution = None
    refused_keys = frozenset({"step/same", "step/far", "step/huge", "step/negative"})
    is_alone = True
    output = (r"^swanlab: ",)

    def environ(self, tmp_path):
        return {
            "SWANLAB_MODE": "offline",
            "SWANLAB_LOG_DIR": str(tmp_path / "swanlog"),
            "SWANLAB_SAVE_DIR": str(tmp_path / "settings"),
            "COLUMNS": "500",
        }

    def read(self, folder, state):
        found = sessions(state)
        last = found[-1]
        [start] = last.records["start"]
        config = last.config
        ours = config.pop("multitrack")
        metrics, media, files = {}, {}, {}
        for session in found:
            add_metrics(session, metrics)
            add_media(session, media)
            files |= artifacts(session)
        return StoredRun(
            name=start.name,
            project=start.project,
            notes=start.description or None,
            status=last.status,
            params=dict(flatten(config)),
            metrics=metrics,
            tags=ours.get("tags", {}),
            summary=ours.get("summary", {}),
            media=media,
            artifacts=files,
        )

    def count_runs(self, folder, state):
        store = Path(state.attachment.state["sessions"][-1]["folder"]).parent
        return len({path.name.split("-", 2)[2] for path in store.glob("run-*")})

    def stored_number(self, value):
        return float(value)

    def stored_points(self, points):
        first = {}
        for point in points:
            if 0 <= point.step <= 2**48:
                first.setdefault(point.step, point)
        return list(first.values())

    def stored_items(self, kind, items):
        return [item._replace(content=as_png(item.content)) for item in items]


# -- what is particular to SwanLab ---------------------------------------------------------------


later = Later("swanlab")
record, deliver = later.record, later.deliver


@pytest.fixture
def offline(tmp_path):
    return TestSwanLab().environ(tmp_path)


@pytest.fixture
def wire():
    with serving() as served:
        yield served


@pytest.fixture
def online(wire, offline):
    host = {"SWANLAB_API_HOST": wire.url, "SWANLAB_WEB_HOST": wire.url}
    return offline | host | {"SWANLAB_MODE": "online", "SWANLAB_API_KEY": "k" * 21}


def test_online(tmp_path, wire, online):
    """The server gets points, config, tags, texts and the outcome; a resumed run is the same."""
    run = record(tmp_path, online, name="n", project="p", config={"lr": 0.1}, tags=["t"])
    run.log({"loss": 0.5, "gone": float("nan")}, step=3)
    run.log_text("note", "words", step=3)
    code, folder = deliver(run, online, "failed")
    assert not code, folder.log.read_text()
    [(key, stored)] = wire.runs.items()
    assert (wire.projects, stored["name"], stored["labels"]) == (["p"], "n", [{"name": "t"}])
    assert (stored["state"], stored["config"]["lr"]["value"]) == ("CRASHED", 0.1)
    points = [(point["key"], point["index"], point["data"]) for point in wire.metrics["scalar"]]
    assert points == [("loss", 3, 0.5), ("gone", 3, "nan")]
    assert {column["key"] for column in wire.columns} == {"loss", "gone", "note"}
    assert list(wire.files.values()) == [b"words"]
    state = folder.read_state()
    assert state.attachment.id == key
    assert state.attachment.url == f"{wire.url}/@me/p/runs/{key}"
    run = record(tmp_path, online, run_id=run.id)
    run.log({"loss": 0.25}, step=4)
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    assert (list(wire.runs), stored["starts"], stored["state"]) == ([key], 2, "FINISHED")
    assert [point["index"] for point in wire.metrics["scalar"] if point["key"] == "loss"] == [3, 4]


@pytest.mark.slow
def test_outcome_that_the_server_does_not_take_is_told_again(tmp_path, wire, online):
    """The client only prints that it could not tell it."""
    wire.cannot = "/state"
    run = record(tmp_path, online)
    run.log({"loss": 1.0}, step=1)
    run.finish("failed", quiet=True)
    courier = later.follow(run, online, "retrying")
    wire.cannot = None
    assert not courier.wait(PATIENCE)
    [stored] = wire.runs.values()
    assert stored["state"] == "CRASHED"


@pytest.mark.slow
def test_key_that_is_revoked_waits_for_a_person(tmp_path, wire, online):
    """What the server did not take, and the client let go, comes again."""
    run = record(tmp_path, online)
    run.log({"loss": 1.0}, step=1)
    courier = later.follow(run, online, "waiting")
    wire.knows, wire.takes_session = [], False
    run.log({"loss": 2.0}, step=2)
    run.finish(quiet=True)
    assert courier.wait(PATIENCE) == LEFT
    assert run.folder.courier("swanlab").read_state().phase == "parked"
    wire.knows, wire.takes_session = None, True
    code, folder = deliver(run, online)
    assert not code, folder.log.read_text()
    assert {point["index"] for point in wire.metrics["scalar"]} == {1, 2}


def test_online_without_a_key_waits_for_a_person(tmp_path, offline):
    """Nothing asks for a key: the run is parked with what mends it."""
    environ = offline | {"SWANLAB_MODE": "online", "SWANLAB_API_HOST": "http://127.0.0.1:9"}
    run = record(tmp_path, environ)
    code, folder = deliver(run, environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "SWANLAB_API_KEY" in folder.read_state().remedy


@pytest.mark.slow
def test_dead_server_is_tried_again(tmp_path, offline):
    """A server that is down is no wrong key, and holds nothing up."""
    environ = offline | {
        "SWANLAB_MODE": "online",
        "SWANLAB_API_HOST": "http://127.0.0.1:9",
        "SWANLAB_API_KEY": "k" * 21,
    }
    run = record(tmp_path, environ)
    process = later.follow(run, environ, "retrying")
    state = run.folder.courier("swanlab").read_state
    process.terminate()
    assert process.wait(60) == LEFT
    assert (state().phase, state().offset) == ("retrying", 0)
    assert "k" * 21 not in run.folder.courier("swanlab").settings.read_text()
    run.finish(quiet=True)


def test_wrong_key_waits_for_a_person(tmp_path, offline):
    """A server that is there and says no is no outage."""

    class No(Handler):
        def do_POST(self):
            self.content()
            self.reply(401, b"", {})

        do_GET = do_POST

    with listening(No) as server:
        host = f"http://127.0.0.1:{server.server_port}"
        environ = {"SWANLAB_MODE": "online", "SWANLAB_API_HOST": host, "SWANLAB_API_KEY": "k" * 21}
        run = record(tmp_path, offline | environ)
        code, folder = deliver(run, offline | environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "SWANLAB_API_KEY" in folder.read_state().remedy


def test_disabled_stays_in_the_journal(tmp_path, offline):
    environ = offline | {"SWANLAB_MODE": "disabled"}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")


def test_variables_of_the_client_and_of_transformers(tmp_path, offline):
    """SWANLAB_PROJECT, at which the client alone stumbles, and what else describes a run."""
    environ = offline | {
        "SWANLAB_PROJECT": "my project",
        "SWANLAB_EXP_NAME": "named",
        "SWANLAB_TAGS": "a, b",
        "SWANLAB_GROUP": "g",
        "SWANLAB_JOB_TYPE": "train",
        "SWANLAB_DESCRIPTION": "notes",
        "SWANLAB_WORKSPACE": "team",
        "SWANLAB_RUN_ID": "given",
    }
    code, folder = deliver(record(tmp_path, environ), environ)
    assert not code, folder.log.read_text()
    [session] = sessions(folder.read_state())
    [start] = session.records["start"]
    assert unescape(start.project) == "my project"
    assert (start.name, list(start.tags), start.group) == ("named", ["a", "b"], "g")
    assert (start.job_type, start.description, start.workspace) == ("train", "notes", "team")
    assert start.id == "given"


def test_what_the_client_would_drop_is_set_aside(tmp_path, offline):
    """The client drops these without a word to its caller."""
    run = record(tmp_path, offline)
    run.log({"twice": 1.0, "other": 1.0}, step=1)
    run.log({"twice": 2.0, "x" * 600: 3.0, "third": 4.0}, step=1)
    run.log({"back": 1.0}, step=-1)
    run.log_table("table", [[1, 2]], columns=["a", "a"])
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    refused = {refusal.key: refusal.reason for refusal in folder.read_refused()}
    assert refused.keys() == {"twice", "x" * 600, "back", "table"}
    assert "one value a step" in refused["twice"]
    [session] = sessions(folder.read_state())
    stored = {(s.key, s.step): s.value.number for s in session.records["scalar"]}
    assert stored == {("twice", 1): 1.0, ("other", 1): 1.0, ("third", 1): 4.0}


def test_files_that_the_client_cannot_show(tmp_path, offline):
    """A sound of 24 bits, an MP4 and a WebP are kept as they are, with a text that says where."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 3, 8000, 0, "NONE", ""))
        file.writeframes(bytes(300))
    run = record(tmp_path, offline)
    run.log_audio("deep", buffer.getvalue(), step=1)
    run.log_video("film", MP4, step=2)
    run.log_image("web", samples.webp(), step=3)
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    [session] = sessions(folder.read_state())
    texts = {record.key: content.decode() for record, _, content in session.media()}
    found = {key: (session.folder / path).read_bytes() for key, path in texts.items()}
    assert found == {
        "deep": buffer.getvalue(),
        "film": MP4,
        "web": samples.webp(),
    }
    assert {save.name for save in session.records["save"]} >= {
        text.removeprefix("files/") for text in texts.values()
    }


def test_session_that_died_is_superseded(tmp_path, offline):
    """A courier that was killed leaves no second folder."""
    run = record(tmp_path, offline)
    run.log({"loss": 1.0}, step=1)
    courier = later.follow(run, offline, "waiting")
    courier.kill()
    courier.wait(60)
    assert run.folder.courier("swanlab").read_state().offset == 0
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    assert len(list((tmp_path / "swanlog").glob("run-*"))) == 1


def test_second_session_knows_the_first(tmp_path, offline):
    """A resumed run has its whole config, and its names hold what they held."""
    run = record(tmp_path, offline, config={"lr": 0.1}, tags=["t"], notes="n" * 2000)
    run.log({"both": 1.0}, step=1)
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    run = record(tmp_path, offline, run_id=run.id)
    run.log_text("both", "words", step=2)
    run.log_params({"optim": {"name": "sgd"}, "multitrack": None, "none": None})
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    first, second = sessions(folder.read_state())
    assert first.records["start"][0].description == "n" * 1024
    ours = second.config["multitrack"]
    assert second.config["lr"] == 0.1
    assert second.config["optim"] == {"name": "sgd"}
    assert second.config["none"] == "None"
    assert (ours["tags"], ours["notes"], ours["params"]) == (
        {"t": ""},
        "n" * 2000,
        {"multitrack": None},
    )
    assert [record.key for record, _, _ in second.media()] == ["both (text)"]


def test_leaves_the_process_as_it_was(tmp_path, offline):
    """In the trainer's process: hooks and signals stay; a second run at once is parked."""
    code = """
import signal, sys
from multitrack.trackers.start import start_run
before = sys.excepthook, signal.getsignal(signal.SIGINT)
runs = [start_run(report_to="swanlab", dir=sys.argv[1], delivery="inline") for _ in range(2)]
runs[0].log({"loss": 1.0})
assert before == (sys.excepthook, signal.getsignal(signal.SIGINT))
try:
    runs[1].log({"loss": 1.0})
finally:
    [report] = runs[1].finish(quiet=True, timeout=5)
    print("second:", report.delivered, report.message)
    [report] = runs[0].finish(quiet=True, timeout=60)
    print("first:", report.delivered, report.message)
assert before == (sys.excepthook, signal.getsignal(signal.SIGINT))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "multitrack")]
    environ = os.environ | offline
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert "second: False this process has a run of SwanLab already" in done.stdout, done.stderr
    assert "first: True None" in done.stdout, done.stderr
