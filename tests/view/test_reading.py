"""What is far from a journal's ends is known after some looks; no answer waits until it is."""

from __future__ import annotations

import time

from viewing import wait_for

from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.view.details import details
from multitrack.view.index import RunIndex
from multitrack.view.library import Library

MANY = 40_000
"""Records that are not read in one go."""


def test_what_was_logged_once_and_long_ago_is_in_the_row(viewer, start):
    run = start(config={"lr": 0.1}, tags={"team": "vision"})
    run.log({"eval/accuracy": 0.5, "train/loss": 9.0}, step=0)
    run.log_params({"optim": {"name": "adamw"}, "lr": 0.2})
    run.set_tags(["late"])
    for step in range(2000):
        run.log({"train/loss": 1 / (step + 1)}, step=step + 1)
    row = wait_for(lambda: _with(viewer.row(run.id), "eval/accuracy"))
    assert row["metrics"] == {"eval/accuracy": 0.5, "train/loss": 1 / 2000}
    assert row["params"] == {"lr": 0.2, "optim/name": "adamw"}
    assert row["tags"] == {"team": "vision", "late": ""}
    run.log({"eval/accuracy": 0.7}, step=3000)
    assert viewer.row(run.id)["metrics"]["eval/accuracy"] == 0.7


def test_only_rows_that_are_new_are_sent(viewer, start):
    first, second = start(), start()
    whole = wait_for(lambda: _settled(viewer.get("/api/runs").json))
    assert {first.id, second.id} <= {row["id"] for row in whole["runs"]}
    since = {"since": whole["version"]}
    assert viewer.get("/api/runs", since).status == 204
    first.log({"loss": 1.0})
    told = viewer.get("/api/runs", since).json
    assert [row["id"] for row in told["runs"]] == [first.id]
    assert told["ids"] == whole["ids"]
    third = start()
    told = viewer.get("/api/runs", {"since": told["version"]}).json
    assert [row["id"] for row in told["runs"]] == [third.id]
    assert told["ids"] == [third.id, *whole["ids"]]


def test_a_run_that_is_gone_leaves_the_table(tmp_path, start):
    run = start(dir=tmp_path)
    library = Library(tmp_path)
    before = library.table()
    run.finish(quiet=True)
    run.folder.path.rename(tmp_path.parent / "elsewhere")
    after = library.table(before.version)
    assert (before.ids, after.ids, after.bodies) == ([run.id], [], [])
    assert after.version != before.version


def test_the_version_of_another_server_is_none(start, tmp_path):
    start(dir=tmp_path)
    version = Library(tmp_path).table().version
    assert len(Library(tmp_path).table(version).bodies) == 1


def test_a_long_journal_is_answered_for_as_far_as_it_was_read(start):
    run = start()
    courier = run.folder.courier("tensorboard")  # which needs no client to have a state
    courier.create()
    courier.write_state(CourierState())
    for step in range(MANY):
        run.log({"loss": float(step)}, step=step)
    run.finish("failed", "it broke", quiet=True)
    index = RunIndex(RunFolder(run.folder.path))
    recorded = index.refresh(until=time.monotonic())
    found = details(recorded)
    assert 0 < found["reading"] < 1
    assert 0 < len(recorded.columns("loss").steps) < MANY
    assert (found["status"], found["delivery"]) == ("failed", [])
    assert found["backends"][0]["pending_bytes"] == run.folder.journal.stat().st_size
    parts = [found["reading"]]
    while part := index.refresh(until=time.monotonic()).reading:
        parts.append(part)
    assert parts == sorted(set(parts))
    found = details(recorded)
    assert (found["reading"], found["error"], found["last_step"]) == (None, "it broke", MANY - 1)
    assert recorded.columns("loss").values.tolist() == list(range(MANY))
    assert found["delivery"][0]["pending"] == MANY + 2


def test_a_torn_end_does_not_keep_the_table_reading(start, tmp_path):
    run = start(dir=tmp_path)
    run.log({"loss": 1.0})
    run.finish(quiet=True)
    with run.folder.journal.open("ab") as journal:
        journal.write(b'{"type": "met')
    library = Library(tmp_path)
    assert not library.table().is_reading
    with library.open(run.id, until=0.0):
        pass
    with library.open(run.id, until=0.0) as recorded:
        assert recorded.reading is None


def _with(row, metric):
    return row if metric in row["metrics"] else None


def _settled(told):
    return None if told["reading"] else told
