"""Flyte: the conformance suite inside real tasks on this machine, read from what they wrote."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import flyte_reader as reader
import pytest

from multitrack.trackers.process import LEFT, spawn
from multitrack.trackers.start import start_run
from multitrack.trackers.testing import Item, TrackerConformance
from multitrack.trackers.testing.deliver import environment

TASK = Path(__file__).with_name("flyte_task.py")


def environ_of(tmp_path):
    """Let flytekit write below a folder; it has no variable of its own for that."""
    folder = tmp_path / "flyte"
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder), "HOME": str(folder), "FLYTE_SDK_LOGGING_LEVEL": "40"}


def restored(folder):
    """Return what the task's checkpoint holds, read with flytekit's own class."""
    from flytekit.core.checkpointer import SyncCheckpoint

    found = sorted(folder.rglob("__cp"), key=lambda path: path.stat().st_mtime_ns)
    checkpoint = SyncCheckpoint(str(folder / "unused"), str(found[-1]))
    target = folder / "restored"
    target.mkdir()
    return reader.files(Path(checkpoint.restore(target)))


class TestFlyte(TrackerConformance):
    """Each courier is a process that runs a task, and works in its context."""

    tracker = "flyte"

    @pytest.fixture(autouse=True)
    def _task(self, monkeypatch, tmp_path_factory, request):
        if "importing" in request.node.name:  # asks for a Python that has imported nothing
            return
        script = tmp_path_factory.mktemp("python") / "python"
        script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(TASK)])} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    def environ(self, tmp_path):
        return environ_of(tmp_path)

    def read(self, folder, state):
        store = Path(os.environ["TMPDIR"])
        stored = reader.read(reader.decks(store, folder.run_id)[-1])
        for name, files in stored.artifacts.items():
            if files == "the task's checkpoint":
                stored.artifacts[name] = restored(store)
        return stored


# -- what is particular to Flyte ------------------------------------------------------------------

TRAINING = """
import sys
from pathlib import Path
from flytekit import task, workflow
from multitrack.trackers.start import start_run

@task(enable_deck=True, deck_fields=())
def train(rate: float, dies: bool) -> str:
    run = start_run(None, "small net", report_to="flyte", dir=sys.argv[1], config={"lr": rate},
                    delivery=sys.argv[2])
    for step in range(1500):
        run.log({"loss": 1 / (step + 1), "</script>": float("nan")}, step=step, epoch=step / 10)
    run.log_text("note", "<b>no markup</b>", step=3)
    for step in (1, 2):
        folder = Path(sys.argv[1], "checkpoint")
        folder.mkdir(exist_ok=True)
        (folder / "state.bin").write_bytes(b"state %d" % step)
        run.log_artifact(folder, name=f"checkpoint-{step}", kind="checkpoint", step=step)
    if dies:
        return run.id
    [report] = run.finish(quiet=True, timeout=60)
    print(report.delivered, report.url, report.message)
    return run.id

@workflow
def training(rate: float, dies: bool) -> str:
    return train(rate=rate, dies=dies)

print(training(rate=0.1, dies=len(sys.argv) > 3))
"""


def train(tmp_path, *words, **variables):
    """Run the program above with a project by its variable; return what it printed."""
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    command = [sys.executable, str(script), str(tmp_path / "runs"), *words]
    environ = os.environ | environ_of(tmp_path) | {"MULTITRACK_PROJECT": "fallback"} | variables
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("delivery", ["process", "thread", "inline"])
def test_run_of_a_training_is_on_the_deck_of_its_task(tmp_path, delivery):
    report, run_id = train(tmp_path, delivery)
    assert report.startswith("True find ")
    store = tmp_path / "flyte"
    [page] = reader.decks(store, run_id)
    stored = reader.read(page)
    assert (stored.name, stored.project, stored.status) == ("small net", "fallback", "finished")
    assert stored.params == {"lr": 0.1}
    points = stored.metrics["loss"]
    assert [(p.step, p.value) for p in points] == [(i, 1 / (i + 1)) for i in range(1500)]
    assert points[7].epoch == 0.7
    assert len(stored.metrics["</script>"]) == 1500
    assert stored.media["text"]["note"] == [Item(3, "<b>no markup</b>")]
    assert page.count("<polyline") == 1, "a curve for the loss, none of a metric that is only NaN"
    assert restored(store) == {"state.bin": b"state 2"}


def test_run_that_outlives_its_task_is_on_the_deck_as_it_is_then(tmp_path):
    [run_id] = train(tmp_path, "inline", "dies")
    [page] = reader.decks(tmp_path / "flyte", run_id)
    stored = reader.read(page)
    assert stored.status == "running"
    assert len(stored.metrics["loss"]) == 1500


def test_address_of_the_console_is_told(tmp_path):
    report, _ = train(tmp_path, "inline", FLYTE_EXECUTION_URL="https://flyte/console/x")
    assert report == "True https://flyte/console/x None"


def test_outside_a_task_it_waits_for_a_person(tmp_path):
    with environment(environ_of(tmp_path)):
        run = start_run(report_to="flyte", dir=tmp_path / "runs")
        run.log({"loss": 1.0}, step=1)
        [report] = run.finish(quiet=True, timeout=60)
        assert spawn(run.folder, "flyte").wait(60) == LEFT
    state = run.folder.courier("flyte").read_state()
    assert (state.phase, state.offset, report.delivered) == ("parked", 0, False)
    assert "this is no task" in state.message
    assert "@task(enable_deck=True)" in state.remedy


def test_task_without_decks_waits_for_a_person(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys.modules[__name__], "TRAINING", TRAINING.replace("enable_deck=True, deck_fields=()", "")
    )
    report, _ = train(tmp_path, "inline")
    assert "Decks are switched off" in report
