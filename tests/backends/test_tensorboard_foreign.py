"""TensorBoard gets what somebody else recorded, where its deliverer is, and nowhere else."""

import shutil
import tempfile
from pathlib import Path

import foreign
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from multitrack.trackers.protocol import Parked

PLACES = ["runs", "runs/seed-1", "runs/seed-1/artifacts", "runs/seed-1/artifacts/n/1", "runs/x"]
SETTINGS = {"logging_dir": st.sampled_from(["{home}", "{home}/.ssh", "relative", ""])}


@pytest.fixture
def home(monkeypatch):
    root = Path(tempfile.mkdtemp()).resolve()
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (root / "home").mkdir()
    yield root / "home"
    shutil.rmtree(root)


def points(folder):
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars("loss")]


def test_it_is_delivered_where_its_deliverer_is(home, monkeypatch):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "tensorboard")
    monkeypatch.chdir(work)
    assert foreign.deliver(folder, "tensorboard").phase == "done"
    assert points(work / "runs" / "seed-1") == [(1, 0.5)]
    assert (work / "runs/seed-1/artifacts/n/1/given").read_text() == "theirs\n"


def test_a_copy_of_what_was_delivered_in_part_comes_whole_and_once(home, monkeypatch):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "tensorboard")
    monkeypatch.chdir(work)
    foreign.deliver(folder, "tensorboard")
    monkeypatch.setenv("MULTITRACK_KEY", "that of a third")
    state = folder.courier("tensorboard").read_state()
    state.phase = "waiting"
    folder.courier("tensorboard").write_state(state)
    assert foreign.deliver(folder, "tensorboard").phase == "done"
    assert points(work / "runs" / "seed-1") == [(1, 0.5)], "the same folder, each point once"
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("MULTITRACK_KEY", "that of a fourth")
    assert foreign.deliver(folder, "tensorboard").phase == "done"
    assert points(elsewhere / "runs" / "seed-1") == [(1, 0.5)], (
        "all of it, though all was acknowledged"
    )


def test_a_place_that_the_folder_names_is_refused_until_it_is_trusted(home, monkeypatch):
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(
        monkeypatch,
        home.parent / "sent",
        "tensorboard",
        settings={"tensorboard": {"logging_dir": str(home / "board")}},
    )
    monkeypatch.chdir(work)
    answer = foreign.deliver(folder, "tensorboard")
    assert isinstance(answer, Parked)
    assert f"multitrack trust {home / 'board'}" in answer.remedy
    assert not (home / "board").exists()
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(home / "mine"))
    assert foreign.deliver(folder, "tensorboard").phase == "done"
    assert points(home / "mine") == [(1, 0.5)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tampered=foreign.tampered(SETTINGS, PLACES))
def test_nothing_but_the_store_changes_whatever_the_folder_says(home, monkeypatch, tampered):
    for path in home.parent.iterdir():
        shutil.rmtree(path)
    work = foreign.make_home(home)
    monkeypatch.chdir(home)
    folder = foreign.recorded_by_another(monkeypatch, home.parent / "sent", "tensorboard")
    foreign.write(folder, home, *tampered)
    monkeypatch.chdir(work)
    store = () if (work / "runs").is_symlink() else (work / "runs",)
    before = foreign.what_lies_in(home, but=store)
    foreign.deliver(folder, "tensorboard")
    assert foreign.what_lies_in(home, but=store) == before
