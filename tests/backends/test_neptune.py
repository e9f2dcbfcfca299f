"""Neptune: the conformance suite offline, read back with the client's own operations."""

import base64
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from later import Later

from multitrack.trackers.backends.neptune import NeptuneSettings, NeptuneTracker
from multitrack.trackers.names import unescape
from multitrack.trackers.process import LEFT
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.records import Header, Host
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance

ASSIGN = ("AssignInt", "AssignFloat", "AssignBool", "AssignString")


class Folder:
    """One offline folder of the client: what its operations leave, by path."""

    def __init__(self, path):
        from neptune.internal.operation import Operation

        self.path = path
        self.values, self.series, self.files, self.tags = {}, {}, {}, []
        for found in operations(path):
            operation = Operation.from_dict(found)
            key = "/".join(operation.path)
            kind = type(operation).__name__
            if kind in ASSIGN:
                self.values[key] = operation.value
            elif kind == "DeleteAttribute":
                del (self.files if key in self.files else self.values)[key]
            elif kind.startswith("Log"):
                self.series.setdefault(key, []).extend(operation.values)
            elif kind == "UploadFile":
                name = operation.file_path or path / "upload_path" / operation.tmp_file_name
                self.files[key] = Path(name).read_bytes()
            elif kind == "AddStrings":
                self.tags += operation.values
            elif kind == "RemoveStrings":
                self.tags = [tag for tag in self.tags if tag not in operation.values]


def operations(folder):
    """Yield the operations of a folder, as the client's queue wrote them."""
    decoder = json.JSONDecoder()
    for path in sorted(folder.glob("data-*.log"), key=lambda p: int(p.stem.split("-")[1])):
        text, index = path.read_text(), 0
        while index < len(text):
            found, index = decoder.raw_decode(text, index)
            yield found["obj"]
            while index < len(text) and text[index].isspace():
                index += 1


def below(root, found):
    return {
        unescape(path.removeprefix(f"{root}/")): value
        for path, value in found.items()
        if path.startswith(f"{root}/")
    }


def points(folder, metrics):
    epochs = {v.step: v.value for v in folder.series.get("metrics/epoch", [])}
    for root in ("metrics", "non_finite"):
        for name, values in below(root, folder.series).items():
            for value in values:
                epoch = epochs.get(value.step) if "epoch" in name else None
                point = Point(int(value.step), float(value.value), value.ts, epoch)
                metrics.setdefault(name, []).append(point)


def media(folder, found):
    def add(kind, key, step, content, caption=None):
        found.setdefault(kind, {}).setdefault(key, []).append(Item(int(step), content, caption))

    captions = below("captions/files", folder.values)

    for key, values in below("text", folder.series).items():
        for value in values:
            add("text", key, value.step, value.value)
    for kind in ("image", "figure"):
        for key, values in below(kind, folder.series).items():
            for value in values:
                picture = value.value
                content = base64.b64decode(picture.data)
                add(kind, key, value.step, content, picture.description)
    for name, content in below("files", folder.files).items():
        kind, _, rest = name.partition("/")
        key, _, moment = rest.rpartition("/")
        step = moment.partition("-")[0]
        add(kind, key, step, parse(kind, content), captions.get(name))


def parse(kind, content):
    if kind == "text":
        return content.decode()
    if kind == "table":
        grid = json.loads(content)
        return grid["columns"], grid["data"]
    if kind == "histogram":
        bins = json.loads(content)
        return bins["edges"], bins["counts"]
    return content


def artifacts(folder, found):
    for path, content in folder.files.items():
        root, *parts = path.split("/")
        if root == "artifacts":
            name, moment, *names = parts
            order = int(moment.rpartition("-")[2])
            versions = found.setdefault(unescape(name), {})
            versions.setdefault(order, {})[unescape("/".join(names))] = content


def folders(state):
    return [Folder(Path(path)) for path in state.attachment.state["folders"]]


def kept(value):
    """Return a value as an attribute holds it: what no float64 is, as text."""
    is_exact = isinstance(value, str) or math.isnan(value) or int(value) == int(float(value))
    return value if is_exact else str(value)


class TestNeptune(TrackerConformance):
    tracker = "neptune"
    by_hand = "native['metrics/by_hand'].append(value, step=step)"
    time_resolution = 1e-6
    output = (r"^\[neptune\] \[info",)

    def environ(self, tmp_path):
        return {"NEPTUNE_DATA_DIRECTORY": str(tmp_path / "neptune")}

    def read(self, folder, state):
        values, files, metrics, stored, versions, tags = {}, {}, {}, {}, {}, []
        for found in folders(state):
            values |= found.values
            files |= found.files
            tags = found.tags if not tags else [*tags, *found.tags]
            points(found, metrics)
            media(found, stored)
            artifacts(found, versions)
        whole = {path: content.decode() for path, content in below("long", files).items()}
        params = below("parameters", values | whole)
        return StoredRun(
            name=values["sys/name"],
            project=values["multitrack/project"],
            notes=values.get("sys/description"),
            status=values["multitrack/status"],
            params=params,
            metrics=metrics,
            tags=dict(tag.partition("=")[::2] for tag in tags),
            summary=below("summary", values),
            media=stored,
            artifacts={name: found[max(found)] for name, found in versions.items()},
        )

    def count_runs(self, folder, state):
        store = Path(state.attachment.state["folders"][-1]).parent
        return len({Folder(path).values["multitrack/run_id"] for path in store.iterdir()})

    def stored_number(self, value):
        return float(value)

    def stored_param(self, value):
        return kept(value) if isinstance(value, int | float | str) else json.dumps(value)

    def stored_summary(self, value):
        return kept(super().stored_summary(value))


# -- what is particular to Neptune ---------------------------------------------------------------


@pytest.fixture
def offline(tmp_path):
    return TestNeptune().environ(tmp_path)


later = Later("neptune")
record, deliver = later.record, later.deliver


def test_service_that_was_closed(tmp_path, offline):
    """A mode of the hosted service waits for a person, who is told what there is instead."""
    environ = offline | {"NEPTUNE_MODE": "async"}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "NEPTUNE_MODE to offline" in folder.read_state().remedy


def test_variables_of_the_client(tmp_path, offline):
    environ = offline | {"NEPTUNE_PROJECT": "team/p", "NEPTUNE_CUSTOM_RUN_ID": "mine"}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert not code, folder.log.read_text()
    [found] = folders(folder.read_state())
    assert found.values["multitrack/project"] == "team/p"
    assert found.values["multitrack/run_id"] == folder.read_state().attachment.id == "mine"


def test_limits_of_the_client(tmp_path, offline):
    """What the client skips, cuts or merges without a word is kept."""
    run = record(tmp_path, offline)
    run.log({"loss": float("nan"), "loss/ce": 1.0, "deep/er": 2.0, "deep": 3.0}, step=1)
    run.log({"loss": 0.5}, step=2)
    run.log_params({"big": 2**40, "bigger": 2**63 - 1, "nan": float("nan")})
    run.log_text("long", "t" * 2000, step=3)
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    assert not folder.read_refused()
    [found] = folders(folder.read_state())
    metrics = {}
    points(found, metrics)
    stored = {name: [(p.step, repr(p.value)) for p in rows] for name, rows in metrics.items()}
    assert stored == {
        "loss": [(2, "0.5"), (1, "nan")],
        "loss/ce": [(1, "1.0")],
        "deep/er": [(1, "2.0")],
        "deep": [(1, "3.0")],
    }
    params = below("parameters", found.values)
    assert params == {"big": float(2**40), "bigger": str(2**63 - 1), "nan": "NaN"}
    [(path, content)] = below("files/text", found.files).items()
    assert (path.partition("-")[0], content) == ("long/3", b"t" * 2000)


def test_later_values_of_another_kind(tmp_path, offline):
    """A param, tag or summary value takes the place of an earlier one of another type."""
    run = record(tmp_path, offline, config={"lr": 1}, tags={"team": "a", "bare": ""})
    run.log_params({"lr": 0.5})
    run.log_params({"lr": "auto"})
    run.set_tags({"team": "b"})
    run.summary({"best": 3})
    run.summary({"best": "none"})
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    run = record(tmp_path, offline, run_id=run.id)
    run.set_tags({"team": "c"})
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    first, second = folders(folder.read_state())
    assert first.values["parameters/lr"] == "auto"
    assert first.values["summary/best"] == "none"
    assert sorted(first.tags) == ["bare", "team=b"]
    assert second.tags == ["team=c"]


def test_long_value_that_becomes_a_short_one(tmp_path, offline):
    """No file stays that would say something else."""
    run = record(tmp_path, offline, config={"prompt": "p" * 20_000})
    run.log_params({"prompt": "short"})
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    [found] = folders(folder.read_state())
    assert found.values["parameters/prompt"] == "short"
    assert not below("long", found.files)


def test_long_names_of_what_becomes_a_file(tmp_path, offline):
    """The client names its own files by the whole path, which may be too long for one."""
    name = "ü" * 120
    run = record(tmp_path, offline, config={name: "p" * 20_000})
    run.log_histogram(name, [1.0, 2.0], step=1)
    run.log_text(name, "t" * 2000, step=1)
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    assert not folder.read_refused()
    [found] = folders(folder.read_state())
    assert below("long/parameters", found.files) == {name: b"p" * 20_000}
    kept = {path.rpartition("/")[0] for path in below("files", found.files)}
    assert kept == {f"histogram/{name}", f"text/{name}"}


def test_two_of_one_step_are_two(tmp_path, offline):
    """Even if they are logged at once."""
    run = record(tmp_path, offline)
    for letter in "ab":
        run.log_text("long", letter * 2000, step=1)
    for content, name in ((b"old", "old.txt"), (b"new", "new.txt")):
        (tmp_path / name).write_bytes(content)
        run.log_artifact(tmp_path / name, name="best", step=1)
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    [found] = folders(folder.read_state())
    texts = below("files/text", found.files)
    assert sorted(content[:1] for content in texts.values()) == [b"a", b"b"]
    versions = {}
    artifacts(found, versions)
    assert [*versions["best"].values()] == [{"old.txt": b"old"}, {"new.txt": b"new"}]


@pytest.mark.parametrize("is_said", ["True", "False"])
def test_disk_that_is_fuller_than_allowed_gets_all_later(tmp_path, offline, is_said):
    """The client would only warn, and write nothing."""
    full = offline | {
        "NEPTUNE_MAX_DISK_USAGE": "0.0001",
        "NEPTUNE_RAISE_ERROR_ON_DISK_USAGE_EXCEEDED": is_said,
    }
    run = record(tmp_path, full)
    run.log({"loss": 1.0}, step=1)
    courier = later.follow(run, full, "retrying")
    courier.terminate()
    assert courier.wait(120) == LEFT
    code, folder = deliver(run, offline)
    assert not code, folder.log.read_text()
    assert not folder.read_refused()
    assert [v.value for v in folders(folder.read_state())[-1].series["metrics/loss"]] == [1.0]


def test_runs_that_start_at_once_know_their_own_folders(tmp_path):
    host = Host(hostname="h", pid=1, platform="p", python="3")

    def start(run_id):
        tracker = NeptuneTracker(NeptuneSettings(data_directory=tmp_path))
        header = Header(time=1.0, run_id=run_id, host=host, cwd=str(tmp_path))
        attachment = tracker.start(RunInfo(header=header, folder=tmp_path, directory=tmp_path))
        tracker.finish("finished")
        return attachment.state["folders"]

    with ThreadPoolExecutor() as pool:
        found = [*pool.map(start, ["one", "two", "three"])]
    runs = [[Folder(Path(path)).values["multitrack/run_id"] for path in paths] for paths in found]
    assert runs == [["one"], ["two"], ["three"]]


def test_leaves_the_process_as_it_was(tmp_path, offline):
    """Hooks stay, and two runs at once are two folders."""
    code = """
import os, signal, sys
from multitrack.trackers.start import start_run
before = sys.excepthook, signal.getsignal(signal.SIGINT), dict(os.environ)
runs = [start_run(report_to="neptune", dir=sys.argv[1], delivery="inline") for _ in range(2)]
for run in runs:
    run.log({"loss": 1.0}, step=1)
assert before == (sys.excepthook, signal.getsignal(signal.SIGINT), dict(os.environ))
for run in runs:
    [report] = run.finish(quiet=True, timeout=60)
    assert report.delivered, report
    print(report.url)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "multitrack")]
    environ = os.environ | offline
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert not done.returncode, done.stderr
    urls = {line for line in done.stdout.splitlines() if line.startswith("/")}
    assert len(urls) == 2
