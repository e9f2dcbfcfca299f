"""What lies in a run's folder can be read whatever happened to the process that wrote it."""

import itertools
import threading

import pytest

from multitrack.trackers.folder import (
    Attempt,
    CourierFolder,
    CourierState,
    Refusal,
    RunFolder,
    append_line,
    default_directory,
    find_runs,
    new_run_id,
    replace_file,
)
from multitrack.trackers.protocol import Attachment


@pytest.fixture
def courier(tmp_path):
    folder = CourierFolder(tmp_path / "couriers" / "notebook")
    folder.create()
    return folder


def test_state_comes_back(courier):
    assert courier.read_state() == CourierState()
    state = CourierState(
        offset=7,
        phase="parked",
        attempt=Attempt(7, 9, 2),
        attachment=Attachment(id="x", url="http://x", state={"a": [1]}),
    )
    courier.write_state(state)
    assert courier.read_state() == state
    assert state.updated > 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"offset": "x"}', b"\xff", b"[]"])
def test_unreadable_state_begins_again_and_says_so(courier, content):
    courier.state.write_bytes(content)
    state = courier.read_state()
    assert state.offset == 0
    assert "unreadable" in state.message


def test_state_is_whole_while_it_is_replaced(courier):
    stop = threading.Event()

    def replace():
        for number in itertools.count():
            if stop.is_set():
                return
            courier.write_state(CourierState(offset=number, message="x" * (number % 5000)))

    writer = threading.Thread(target=replace)
    writer.start()
    offsets = [courier.read_state() for _ in range(500)]
    stop.set()
    writer.join()
    assert all(state.message is None or set(state.message) <= {"x"} for state in offsets)
    assert [path.name for path in courier.path.iterdir()] == ["state.json"]


def test_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    replace_file(path, b"old")
    with pytest.raises(TypeError):
        replace_file(path, "no bytes")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_refusals_come_back_though_a_line_is_torn(courier):
    assert courier.read_refused() == []
    refusals = [Refusal(time=1.0, offset=n, record="text", reason="é\n") for n in range(3)]
    courier.set_aside(refusals[0])
    append_line(courier.refused, b'{"time":1.0,"off')
    courier.set_aside(refusals[2])
    assert courier.read_refused() == [refusals[0], refusals[2]]
    assert courier.refused.stat().st_mode & 0o777 == 0o600


def test_settings_come_back(courier):
    assert courier.read_settings() == {}
    courier.write_settings({"a": [1]})
    assert courier.read_settings() == {"a": [1]}


def test_couriers_are_those_that_worked(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert run.couriers() == []
    for name in ("wandb", "mlflow"):
        run.courier(name).create()
    (tmp_path / "run" / "couriers" / "stray").write_text("")
    assert [courier.backend for courier in run.couriers()] == ["mlflow", "wandb"]


def test_runs_are_found_oldest_first(tmp_path):
    for name in ("b", "a", "no-run"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        RunFolder(tmp_path / name).journal.write_text("")
    assert [run.run_id for run in find_runs(tmp_path)] == ["a", "b"]
    assert [run.run_id for run in find_runs(tmp_path / "a")] == ["a"]
    assert find_runs(tmp_path / "nothing") == []


def test_run_ids_are_unique_and_sort_by_time(monkeypatch):
    ids = []
    for seconds in (0.0, 0.0, 0.9994, 1.5, 1e9):
        monkeypatch.setattr("time.time", lambda seconds=seconds: 1.7e9 + seconds)
        ids.append(new_run_id())
    assert len(set(ids)) == 5
    assert [i[:19] for i in ids] == sorted(i[:19] for i in ids)


def test_default_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert default_directory() == tmp_path / "multitrack"
    monkeypatch.setenv("MULTITRACK_DIR", "~/runs")
    monkeypatch.setenv("HOME", "/home/me")
    assert str(default_directory()) == "/home/me/runs"


def test_path_of_a_run_stays_when_the_directory_changes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = RunFolder("runs/x")
    monkeypatch.chdir("/")
    assert run.path == tmp_path / "runs" / "x"
