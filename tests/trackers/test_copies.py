"""A copy of a run's folder, however old, never says that the run died or goes on."""

import shutil
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multitrack_notebook import read_notebook

from multitrack import start_run
from multitrack.trackers.copies import declare_dead, is_unsure
from multitrack.trackers.courier import Courier
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import glance, read_history
from multitrack.trackers.locks import FileLock, LockedError, is_locked
from multitrack.trackers.place import is_copy
from multitrack.trackers.settings import load

STEPS = st.sampled_from(["log", "end", "deliver", "copy", "copy anew", "deliver copy"])


def deliver(folder, tracker):
    """Do what a courier of `multitrack sync` does; return what it wrote last."""
    courier = Courier(folder, "notebook", load(tracker.settings_type))
    gone = threading.Event()
    courier.once = is_locked(folder.writer_lock)
    if not courier.once:
        gone.set()
    courier.run(gone)
    return courier.state


@pytest.fixture
def notebook_tracker():
    from multitrack.trackers import registry

    return registry.load("notebook")


@pytest.fixture
def copy(tmp_path):
    """Copy a run's folder as ``rsync -a`` does, into the same place each time."""

    def copy(run):
        target = tmp_path / "copies" / run.id
        shutil.copytree(run.folder.path, target, dirs_exist_ok=True)
        return RunFolder(target)

    return copy


@settings(max_examples=25)
@given(st.lists(STEPS, max_size=14))
def test_a_copy_changes_no_status(tmp_path_factory, monkeypatch, notebook_tracker, steps):
    tmp_path = tmp_path_factory.mktemp("copies")
    monkeypatch.setenv("NOTEBOOK_DIR", str(tmp_path / "notebooks"))
    run = start_run(dir=tmp_path / "runs", report_to="notebook", delivery="later")
    copied = None

    def lines():
        return list(read_notebook(tmp_path / "notebooks", run.id))

    for number, step in enumerate(steps):
        if step == "log":
            run.log({"loss": 0.5}, step=number)
        elif step == "end":
            run.finish("failed", quiet=True)
        elif step == "deliver":
            deliver(run.folder, notebook_tracker)
        elif step.startswith("copy"):
            copied = RunFolder(tmp_path / (f"copy-{number}" if "anew" in step else "copy") / run.id)
            shutil.copytree(run.folder.path, copied.path, dirs_exist_ok=True)
        elif copied:
            before, was_known = lines(), copied.courier("notebook").read_state().place
            has_end = not is_unsure(copied)
            state = deliver(copied, notebook_tracker)
            told = [line for line in lines()[len(before) :] if line["kind"] == "finish"]
            assert {line["status"] for line in told} <= ({"failed"} if has_end else set())
            if was_known and state.phase == "parked":
                assert lines() == before
                assert f"multitrack sync {copied.path} --dead" in state.remedy
    run.log({"loss": 0.25}, step=99)
    run.finish("finished", quiet=True)
    deliver(run.folder, notebook_tracker)
    assert lines()[-1]["status"] == "finished"
    assert {line["step"] for line in lines() if line["kind"] == "metrics"} >= {99}


def test_a_live_copy_that_is_delivered_again_and_again(start, notebook, notebook_tracker, copy):
    """A node without a network: its folder is copied to one that has one, until the end comes."""
    run = start(report_to="notebook", delivery="later")
    for step in range(3):
        run.log({"loss": 0.5}, step=step)
        copied = copy(run)
        assert deliver(copied, notebook_tracker).phase == "waiting"
        assert glance(copied).status == "running"
    run.finish("failed", quiet=True)
    assert deliver(copy(run), notebook_tracker).phase == "done"
    assert (notebook.steps(run), notebook.outcomes(run)) == ([0, 1, 2], ["failed"])


def test_a_person_says_that_the_run_is_dead(start, notebook, notebook_tracker, copy):
    run = start(report_to="notebook", delivery="later")
    deliver(run.folder, notebook_tracker)
    run.log({"loss": 0.5}, step=1)
    copied = copy(run)
    assert deliver(copied, notebook_tracker).phase == "parked"
    assert declare_dead(copied)
    assert not declare_dead(copied)
    assert read_history(copied).status == "killed"
    assert deliver(copied, notebook_tracker).phase == "done"
    assert (notebook.steps(run), notebook.outcomes(run)) == ([1], ["killed"])
    run.finish("finished", quiet=True)
    assert deliver(run.folder, notebook_tracker).phase == "done"
    assert notebook.outcomes(run) == ["killed", "finished"]


def test_a_run_that_goes_on_here_is_not_declared_dead(start, copy):
    copied = copy(start())
    with FileLock(copied.writer_lock), pytest.raises(LockedError):
        declare_dead(copied)


def test_what_is_the_same_folder_is_no_copy(start, tmp_path, copy):
    run = start()
    folder = run.folder
    assert not is_copy(folder)
    assert not declare_dead(folder)
    folder.writer_lock.chmod(0o600)  # changes the date: the device tells
    assert not is_copy(folder)
    moved = RunFolder(folder.path.rename(tmp_path / "moved"))
    assert not is_copy(moved)
    shutil.copytree(moved.path, folder.path)
    assert is_copy(folder)
    assert is_unsure(folder)
    run.finish(quiet=True)


@pytest.mark.parametrize("name", ["place.json", "writer.lock"])
def test_a_copy_without_all_files_is_one(start, copy, name):
    run = start()
    copied = copy(run)
    (copied.path / name).unlink()
    (copied.path / name).symlink_to(run.folder.path / name)
    assert is_unsure(copied)


def test_a_run_of_an_older_version_is_no_copy(start):
    run = start()
    run.folder.place.unlink()
    assert not is_unsure(run.folder)


def test_a_run_that_goes_on_in_a_copy_belongs_there(start, copy):
    run = start(run_id="a-run")
    copied = copy(run)
    start(run_id="a-run", dir=copied.path.parent)
    assert not is_copy(copied)
