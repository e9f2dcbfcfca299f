"""Azure ML: the conformance suite in a job's environment, read back with the client's own reader.

No account is at hand: a stand-in for the service, on the loopback interface, takes the calls of
the real client and gives back what it took. It shows what goes over the wire, no limit of Azure's.
"""

import json
import re
from datetime import datetime

import pytest
from azureml_wire import job, serving
from later import Later

from multitrack.trackers.names import unescape
from multitrack.trackers.process import LEFT
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


def test_token_that_expired_waits_for_a_person(tmp_path, wire, inside):
    wire.denies = 401
    code, folder = deliver(record(tmp_path, inside), inside)
    assert (code, folder.read_state().phase) == (LEFT, "parked")


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
