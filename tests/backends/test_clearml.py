"""ClearML: the conformance suite offline, read back from the session that its client imports.

Online, the real client talks to a stand-in for the server on this machine: the wire is tested.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clearml_session import Session
from clearml_wire import serving, values
from later import PATIENCE, Later

from multitrack.trackers.process import LEFT
from multitrack.trackers.records import Metrics
from multitrack.trackers.testing import StoredRun, TrackerConformance, child
from multitrack.trackers.testing.deliver import entries, rewind


def archive_of(state):
    """Return the session's archive, which stands at the end of the command that imports it."""
    return Path(state.attachment.url.split(maxsplit=2)[-1])


class TestClearML(TrackerConformance):
    tracker = "clearml"
    by_hand = "native.get_logger().report_scalar('by_hand', 'by_hand', value, step)"
    keeps_epoch = False  # it is a scalar of its own, see test_limits_of_the_server

    def environ(self, tmp_path):
        return {
            "CLEARML_OFFLINE_MODE": "1",
            "CLEARML_CACHE_DIR": str(tmp_path / "cache"),
            "CLEARML_CONFIG_FILE": str(tmp_path / "none.conf"),
            "HOME": str(tmp_path),
        }

    def read(self, folder, state):
        session = Session(archive_of(state))
        return StoredRun(
            name=session.task["name"],
            project=session.task["project_name"],
            notes=session.task.get("comment"),
            status=session.section("properties")["multitrack/status"],
            params=session.section("General"),
            metrics=session.metrics(),
            tags=dict.fromkeys(session.task.get("tags") or [], "") | session.below("tags/"),
            summary=session.summary() | session.below("summary/"),
            media=session.media(),
            artifacts=session.artifacts(),
        )

    def count_runs(self, folder, state):
        return len([path for path in archive_of(state).parent.iterdir() if path.is_dir()])

    def stored_number(self, value):
        return float(value)

    def stored_points(self, points):
        """ClearML keeps one point a step, the last."""
        last = {point.step: point for point in points}
        return [point for point in points if last[point.step] is point]


# -- what is particular to ClearML ---------------------------------------------------------------


@pytest.fixture
def offline(tmp_path):
    return TestClearML().environ(tmp_path)


@pytest.fixture
def wire():
    with serving() as served:
        yield served


@pytest.fixture
def online(tmp_path, wire):
    return {
        "CLEARML_API_HOST": wire.url,
        "CLEARML_WEB_HOST": wire.url,
        "CLEARML_FILES_HOST": wire.url,
        "CLEARML_API_ACCESS_KEY": "key",
        "CLEARML_API_SECRET_KEY": "a secret",
        "CLEARML_CONFIG_FILE": str(tmp_path / "none.conf"),
        "HOME": str(tmp_path),
    }


later = Later("clearml")
record, deliver = later.record, later.deliver
follow, await_phase = later.follow, later.await_phase


def delivered(run, environ, status="finished"):
    """Deliver all of a run; return what the courier knows."""
    code, folder = deliver(run, environ, status)
    assert not code, folder.log.read_text()
    return folder


def test_online(tmp_path, wire, online):
    """The server gets all, with the times of the points; a resumed run is the same task."""
    run = record(tmp_path, online, name="net", project="p", config={"lr": 0.1}, tags=["t"])
    run.set_tags({"team": "vision"})
    run.log({"train/loss": 0.5, "acc": float("nan"), "huge": 1e300}, step=3, epoch=0.25)
    run.summary({"best": 0.75, "why": "patience"})
    run.log_text("note", "words", step=3)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    run.log_artifact(path, name="data", step=4, metadata={"rows": 2})
    run.log_artifact(path, name="net", kind="checkpoint", step=4, aliases=["best"])
    folder = delivered(run, online, "failed")
    assert not folder.read_refused()
    state = folder.read_state()
    [task] = wire.tasks.values()
    assert (task["name"], task["status"], task["tags"]) == ("net", "failed", ["t"])
    assert task["project"] == wire.projects["p__"]
    assert wire.scalars("train", "loss") == [(3, 0.5)]
    assert wire.scalars("epoch", "epoch") == [(3, 0.25)]
    assert wire.scalars("Summary", "best") == [(-(2**31), 0.75)]
    [logged] = [e for e in entries(run.folder) if isinstance(e.record, Metrics)]
    [loss] = [event for event in wire.events if event["variant"] == "loss"]
    assert loss["timestamp"] == round(logged.record.time * 1000)
    assert all(event["task"] == task["id"] for event in wire.events)
    plots = {e["variant"]: e for e in wire.events if e["metric"] == "not finite"}
    assert {(name, plot["iter"]) for name, plot in plots.items()} == {("acc", 3), ("huge", 3)}
    assert '"NaN"' in plots["acc"]["plot_str"]
    assert "1e+300" in plots["huge"]["plot_str"]
    found = values(task)
    assert (found["General/lr"], found["properties/tags/team"]) == ("0.1", "vision")
    assert found["properties/summary/why"] == "patience"
    assert found["properties/multitrack/run_id"] == run.id
    [sample] = [event for event in wire.events if event.get("key")]
    assert wire.files["/" + sample["key"]] == b"words"
    assert sample["url"] == f"{wire.url}/{sample['key']}"
    artifact = task["artifacts"]["data"]
    assert wire.files[artifact["uri"].removeprefix(wire.url)] == b"weights"
    assert ["rows", "2"] in artifact["display_data"]
    [model] = wire.models.values()
    assert (model["name"], model["tags"], model["task"]) == ("net", ["best"], task["id"])
    assert wire.files[model["uri"].removeprefix(wire.url)] == b"weights"
    assert task["models"]["net"]["iteration"] == 4
    assert state.attachment.url.startswith(f"{wire.url}/projects/")
    assert task["id"] in state.attachment.url
    assert "a secret" not in folder.settings.read_text() + folder.state.read_text()
    rewind(run.folder, "clearml", count=2)  # the checkpoint and the end
    run = record(tmp_path, online, run_id=run.id)
    run.log({"train/loss": 0.25}, step=5)
    delivered(run, online)
    assert (list(wire.tasks), list(wire.models)) == ([task["id"]], [model["id"]])
    assert task["status"] == "completed"
    assert wire.calls.count("tasks.add_or_update_model") == 2
    assert wire.scalars("train", "loss") == [(3, 0.5), (5, 0.25)]


def test_native_online(tmp_path, wire, online):
    """What is logged by hand gets to the server, too, and is there when the run has ended."""
    command = [sys.executable, "-m", child.__name__, "native", "clearml", str(tmp_path)]
    done = subprocess.run(
        [*command, TestClearML.by_hand],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | online,
        timeout=PATIENCE,
    )
    assert not done.returncode, done.stderr
    [task] = wire.tasks.values()
    assert task["status"] == "completed"
    assert wire.scalars("by_hand", "by_hand") == list(zip((0, 1, 3, 4), child.BY_HAND, strict=True))
    assert wire.scalars("loss", "loss") == list(enumerate(child.LOGGED))


def test_project_whose_name_the_server_keeps_otherwise(tmp_path, wire, online):
    """Runs of one project are in one project, below one whose name is long enough."""
    for _ in range(2):
        delivered(record(tmp_path, online, project="cv //digits/"), online)
    assert list(wire.projects) == ["cv_", "cv_/digits"]
    assert [task["project"] for task in wire.tasks.values()] == [wire.projects["cv_/digits"]] * 2


def test_task_that_is_gone_waits_for_a_person(tmp_path, wire, online):
    environ = online | {"CLEARML_TASK_ID": "gone"}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "invalid task id" in folder.log.read_text()


@pytest.mark.slow
def test_server_that_goes_down_gets_all_later(tmp_path, wire, online):
    """What the server did not take is not acknowledged; the courier ends in bounded time."""
    run = record(tmp_path, online)
    run.log({"loss": 1.0}, step=1)
    courier = follow(run, online, "waiting")
    wire.is_down = True
    run.log({"loss": 2.0}, step=2)
    await_phase(run, "retrying")
    started = time.monotonic()
    courier.terminate()
    assert courier.wait(120) == LEFT
    assert time.monotonic() - started < 60
    wire.is_down = False
    delivered(run, online)
    assert wire.scalars("loss", "loss") == [(1, 1.0), (2, 2.0)]


@pytest.mark.slow
def test_dead_server_is_tried_again(tmp_path, online):
    environ = online | {"CLEARML_API_HOST": "http://127.0.0.1:9"}
    run = record(tmp_path, environ)
    courier = follow(run, environ, "retrying")
    courier.terminate()
    assert courier.wait(60) == LEFT
    assert run.folder.courier("clearml").read_state().offset == 0
    run.finish(quiet=True)


def test_wrong_key_waits_for_a_person(tmp_path, wire, online):
    wire.knows = []
    code, folder = deliver(record(tmp_path, online), online)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "CLEARML_API_ACCESS_KEY" in folder.read_state().remedy


def test_without_a_key_waits_for_a_person(tmp_path, online):
    """Nothing asks for a key."""
    environ = online | {"CLEARML_API_ACCESS_KEY": "", "CLEARML_API_SECRET_KEY": ""}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "clearml-init" in folder.read_state().remedy


def test_session_that_is_gone_waits_for_a_person(tmp_path, offline):
    environ = offline | {"CLEARML_TASK_ID": "offline-gone"}
    code, folder = deliver(record(tmp_path, environ), environ)
    assert (code, folder.read_state().phase) == (LEFT, "parked")
    assert "CLEARML_CACHE_DIR" in folder.read_state().remedy


def test_variables_of_the_client_and_of_transformers(tmp_path, wire, online):
    """A task that is there already is gone on with; files go where they shall."""
    first = record(tmp_path, online | {"CLEARML_PROJECT": "digits", "CLEARML_TASK": "named"})
    delivered(first, online)
    [task] = wire.tasks.values()
    assert (task["name"], list(wire.projects)) == ("named", ["digits"])
    environ = online | {"CLEARML_TASK_ID": task["id"]}
    environ["CLEARML_DEFAULT_OUTPUT_URI"] = str(tmp_path / "output")
    run = record(tmp_path, environ)
    run.log_text("note", "words", step=1)
    delivered(run, environ)
    assert list(wire.tasks) == [task["id"]]
    [text] = (tmp_path / "output").rglob("*.txt")
    assert text.read_text() == "words"


def test_session_is_imported(tmp_path, wire, online, offline):
    """The real client's import takes our session to the server, files and all."""
    run = record(tmp_path, offline, name="net", config={"lr": 0.1}, tags=["t"], notes="why")
    run.log({"train/loss": 0.5}, step=3)
    run.log_text("note", "words", step=3)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    run.log_artifact(path, name="net", kind="checkpoint")
    state = delivered(run, offline).read_state()
    code = "import sys; from clearml import Task; Task.import_offline_session(sys.argv[1])"
    command = [sys.executable, "-c", code, str(archive_of(state))]
    environ = os.environ | online
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert not done.returncode, done.stderr
    [task] = wire.tasks.values()
    assert wire.scalars("train", "loss") == [(3, 0.5)]
    assert wire.events[0]["task"] == task["id"]
    assert (task["name"], task["comment"], task["tags"]) == ("net", "why", ["t"])
    assert task["hyperparams"]["General"]["lr"]["type"] == "float"
    assert sorted(wire.files.values()) == [b"weights", b"words"]


def test_limits_of_the_server(tmp_path, offline):
    """What its server would cut off or merge is escaped or refused; epochs are a scalar."""
    run = record(tmp_path, offline, config={" edge ": 1, "edge": 2})
    run.log({"loss": 1.0, "loss/loss": 2.0, "a-b/c": 3.0, "a/b-c": 4.0}, step=1, epoch=0.5)
    run.log_table("large", [["x" * 600_000], ["y" * 600_000]], columns=["text"], step=1)
    folder = delivered(run, offline)
    session = Session(archive_of(folder.read_state()))
    assert session.section("General") == {" edge ": 1, "edge": 2}
    assert all(name == name.strip() for name in session.task["hyperparams"]["General"])
    found = {name: points[0].value for name, points in session.metrics().items()}
    assert found == {"loss": 1.0, "loss/loss": 2.0, "a-b/c": 3.0, "epoch": 0.5}
    [epoch] = [event for event in session.events.values() if event["metric"] == "epoch"]
    assert (epoch["iter"], epoch["value"]) == (1, 0.5)
    [refusal] = folder.read_refused()
    assert (refusal.key, "'a-b/c'" in refusal.reason) == ("a/b-c", True)
    [table] = session.of_type("training_debug_image")
    assert len(json.loads(session.zip.read(f"data/{table['key']}"))["data"]) == 2
    run = record(tmp_path, offline, run_id=run.id)
    run.log({"a/b-c": 5.0}, step=1)
    folder = delivered(run, offline)
    assert [refusal.key for refusal in folder.read_refused()] == ["a/b-c"] * 2


def test_what_was_written_by_half_is_written_anew(tmp_path, offline):
    """A courier that is killed while it writes the session loses nothing that it acknowledged."""
    run = record(tmp_path, offline, config={"lr": 0.1})
    run.log({"loss": 1.0}, step=1)
    archive = archive_of(delivered(run, offline).read_state())
    session = archive.with_suffix("")
    (session / "task.json").write_text('{"name": "to')
    with (session / "metrics.jsonl").open("a") as file:
        file.write('[{"iter": 2, "me')
    run = record(tmp_path, offline, run_id=run.id)
    run.log({"loss": 2.0}, step=2)
    delivered(run, offline)
    stored = Session(archive)
    assert [(p.step, p.value) for p in stored.metrics()["loss"]] == [(1, 1.0), (2, 2.0)]
    assert stored.section("General") == {"lr": 0.1}


def test_leaves_the_process_as_it_was(tmp_path, offline):
    """The user's own task goes on beside it; no other mode is forced upon the process."""
    code = """
import sys, threading
from clearml import Task
own = Task.init("mine", "own", auto_connect_frameworks=False, auto_connect_streams=False,
                auto_connect_arg_parser=False, auto_resource_monitoring=False)
before = sys.excepthook, list(sys.meta_path)
from multitrack.trackers.records import Metrics
from multitrack.trackers.start import start_run
for offline in (True, False):
    settings = {"clearml": {"offline": offline}}
    run = start_run(report_to="clearml", dir=sys.argv[1], delivery="thread", settings=settings)
    run.log({"loss": 1.0})
    [report] = run.finish(quiet=True, timeout=60)
    assert report.delivered is offline, report
    assert offline or "delivery='process'" in str(report), report
assert Task.current_task() is own and Task.is_offline()
assert before == (sys.excepthook, sys.meta_path)
own.close()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "multitrack")]
    environ = os.environ | offline
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert not done.returncode, done.stderr
