"""TensorBoard: the conformance suite, read back with tensorboard's EventAccumulator."""

import html
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginEventAccumulator,
)
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_ndarray

from multitrack import start_run
from multitrack.trackers.backends.tensorboard import TensorBoardSettings, TensorBoardTracker
from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.protocol import Parked, Refused, Retry, RunInfo
from multitrack.trackers.records import (
    Artifact,
    Audio,
    Header,
    Histogram,
    Host,
    Image,
    Metrics,
    Params,
    StagedFile,
    Video,
)
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance, samples

EVENTS = "*tfevents.1*"

EVERYTHING = {"scalars": 0, "images": 0, "audio": 0, "tensors": 0, "histograms": 0}


def load(folder):
    accumulator = EventAccumulator(str(folder), size_guidance=EVERYTHING)
    accumulator.Reload()
    return accumulator


class Reader:
    """What an EventAccumulator holds, by the kinds that the tags are described with."""

    def __init__(self, folder):
        self.folder = folder
        self.events = load(folder)
        self.tags = self.events.Tags()

    def kind(self, tag):
        return self.events.SummaryMetadata(tag).summary_description

    def key(self, tag):
        return self.events.SummaryMetadata(tag).display_name

    def text(self, tag):
        if tag not in self.tags["tensors"]:
            return None
        return make_ndarray(self.events.Tensors(tag)[-1].tensor_proto)[0].decode()

    def json(self, tag):
        text = self.text(tag) or "{}"
        return json.loads(text.removeprefix("```json\n").removesuffix("\n```"))

    def table(self, tag):
        text = self.text(tag)
        return parse_table([text.encode()])[1] if text else []

    def metrics(self):
        epochs = {e.step: e.value for e in self.scalars("epoch")}
        return {
            self.key(tag) if tag in self.events.summary_metadata else tag: [
                Point(e.step, e.value, e.wall_time, epochs.get(e.step) if "epoch" in tag else None)
                for e in self.scalars(tag)
            ]
            for tag in self.tags["scalars"]
        }

    def scalars(self, tag):
        return self.events.Scalars(tag) if tag in self.tags["scalars"] else []

    def media(self):
        media, captions = {}, self._captions()
        for tag in self.tags["images"]:
            kind, key = self.kind(tag), self.key(tag)
            media.setdefault(kind, {})[key] = [
                Item(e.step, e.encoded_image_string, captions.get((kind, key, e.step)))
                for e in self.events.Images(tag)
            ]
        for tag in self.tags["tensors"]:
            parse = {
                "text": self._parse_text,
                "table": parse_table,
                "histogram": parse_histogram,
                "audio": parse_audio,
            }
            kind, key = self.kind(tag), self.key(tag)
            parse |= {f"{kind} file": self._read_file for kind in ("figure", "video", "audio")}
            if kind in parse:
                shown = kind.removesuffix(" file")
                for e in self.events.Tensors(tag):
                    array = make_ndarray(e.tensor_proto)
                    label = array[0, 1].decode() if kind == "audio" else None
                    caption = label or captions.get((shown, key, e.step))
                    item = Item(e.step, parse[kind](array), caption)
                    media.setdefault(shown, {}).setdefault(key, []).append(item)
        return media

    def _captions(self):
        return {
            (kind, self.key(tag).removesuffix("/caption"), e.step): self._parse_text(
                make_ndarray(e.tensor_proto)
            )
            for tag in self.tags["tensors"]
            for kind, _, word in [self.kind(tag).partition(" ")]
            if word == "caption"
            for e in self.events.Tensors(tag)
        }

    def _parse_text(self, array):
        return array[0].decode()

    def _read_file(self, array):
        return (self.folder / array[0].decode().strip("`")).read_bytes()

    def artifacts(self):
        found = {}
        for folder in (self.folder / "artifacts").glob("*"):
            latest = max(folder.iterdir(), key=lambda path: int(path.name))
            files = [path for path in latest.rglob("*") if path.is_file()]
            contents = {path.relative_to(latest).as_posix(): path.read_bytes() for path in files}
            found[unescape(folder.name)] = contents
        return found


def parse_table(array):
    lines = [line[2:-2].split(" | ") for line in array[0].decode().split("\n")]
    cells = [[html.unescape(cell.replace("<br>", "\n")) for cell in line] for line in lines]
    return ([], []) if cells == [[""], [""]] else (cells[0], cells[2:])


def parse_audio(array):
    return array[0, 0]


def parse_histogram(array):
    return [*array[:, 0].tolist(), array[-1, 1].item()], array[:, 2].tolist()


WRITER = """
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter(str(native / "by-hand"))
value = Summary.Value(tag="by_hand", simple_value=value)
writer.add_event(Event(step=step, summary=Summary(value=[value])))
writer.close()
"""


class TestTensorBoard(TrackerConformance):
    tracker = "tensorboard"
    by_hand = WRITER
    time_resolution = 0.0

    def environ(self, tmp_path):
        return {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "board")}

    def read(self, folder, state):
        reader = Reader(Path(state.attachment.id))
        beside = reader.folder / "by-hand"
        header = reader.json("run")
        return StoredRun(
            name=header.get("name"),
            project=header.get("project"),
            notes=reader.text("notes"),
            status=reader.text("status"),
            params=dict(flatten(reader.json("params"))),
            metrics=reader.metrics() | (Reader(beside).metrics() if beside.exists() else {}),
            tags=dict(reader.table("tags")),
            summary=reader.json("summary"),
            media=reader.media(),
            artifacts=reader.artifacts(),
        )

    def count_runs(self, folder, state):
        return len({path.parent for path in Path(state.attachment.state["board"]).rglob(EVENTS)})

    def stored_number(self, value):
        with np.errstate(over="ignore"):
            return float(np.float32(value))

    def stored_items(self, kind, items):
        if kind == "table":
            return [Item(i.step, (i.content[0], list(map(as_text, i.content[1])))) for i in items]
        if kind == "image":
            return [item._replace(content=without_webp(item.content)) for item in items]
        return items


def without_webp(content):
    """Return a picture as PNG if it is a WebP, which TensorBoard does not show."""
    if not content.startswith(b"RIFF"):
        return content
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(content)).save(buffer, "PNG")
    return buffer.getvalue()


def as_text(row):
    return ["" if cell is None else str(cell) for cell in row]


# -- what only TensorBoard has -----------------------------------------------------------------


class Session:
    """One courier's turn at a run, driven by hand.

    Args:
        tmp_path: holds the board, and the run's folder.
        previous: the turn that it follows.
    """

    def __init__(self, tmp_path, previous=None, logging_dir=None, **header):
        host = Host(hostname="h", pid=1, platform="p", python="3")
        self.tmp_path = tmp_path
        self.time = 1000.5 if previous is None else previous.time
        header = {"run_id": "r", "host": host, "cwd": str(tmp_path), "time": 1000.0, **header}
        self.run = RunInfo(
            header=Header(**header),
            folder=tmp_path / "mt",
            attachment=previous and previous.attachment,
            directory=tmp_path,
        )
        self.tracker = TensorBoardTracker(TensorBoardSettings(logging_dir=logging_dir))
        self.attachment = self.tracker.start(self.run)
        self.folder = Path(self.attachment.id)

    def point(self, name, step, value=0.0):
        self.time += 1
        return Metrics(time=self.time, step=step, values={name: value})

    def log(self, name, steps, value=0.0):
        self.tracker.log_metrics([self.point(name, step, value) for step in steps])

    def write(self, batch):
        self.tracker.log_metrics(batch)
        self.tracker.flush()

    def log_file(self, method, record, name, content, **fields):
        (self.run.folder / "files").mkdir(parents=True, exist_ok=True)
        (self.run.folder / "files" / name).write_bytes(content)
        file = StagedFile(path=f"files/{name}", name=name, size=len(content), mtime_ns=0)
        method(record(time=self.time, key="k", step=1, file=file, **fields))

    def finish(self, status="finished"):
        self.tracker.finish(status)


def steps_of(folder, tag):
    """Return a tag's steps as read by each of tensorboard's own two accumulators."""
    inspector = load(folder)
    shown = PluginEventAccumulator(str(folder), tensor_size_guidance={"scalars": 0})
    shown.Reload()
    found = [event.step for event in inspector.Scalars(tag)]
    assert [event.step for event in shown.Tensors(tag)] == found
    return found


def test_going_back_replaces_what_was_stored_from_there_on(tmp_path):
    first = Session(tmp_path)
    first.log("loss", range(10))
    first.log("epoch/accuracy", [0, 1])
    first.finish("failed")
    second = Session(tmp_path, first)
    second.log("loss", range(6, 12), value=1.0)
    second.log("epoch/accuracy", [1, 2])
    second.finish()
    values = [(event.step, event.value) for event in load(first.folder).Scalars("loss")]
    assert values == [(step, 0.0 if step < 6 else 1.0) for step in range(12)]
    assert steps_of(first.folder, "loss") == list(range(12))
    assert steps_of(first.folder, "epoch/accuracy") == [0, 1, 1, 2]


def test_third_process_goes_back_once_more(tmp_path):
    session = Session(tmp_path)
    session.log("loss", range(10))
    for start in (5, 3):
        session.finish("failed")
        session = Session(tmp_path, session)
        session.log("loss", range(start, 8))
    session.finish()
    assert steps_of(session.folder, "loss") == list(range(8))


def test_going_back_within_one_process_replaces_nothing(tmp_path):
    session = Session(tmp_path)
    session.log("loss", [5, 6, 1, 2])
    session.finish()
    assert steps_of(session.folder, "loss") == [5, 6, 1, 2]


def test_same_step_in_the_next_process_replaces_nothing(tmp_path):
    first = Session(tmp_path)
    first.log("loss", range(5))
    first.log("eval", [4])
    first.finish()
    second = Session(tmp_path, first)
    second.log("eval", [4])
    second.finish()
    assert steps_of(first.folder, "loss") == list(range(5))
    assert steps_of(first.folder, "eval") == [4, 4]


def test_going_back_to_the_start_keeps_params(tmp_path):
    first = Session(tmp_path)
    first.tracker.log_params(Params(time=1.0, values={"lr": 0.1}))
    first.log("loss", range(5))
    first.finish("killed")
    second = Session(tmp_path, first)
    second.log("loss", range(3))
    second.finish()
    assert Reader(first.folder).json("params") == {"lr": 0.1}
    assert steps_of(first.folder, "loss") == [0, 0, 1, 2]


def test_repeated_params_leave_the_latest_shown(tmp_path):
    params = [Params(time=float(value), values={"lr": value}) for value in (1, 2)]
    session = Session(tmp_path)
    for _ in range(2):
        for one in params:
            session.tracker.log_params(one)
        session.finish()
        assert Reader(session.folder).json("params") == {"lr": 2}
        assert Reader(session.folder).text("status") == "finished"
        session = Session(tmp_path, session)


def test_new_files_sort_behind_old_ones_whatever_the_clock_says(tmp_path):
    first = Session(tmp_path)
    first.log("loss", [1])
    first.finish()
    [path] = first.folder.glob("*tfevents.1*")
    path.rename(path.with_name("events.out.tfevents.9000000000.elsewhere.1"))
    second = Session(tmp_path, first)
    second.log("loss", [2])
    second.finish()
    assert steps_of(first.folder, "loss") == [1, 2]


def hparams(folder):
    content = load(folder).PluginTagToContent("hparams")
    return {
        tag: HParamsPluginData.FromString(content[f"_hparams_/session_{tag}_info"])
        for tag in ("start", "end")
        if f"_hparams_/session_{tag}_info" in content
    }


def test_hparams_have_types_and_the_latest_outcome(tmp_path):
    first = Session(tmp_path)
    first.tracker.log_params(Params(time=1.0, values={"lr": 0.1, "net": {"bias": True, "n": 3}}))
    first.tracker.log_params(Params(time=2.0, values={"lr": 0.2, "net": {"name": "a", "at": [1]}}))
    assert list(hparams(first.folder)) == ["start"]
    first.finish("failed")
    assert hparams(first.folder)["end"].session_end_info.status == api_pb2.STATUS_FAILURE
    second = Session(tmp_path, first)
    assert hparams(first.folder)["end"].session_end_info.status == api_pb2.STATUS_RUNNING
    second.log("loss", [1])
    second.finish()
    found = hparams(first.folder)
    assert found["end"].session_end_info.status == api_pb2.STATUS_SUCCESS
    assert found["end"].session_end_info.end_time_secs == second.time
    start = found["start"].session_start_info
    assert (start.group_name, start.start_time_secs) == ("r", 1000.0)
    assert {name: value.WhichOneof("kind") for name, value in start.hparams.items()} == {
        "lr": "number_value",
        "net/bias": "bool_value",
        "net/n": "number_value",
        "net/name": "string_value",
        "net/at": "string_value",
    }
    assert (start.hparams["lr"].number_value, start.hparams["net/at"].string_value) == (0.2, "[1]")


def test_what_was_flushed_survives_the_death_of_the_courier(tmp_path):
    child = os.fork()
    if not child:
        session = Session(tmp_path)
        session.log("loss", range(50))
        session.tracker.flush()
        session.log("loss", [50])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    [folder] = (tmp_path / "runs").iterdir()
    assert steps_of(folder, "loss")[:50] == list(range(50))
    torn = next(folder.glob("*tfevents.1*"))
    torn.write_bytes(torn.read_bytes()[:-3])
    second = Session(tmp_path)  # it died before its attachment was kept
    second.log("loss", range(49, 70))
    second.finish()
    assert second.folder == folder
    assert steps_of(folder, "loss") == list(range(70))


@contextmanager
def file_size_limit(size):
    """Let no file grow beyond a size, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [100, 1000, 3000])
def test_full_disk_loses_and_repeats_nothing(tmp_path, room):
    session = Session(tmp_path)
    batches = [[session.point("loss", 100 * i + j) for j in range(100)] for i in range(3)]
    session.write(batches[0])
    size = max(path.stat().st_size for path in session.folder.iterdir())
    with file_size_limit(size + room), pytest.raises(OSError, match="large") as caught:
        session.write(batches[1])
    assert isinstance(session.tracker.classify(caught.value), Retry)
    session.write(batches[1])
    session.write(batches[2])
    session.finish()
    assert steps_of(session.folder, "loss") == list(range(300))


def test_flush_that_failed_is_made_up_for(tmp_path):
    session = Session(tmp_path)
    session.log("loss", range(100))
    with file_size_limit(500), pytest.raises(OSError, match="large"):
        session.tracker.flush()
    session.log("loss", range(100, 200))
    session.finish()
    assert steps_of(session.folder, "loss") == list(range(200))


def test_default_folder_has_the_name_of_the_run(tmp_path):
    names = ["a run", "a run", "../../up", "x/y", "..", "n" * 300, "é" * 150]
    sessions = [Session(tmp_path, name=n, run_id=f"r{i}") for i, n in enumerate(names)]
    folders = [session.folder.relative_to(tmp_path / "runs") for session in sessions]
    shown = [str(folder) for folder in folders[:5]]
    assert shown == ["a run", "a run/r1", ".._x2f_.._x2f_up", "x_x2f_y", "_x2e__x2e_"]
    assert len(set(folders)) == len(names)
    assert sessions[0].attachment.url == f"tensorboard --logdir {tmp_path / 'runs'}"


def test_run_stays_in_its_folder_when_the_variable_changes(tmp_path):
    first = Session(tmp_path, logging_dir=tmp_path / "here")
    first.log("loss", [1])
    first.finish()
    second = Session(tmp_path, first, logging_dir=tmp_path / "there")
    second.log("loss", [2])
    second.finish()
    assert second.attachment == first.attachment
    assert steps_of(tmp_path / "here", "loss") == [1, 2]
    assert not (tmp_path / "there").exists()


def test_folder_of_another_writer_is_left_alone(tmp_path):
    theirs = tmp_path / "runs" / "shared"
    EventFileWriter(str(theirs)).close()
    session = Session(tmp_path, name="shared")
    session.log("loss", [1])
    session.finish()
    assert session.folder == theirs / "r"
    assert len(list(theirs.glob(EVENTS))) == 1


def test_webp_becomes_png(tmp_path):
    session = Session(tmp_path)
    session.log_file(session.tracker.log_image, Image, "a.webp", samples.webp())
    session.finish()
    [event] = load(session.folder).Images("k")
    assert event.encoded_image_string.startswith(b"\x89PNG")
    assert (event.width, event.height) == samples.SIZE


def test_what_cannot_be_shown_is_kept_as_a_file(tmp_path):
    session = Session(tmp_path)
    session.log_file(session.tracker.log_video, Video, "a.mp4", b"mp4", caption="c")
    session.log_file(session.tracker.log_audio, Audio, "a.mp3", b"ID3")
    session.finish()
    reader = Reader(session.folder)
    assert reader.media()["video"]["k"] == [Item(1, b"mp4", "c")]
    assert reader.media()["audio"]["k"] == [Item(1, b"ID3")]
    assert reader.text("k/caption") == "c"


def test_caption_of_a_sound_is_its_label(tmp_path):
    session = Session(tmp_path)
    session.log_file(session.tracker.log_audio, Audio, "a.wav", samples.wav(), caption="hum ✓")
    session.finish()
    [event] = load(session.folder).Tensors("k")
    assert make_ndarray(event.tensor_proto).tolist() == [[samples.wav(), "hum ✓".encode()]]


def test_broken_picture_is_refused(tmp_path):
    session = Session(tmp_path)
    with pytest.raises(ValueError, match="'k' is no picture") as caught:
        session.log_file(session.tracker.log_image, Image, "a.png", b"no picture")
    assert isinstance(session.tracker.classify(caught.value), Refused)


def test_artifact_cannot_leave_its_folder(tmp_path):
    session = Session(tmp_path)
    session.run.folder.mkdir()
    (session.run.folder / "f").write_bytes(b"")
    files = [StagedFile(path="f", name="../../../../out", size=0, mtime_ns=0)]
    artifact = Artifact(time=1.0, step=1, name="a", kind="file", files=files)
    with pytest.raises(Refused, match="is not below"):
        session.tracker.log_artifact(artifact)


def test_folder_that_cannot_be_made_waits_for_a_person(tmp_path):
    (tmp_path / "runs").write_bytes(b"a file")
    with pytest.raises(OSError, match="runs") as caught:
        Session(tmp_path, name="run")
    answer = TensorBoardTracker(TensorBoardSettings()).classify(caught.value)
    assert isinstance(answer, Parked)
    assert "TENSORBOARD_LOGGING_DIR" in answer.remedy


# -- what people see ---------------------------------------------------------------------------


class Server:
    """``tensorboard`` itself, on a free port of the loopback."""

    def __init__(self, board, loader):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}/data"
        port = self.url.split(":")[2].split("/")[0]
        options = ["--logdir", str(board), "--host", "127.0.0.1", "--port", port]
        command = [sys.executable, "-m", "tensorboard.main", *options, f"--load_fast={loader}"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def ask(self, path, body=None, **query):
        url = f"{self.url}/{path}?{urlencode(query)}"
        content = None if body is None else json.dumps(body).encode()
        request = Request(url, content, {"Content-Type": "application/json"})
        with urlopen(request) as answer:
            return json.loads(answer.read())

    def await_text(self, run, tag):
        for _ in range(100):
            try:
                if texts := self.ask("plugin/text/text", run=run, tag=tag):
                    return texts
            except (URLError, ConnectionError):
                pass
            time.sleep(0.2)
        raise AssertionError("tensorboard does not show the run")


@pytest.mark.parametrize("loader", ["true", "false"])
def test_tensorboard_shows_it(tmp_path, loader):
    reason = "this tensorboard needs pkg_resources, which setuptools no longer has"
    pytest.importorskip("tensorboard.default", exc_type=ImportError, reason=reason)
    first = Session(tmp_path, name="shown")
    first.tracker.log_params(Params(time=1.0, values={"lr": 0.1}))
    first.log("loss", range(10))
    first.finish("failed")
    second = Session(tmp_path, first, name="shown")
    second.log("loss", range(5, 8), value=1.0)
    second.log("k", [1])
    second.log_file(second.tracker.log_image, Image, "a.gif", samples.gif())
    second.log_file(second.tracker.log_audio, Audio, "a.wav", samples.wav())
    edges, counts = [0.0, 1.0, 3.0], [2.0, 0.0]
    record = Histogram(time=1.0, step=1, key="h", edges=edges, counts=counts, total=1, squares=1)
    second.tracker.log_histogram(record)
    second.finish()
    server = Server(tmp_path / "runs", loader)
    try:
        assert "finished" in server.await_text("shown", "status")[-1]["text"]
        points = server.ask("plugin/scalars/scalars", run="shown", tag="loss")
        assert [(step, value) for _, step, value in points] == [
            (step, 0.0 if step < 5 else 1.0) for step in range(8)
        ]
        [[_, step, rows]] = server.ask("plugin/histograms/histograms", run="shown", tag="h")
        assert (step, rows) == (1, [[0.0, 1.0, 2.0], [1.0, 3.0, 0.0]])
        [image] = server.ask("plugin/images/images", run="shown", tag="k (image)", sample=0)
        url = f"{server.url}/plugin/images/individualImage?{image['query']}"
        with urlopen(url) as answer:
            assert (answer.headers["Content-Type"], answer.read()) == ("image/gif", samples.gif())
        [sound] = server.ask("plugin/audio/audio", run="shown", tag="k (audio)", sample=0)
        assert sound["contentType"] == "audio/wav"
        asked = {"allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 9, "colParams": []}
        [group] = server.ask("plugin/hparams/session_groups", asked)["sessionGroups"]
        assert group["hparams"] == {"lr": 0.1}
        assert group["sessions"][0]["status"] == "STATUS_SUCCESS"
    finally:
        server.process.terminate()
        server.process.wait()


@pytest.mark.parametrize("is_told", [True, False], ids=["argument", "variable"])
def test_a_folder_given_in_code_beats_the_variable(tmp_path, monkeypatch, is_told):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "variable"))
    told = {"tensorboard": {"logging_dir": tmp_path / "told"}} if is_told else {}
    with start_run(
        report_to="tensorboard", dir=tmp_path / "runs", delivery="inline", settings=told
    ) as run:
        run.log({"loss": 0.5}, step=1)
        [report] = run.finish(quiet=True, timeout=60)
    assert report.delivered, report
    found = {name for name in ("told", "variable") if (tmp_path / name).exists()}
    assert found == ({"told"} if is_told else {"variable"})
    assert steps_of(tmp_path / found.pop(), "loss") == [1]
