"""Reading a run back from its journal."""

from __future__ import annotations

import math

import msgspec
import pytest

from multitrack import start_run
from multitrack.trackers.folder import CourierState
from multitrack.trackers.history import (
    TAIL,
    Series,
    UnreadableRunError,
    glance,
    read_history,
)
from multitrack.trackers.locks import FileLock
from multitrack.trackers.records import Codec, End, Metrics, Resumed


@pytest.fixture
def run(tmp_path):
    config = {"optim": {"lr": 0.1, "name": "adamw"}}
    return start_run("digits", dir=tmp_path, report_to="none", config=config)


def die(run):
    """End a run as a process does that is killed: without an outcome, and without its lock."""
    run.finish(quiet=True)
    lines = run.folder.journal.read_bytes().splitlines(keepends=True)
    assert isinstance(Codec.decode(lines[-1]), End)
    run.folder.journal.write_bytes(b"".join(lines[:-1]))


def write_on(run, *records):
    with run.folder.journal.open("ab") as journal:
        journal.write(b"".join(map(Codec.encode, records)))


def test_both_readings_agree_on_status_step_time_and_size(run):
    for step in range(500):
        run.log({"loss": 1.0}, step=step)
    run.finish("failed", error="it broke", quiet=True)
    seen, history = glance(run.folder), read_history(run.folder)
    assert seen.size > TAIL
    assert seen.size == history.size == run.folder.journal.stat().st_size
    assert seen.status == history.status == "failed"
    assert seen.last_step == history.series["loss"].last.step == 499
    assert seen.updated == history.updated
    assert seen.header == history.header


def test_what_is_logged_later_wins_and_trees_are_merged(run):
    run.log_params({"optim": {"lr": 0.2}, "seed": 1})
    run.set_tags({"team": "vision"})
    run.set_tags({"team": "audio", "baseline": ""})
    run.summary({"best": 0.5})
    run.summary({"best": 0.75})
    run.finish(quiet=True)
    history = read_history(run.folder)
    assert history.params == {"optim": {"lr": 0.2, "name": "adamw"}, "seed": 1}
    assert history.tags == {"team": "audio", "baseline": ""}
    assert history.summary == {"best": 0.75}


def test_every_value_comes_back_as_it_was_logged(run):
    values = [0.1, math.inf, -math.inf, 1e300, -2.5, 3]
    for value in values:
        run.log({"m": value})
    run.log({"flag": True})
    run.finish(quiet=True)
    history = read_history(run.folder)
    assert list(history.series["m"].values) == values
    assert list(history.series["m"].steps) == list(range(6))
    assert list(history.series["flag"].values) == [1.0]


def test_without_an_outcome_the_lock_decides(run):
    run.log({"loss": 1.0})
    die(run)
    assert glance(run.folder).status == read_history(run.folder).status == "killed"
    with FileLock(run.folder.writer_lock):
        assert glance(run.folder).status == read_history(run.folder).status == "running"
    assert glance(run.folder).status == "killed"


def test_a_run_that_was_taken_up_again_has_not_ended(run, tmp_path):
    run.log({"loss": 1.0}, step=1)
    run.finish(quiet=True)
    again = start_run(dir=tmp_path, run_id=run.id)
    again.log({"loss": 0.5}, step=2)
    die(again)
    seen, history = glance(run.folder), read_history(run.folder)
    assert seen.status == history.status == "killed"
    assert len(history.resumed) == 1
    assert list(history.series["loss"].values) == [1.0, 0.5]
    write_on(run, End(time=9e9, status="finished"))
    assert glance(run.folder).status == "finished"


def test_lines_that_are_no_records_are_counted_and_passed_over(run):
    run.log({"loss": 1.0}, step=1)
    die(run)
    with run.folder.journal.open("ab") as journal:
        journal.write(b"\x00\x00\n{}\n")
    write_on(run, Metrics(time=1.0, step=2, values={"loss": 0.5}))
    with run.folder.journal.open("ab") as journal:
        journal.write(b'{"type":"end","status":"fin')
    history = read_history(run.folder)
    assert history.corrupt == 2
    assert list(history.series["loss"].values) == [1.0, 0.5]
    assert glance(run.folder).last_step == 2


def test_media_are_counted_and_artifacts_kept(run, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"weights")
    run.log_text("sample", "hello", step=1)
    run.log_text("sample", "world", step=2)
    run.log_histogram("weights", [1.0, 2.0], step=2)
    run.log_artifact(tmp_path / "model.bin", kind="model", step=2)
    run.finish(quiet=True)
    history = read_history(run.folder)
    assert history.media == {("text", "sample"): 2, ("histogram", "weights"): 1}
    assert [artifact.name for artifact in history.artifacts] == ["model.bin"]


def test_backends_are_those_reported_to_and_those_delivered_to(run):
    die(run)
    lines = run.folder.journal.read_bytes().splitlines(keepends=True)
    header = msgspec.structs.replace(Codec.decode(lines[0]), report_to=["wandb"])
    run.folder.journal.write_bytes(Codec.encode(header))
    write_on(run, Resumed(time=2.0, host=glance(run.folder).header.host, report_to=["aim"]))
    courier = run.folder.courier("mlflow")
    courier.create()
    courier.write_state(CourierState(offset=5))
    assert read_history(run.folder).backends == ["wandb", "aim", "mlflow"]
    states = glance(run.folder).couriers
    assert (states["wandb"].offset, states["mlflow"].offset) == (0, 5)


def test_what_is_pending_is_counted_from_a_cursor(run):
    for step in range(3):
        write_on(run, Metrics(time=100.0 + step, step=step, values={"loss": 1.0}))
    die(run)
    ends = [len(run.folder.journal.read_bytes())]
    for line in reversed(run.folder.journal.read_bytes().splitlines(keepends=True)):
        ends.insert(0, ends[0] - len(line))
    history = read_history(run.folder)
    assert [history.pending(end) for end in ends] == [4, 3, 2, 1, 0]
    assert history.lag(ends[2]) == 1.0
    assert history.lag(ends[4]) == 0.0


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b'{"type":"end","time":1,"status":"killed"}\n']
)
def test_a_journal_without_a_header_is_no_run(run, content):
    die(run)
    run.folder.journal.write_bytes(content)
    for read in (glance, read_history):
        with pytest.raises(UnreadableRunError, match="does not start with the header of a run"):
            read(run.folder)


def test_extremes_are_the_first_of_their_value():
    series = Series()
    for step, value in enumerate([2.0, 1.0, 1.0, 2.0, math.nan]):
        series.add(step, value)
    assert series.lowest == (1, 1.0)
    assert series.highest == (0, 2.0)
    assert math.isnan(series.last.value)
