"""Azure ML: the conformance suite in a job's environment, read back with the client's own reader.

No account is at hand: a stand-in for the service, on the loopback interface, takes the calls of
the real client and gives back what it took. It shows what goes over the wire, no limit of Azure's.
"""

import json
import re
import threading
import time
from datetime import datetime

import pytest
from azureml_wire import job, serving
from later import Later

from multitrack.trackers.backends import azureml
from multitrack.trackers.backends.azureml import AzureMLSettings, AzureMLTracker
from multitrack.trackers.names import unescape
from multitrack.trackers.process import LEFT
from multitrack.trackers.protocol import Parked, Refused, Restart, Retry, RunInfo
from multitrack.trackers.records import Header, Host, Metrics, Text
from multitrack.trackers.settings import load
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance
from multitrack.trackers.testing.deliver import environment

SUMMARY, NON_FINITE = "summary/", "non_finite/"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service for all tests: in one process, the client stays with the first it finds."""
    with serving(tmp_path_factory.mktemp("service")) as served:
        yield served


class Reader:
    """One run, through the client: values by ``get_metrics``, files by ``download_file``."""

    def __init__(self, wire, run_id, folder):
        from azureml.core import Run

        self.wire = wire
        self.folder = folder
        self.run = Run(Run.get_context(allow_offline=False).experiment, run_id)
        self.paths = self.run.get_file_names()
        last = max((p for p in self.paths if p.startswith("multitrack/run/")), default=None)
        self.tree = json.loads(self.download(last)) if last else {"multitrack": {}}
        self.about = self.tree.pop("multitrack")

    def download(self, path):
        target = self.folder / "downloaded"
        self.run.download_file(path, str(target))
        return target.read_bytes()

    def whole(self, name):
        """Return the name that was logged; one that was cut stands in a file."""
        place = f"multitrack/names/{name[-16:]}-"
        if len(name) > 200 and (kept := [p for p in self.paths if p.startswith(place)]):
            name = self.download(kept[-1]).decode()
        return unescape(name)

    def points(self):
        """Yield name, step and value of all points, as they were logged.

        The client returns them as they came, and it sends batches side by side; steps and times
        are not in what it returns.
        """
        for name, values in self.run.get_metrics().items():
            listed = values if isinstance(values, list) else [values]
            rows = [r for v in self.wire.points[self.run.id][name] for r in v["value"]]
            assert listed == [row["data"][name] for row in rows]
            pairs = sorted(zip(rows, listed, strict=True), key=lambda pair: moment(pair[0]))
            for row, value in pairs:
                yield self.whole(name.removeprefix(NON_FINITE)), row.get("step"), float(value)


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


def moment(row):
    return datetime.fromisoformat(row["createdUtc"].replace("Z", "+00:00"))


def by_time(path):
    return path.rpartition("/")[0], int(path.rpartition("-")[2].partition(".")[0])


ARTIFACT = re.compile(r"artifact/(?P<name>.+?)/-?\d+-(?P<time>\d{16})/(?P<file>.+)")
"""The path of an artifact's file."""


class TestAzureML(TrackerConformance):
    tracker = "azureml"
    by_hand = "native.log('by_hand', value, step=step)"
    time_resolution = None
    keeps_project = False
    refused_keys = frozenset({"k" * 300, "k" * 299 + "l"})  # no path has a part as long
    output = ("pkg_resources",)  # that it is going away, which clients before 1.61 import

    @pytest.fixture(autouse=True, scope="class")
    def _served(self, service):
        type(self).wire = service

    def environ(self, tmp_path):
        return job(self.wire, tmp_path)

    def read(self, folder, state):
        found = Reader(self.wire, state.attachment.id, folder.path.parent.parent)
        tags = found.run.get_tags()
        metrics, media, artifacts = {}, {}, {}
        points = list(found.points())
        epochs = {step: value for name, step, value in points if name == "epoch"}
        for name, step, value in points:
            if not name.startswith(SUMMARY):
                epoch = epochs.get(step) if name.startswith("epoch/") else None
                metrics.setdefault(name, []).append(Point(step, value, None, epoch))
        files = [p for p in found.paths if not p.startswith(("multitrack/", "artifact/"))]
        for path in sorted(files, key=by_time):
            kind, key = path.rpartition("/")[0].split("/", 1)
            if path.endswith(".json") and kind not in {"table", "histogram"}:
                continue
            step = int(path.rpartition("/")[2].partition("-")[0])
            beside = f"{path.rpartition('.')[0]}.json"
            is_told = kind not in {"table", "histogram"} and beside in found.paths
            about = json.loads(found.download(beside)) if is_told else {}
            item = Item(step, content_of(kind, found.download(path)), about.get("caption"))
            media.setdefault(kind, {}).setdefault(unescape(key), []).append(item)
        for path in found.paths:
            if kept := ARTIFACT.fullmatch(path):
                versions = artifacts.setdefault(unescape(kept["name"]), {})
                order, file = int(kept["time"]), unescape(kept["file"])
                versions.setdefault(order, {})[file] = found.download(path)
        return StoredRun(
            name=found.run.display_name,
            notes=found.run.description,
            status=tags["multitrack/status"],
            params=dict(flat(found.tree)),
            metrics=metrics,
            tags={unescape(k): v for k, v in tags.items() if not k.startswith("multitrack/")},
            summary=found.about.get("summary", {}),
            media=media,
            artifacts={name: versions[max(versions)] for name, versions in artifacts.items()},
        )

    def stored_number(self, value):
        return float(value)


def flat(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


# -- what is particular to Azure ML --------------------------------------------------------------


@pytest.fixture
def wire(service):
    yield service
    service.reset()


@pytest.fixture
def inside(tmp_path, wire):
    """The variables of a job."""
    return job(wire, tmp_path)


@pytest.fixture
def own(inside):
    """The id of the job's own run."""
    return inside["AZUREML_RUN_ID"]


later = Later("azureml")
record, deliver = later.record, later.deliver


def test_outside_a_job_waits_for_a_person(tmp_path):
    """The client's offline run stores nothing, so nothing is given to it."""
    code, folder = deliver(record(tmp_path, {}), {})
    state = folder.read_state()
    assert (code, state.phase, state.offset) == (LEFT, "parked", 0)
    assert "submitted Azure ML job" in state.remedy


def test_token_that_is_none_waits_for_a_person(tmp_path, inside):
    environ = inside | {"AZUREML_RUN_TOKEN": "nonsense"}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "nonsense" not in folder.settings.read_text() + folder.state.read_text()


@pytest.mark.parametrize("status", [401, 403])
def test_token_that_expired_waits_for_a_person(tmp_path, wire, inside, status):
    wire.denies = status
    code, folder = deliver(record(tmp_path, inside), inside)
    state = folder.read_state()
    assert (code, state.phase) == (LEFT, "parked")
    assert "submitted Azure ML job" in state.remedy
    assert "\n" not in state.message


def test_second_run_of_a_job_is_its_child(tmp_path, wire, inside, own):
    """The job's own status is the service's; that of a child is told."""
    runs = [record(tmp_path, inside, name=f"trial {i}") for i in (1, 2)]
    for run in runs:
        run.log({"loss": 0.5}, step=1)
        code, folder = deliver(run, inside)
        assert not code, folder.log.read_text()
    child = f"{own}_{runs[1].id}"
    assert [name for name in wire.runs if name.startswith(own)] == [own, child]
    assert wire.runs[child]["parentRunId"] == own
    assert wire.runs[own]["properties"]["multitrack/run_id"] == runs[0].id
    assert [wire.runs[name]["status"] for name in (own, child)] == ["Running", "Completed"]
    assert runs[1].folder.courier("azureml").read_state().attachment.id == child
    assert own in runs[0].folder.courier("azureml").read_state().attachment.url


def test_point_that_is_refused_is_named(tmp_path, wire, inside, own):
    """The client only logs it; the other points are there."""
    wire.refuses = {"bad"}
    run = record(tmp_path, inside)
    run.log({"bad": 1.0, "good": 2.0}, step=1)
    code, folder = deliver(run, inside)
    assert not code, folder.log.read_text()
    assert [refusal.key for refusal in folder.read_refused()] == ["bad"]
    assert list(wire.points[own]) == ["good"]


def test_limits_of_the_service(tmp_path, wire, inside, own):
    """Long texts are cut where they are shown, and whole in the run's tree."""
    run = record(tmp_path, inside, notes="n" * 6000, tags={"multitrack/status": "t" * 1200})
    code, folder = deliver(run, inside)
    assert not code, folder.log.read_text()
    with environment(inside):
        found = Reader(wire, own, tmp_path)
    tags = found.run.get_tags()
    assert tags["multitrack/status"] == "finished"
    assert len(tags["_x6d_ultitrack/status"]) == 1000
    assert len(found.run.description) == 5000
    assert found.about["tags"] == {"multitrack/status": "t" * 1200}
    assert found.about["notes"] == "n" * 6000


def test_service_that_goes_down_gets_all_later(tmp_path, wire, inside, own):
    run = record(tmp_path, inside)
    wire.is_down = True
    run.log({"loss": 1.0}, step=1)
    courier = later.follow(run, inside, "retrying")
    courier.terminate()
    assert courier.wait(120) == LEFT
    wire.is_down = False
    code, folder = deliver(run, inside)
    assert not code, folder.log.read_text()
    assert [row["step"] for v in wire.points[own]["loss"] for row in v["value"]] == [1]


def test_run_goes_on_from_a_later_job(tmp_path, wire, inside, own):
    """The rest goes where the first part is; the earlier job's status stays the service's."""
    run = record(tmp_path, inside)
    run.log({"loss": 1.0}, step=1)
    courier = later.follow(run, inside, "waiting")
    courier.terminate()
    courier.wait(120)
    wire.runs[own]["status"] = "Failed"
    (tmp_path / "next").mkdir()
    after = job(wire, tmp_path / "next")
    with environment(inside):
        run.log({"loss": 0.5}, step=2)
    code, folder = deliver(run, inside | {"AZUREML_RUN_ID": after["AZUREML_RUN_ID"]})
    assert not code, folder.log.read_text()
    assert sorted(row["step"] for v in wire.points[own]["loss"] for row in v["value"]) == [1, 2]
    assert wire.runs[own]["status"] == "Failed"
    assert wire.runs[own]["tags"]["multitrack/status"] == "finished"


# -- on the bench --------------------------------------------------------------------------------


NOW = 1767225600.0


@pytest.fixture
def start(tmp_path, inside):
    """Give what starts a tracker in this process, in the environment of a job."""
    started = []

    def start(run_id="mine"):
        tracker = AzureMLTracker(load(AzureMLSettings, environ=inside))
        host = Host(hostname="h", pid=1, platform="p", python="3")
        header = Header(time=NOW, run_id=run_id, host=host, cwd=str(tmp_path))
        tracker.start(RunInfo(header=header, folder=tmp_path, directory=tmp_path))
        started.append(tracker)
        return tracker

    with environment(inside):
        yield start
    for tracker in started:
        tracker.abandon()


def points(count, start=0, **values):
    return [Metrics(time=NOW, step=start + i, values=values) for i in range(count)]


def steps(wire, run_id, name="loss"):
    return [row["step"] for v in wire.points[run_id].get(name, []) for row in v["value"]]


def answer_of(tracker, call, *arguments):
    """Return what the adapter makes of the exception that the client raises."""
    try:
        call(*arguments)
    except Exception as error:
        return tracker.classify(error)
    raise AssertionError("it went through")


def text():
    return Text(time=NOW, step=1, key="note", text="whole")


@pytest.mark.parametrize("status", [401, 403])
def test_points_of_a_token_that_expired_come_again(wire, start, status):
    """The client forgets what it could not send, so that the courier must begin anew."""
    tracker = start()
    wire.denies = status
    tracker.log_metrics(points(1, loss=1.0))
    assert isinstance(answer_of(tracker, tracker.flush), Restart)
    tracker.abandon()
    assert isinstance(answer_of(tracker, start), Parked)


@pytest.mark.parametrize("status", [401, 403])
def test_file_that_a_token_does_not_allow_waits_for_a_person(wire, start, status):
    tracker = start()
    wire.denies = status
    assert isinstance(answer_of(tracker, tracker.log_text, text()), Parked)


@pytest.mark.parametrize("lost", ["/batch/metadata/", "/c/dcid."])
def test_file_whose_answer_was_lost_is_sent_again(wire, start, own, lost):
    """The client repeats the call and is told that the file is there; another path is free."""
    tracker = start()
    wire.fails = (lost, 1)
    assert type(answer_of(tracker, tracker.log_text, text())) is Retry
    tracker.log_text(text())
    assert list(wire.files[f"dcid.{own}"].values())[-1] == b"whole"


def test_upload_gets_the_time_that_its_size_needs(wire, start, monkeypatch):
    tracker = start()
    monkeypatch.setattr(azureml, "UPLOAD_TIMEOUT", 1)
    wire.delay = 2
    assert type(answer_of(tracker, tracker.log_text, text())) is Retry
    monkeypatch.setattr(azureml, "SLOWEST", 1)
    tracker.log_text(text())


def test_file_of_many_blocks(wire, start, own):
    """Above 64 MB, the client sends a file in pieces."""
    tracker = start()
    whole = "0123456789abcdef" * (65 * 2**16)
    tracker.log_text(Text(time=NOW, step=1, key="long", text=whole))
    assert list(wire.files[f"dcid.{own}"].values())[-1] == whole.encode()


def test_more_tags_than_a_run_can_have(tmp_path, wire, inside, own):
    """As many are shown as there is room for, with names that fit; the file has all."""
    tags = {"k" * 150: "long", "k" * 149 + "l": "other"} | {f"t{i}": str(i) for i in range(60)}
    run = record(tmp_path, inside, tags=tags)
    code, folder = deliver(run, inside)
    assert not code, folder.log.read_text()
    assert not folder.read_refused()
    with environment(inside):
        found = Reader(wire, own, tmp_path)
    shown = found.run.get_tags()
    assert len(shown) == 50
    assert sorted(v for k, v in shown.items() if k.startswith("kkk")) == ["long", "other"]
    assert found.about["tags"] == tags


def test_no_more_points_wait_than_get_through(wire, start, own, monkeypatch):
    tracker = start()
    monkeypatch.setattr(azureml, "MOST_WAITING", 120)
    tracker.log_metrics(points(130, loss=1.0))
    assert sorted(steps(wire, own))[:120] == list(range(120))
    assert tracker.flush()
    assert sorted(steps(wire, own)) == list(range(130))


def test_points_that_are_refused_on_the_way_are_told_by_flush(wire, start, monkeypatch):
    tracker = start()
    monkeypatch.setattr(azureml, "MOST_WAITING", 1)
    wire.refuses = {"loss"}
    tracker.log_metrics(points(2, loss=1.0))
    answer = answer_of(tracker, tracker.flush)
    assert isinstance(answer, Refused)
    assert answer.parts == {"loss": "no such name"}


@pytest.mark.parametrize("details", [[], None])
def test_batch_that_is_refused_as_a_whole_is_not_sent_for_ever(wire, start, own, details):
    """Without details in the answer, the client fails at its own message."""
    tracker = start()
    wire.denies, wire.details = 400, details
    tracker.log_metrics(points(1, loss=1.0))
    assert type(answer_of(tracker, tracker.flush)) is Refused
    wire.denies = 0
    tracker.log_metrics(points(1, start=1, loss=1.0))
    assert tracker.flush()
    assert steps(wire, own) == [1]


def test_two_runs_in_one_process_know_their_own_refusals(wire, start):
    trackers = [start(run_id) for run_id in ("one", "two")]
    wire.refuses = {"loss"}
    trackers[1].log_metrics(points(1, loss=1.0))
    assert trackers[0].flush()
    assert isinstance(answer_of(trackers[1], trackers[1].flush), Refused)
    assert trackers[0].flush()


def test_two_runs_that_start_at_once_share_no_run(wire, start, own):
    """Both find the job's run free; the one that is later becomes a child."""
    wire.rival = {"multitrack/run_id": "other"}
    tracker = start("mine")
    assert tracker.native().id == f"{own}_mine"


def test_service_that_still_takes_points_in_is_waited_for(wire, start):
    tracker = start()
    wire.ingests = 1
    tracker.log_metrics(points(1, loss=1.0))
    assert tracker.flush()
    assert wire.ingests == 0


@pytest.mark.parametrize("end", [lambda t: t.finish("finished"), lambda t: t.abandon()])
def test_no_timer_goes_on(start, end):
    tracker = start()
    before = set(threading.enumerate())
    tracker.log_metrics(points(1, loss=1.0))
    tracker.flush()
    end(tracker)
    time.sleep(2.5)
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if getattr(thread, "interval", None) == 1]


def test_client_keeps_no_points(start):
    tracker = start()
    tracker.log_metrics(points(100, loss=1.0))
    tracker.flush()
    assert not tracker.native()._client.metrics._metricid_values_dict
