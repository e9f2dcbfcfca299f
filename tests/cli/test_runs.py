"""`multitrack runs`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from multitrack.trackers.folder import CourierState
from multitrack.trackers.locks import FileLock
from multitrack.trackers.records import End, Text


def test_an_empty_directory_is_said_to_be_empty(multitrack, directory):
    assert multitrack("runs").output == f"No runs in {directory}.\n"


def test_a_row_has_all_that_a_journal_tells_at_its_ends(multitrack, make_run):
    make_run(project="digits", name="quiet-fox")
    row = multitrack("runs").output.splitlines()[1].split()
    assert row == [
        "20231114-221320-000-abc123", "digits/quiet-fox", "finished", "2023-11-14", "1m", "15s",
        "3", "-",
    ]  # fmt: skip


def test_the_newest_run_comes_first_and_the_oldest_are_counted(multitrack, make_run):
    for day in (10, 11, 12):
        make_run(f"202311{day}-000000-000-aaaa{day}")
    result = multitrack("runs", "--last", "2").output
    assert result.index("20231112") < result.index("20231111")
    assert "20231110" not in result
    assert "1 older run" in result
    assert "20231110" in multitrack("runs", "--last", "0").output


def test_the_status_is_the_outcome_or_whether_a_process_holds_the_run(multitrack, make_run):
    make_run("failed", end=End(time=0, status="failed", error="it broke"))
    make_run("killed", end=None)
    running = make_run("running", end=None)
    with FileLock(running.writer_lock):
        rows = {run["id"]: run["status"] for run in json.loads(multitrack("runs", "--json").output)}
    assert rows == {"failed": "failed", "killed": "killed", "running": "running"}


def test_delivery_is_counted_and_what_waits_for_a_person_is_named(multitrack, make_run):
    folder = make_run(report_to=["wandb", "mlflow", "tensorboard"])
    size = folder.journal.stat().st_size
    states = {
        "mlflow": CourierState(offset=size, phase="done", updated=1),
        "wandb": CourierState(offset=0, phase="parked", updated=1),
    }
    for backend, state in states.items():
        courier = folder.courier(backend)
        courier.create()
        courier.write_state(state)
    assert "1/3 wandb parked" in multitrack("runs").output
    [run] = json.loads(multitrack("runs", "--json").output)
    assert run["delivery"] == {
        "wandb": "parked", "mlflow": "delivered", "tensorboard": "not started",
    }  # fmt: skip


def test_a_run_whose_outcome_was_not_told_is_not_delivered(multitrack, make_run):
    folder = make_run(end=None, report_to=["mlflow"])
    courier = folder.courier("mlflow")
    courier.create()
    courier.write_state(CourierState(offset=folder.journal.stat().st_size, phase="waiting"))
    assert "0/1 mlflow stopped" in multitrack("runs").output
    with FileLock(folder.writer_lock):
        assert "1/1" in multitrack("runs").output


def test_a_torn_last_line_and_a_broken_one_hide_nothing(multitrack, make_run):
    folder = make_run(end=None)
    with folder.journal.open("ab") as journal:
        journal.write(b'not json\n{"type":"metrics","ste')
    [run] = json.loads(multitrack("runs", "--json").output)
    assert (run["last_step"], run["status"]) == (3, "killed")


def test_a_last_line_longer_than_the_first_look_is_read(multitrack, make_run):
    make_run("long", Text(time=0, step=9, key="essay", text="word " * 100_000), end=None)
    [run] = json.loads(multitrack("runs", "--json").output)
    assert run["last_step"] == 9


def test_a_folder_that_holds_no_run_is_listed_as_unreadable(multitrack, make_run):
    make_run().journal.write_bytes(b"\x00\n")
    assert "unreadable" in multitrack("runs").output
    [run] = json.loads(multitrack("runs", "--json").output)
    assert run["error"].endswith("does not start with the header of a run.")


def test_a_linked_journal_is_no_journal(multitrack, make_run, tmp_path):
    run = make_run()
    run.journal.rename(tmp_path / "elsewhere.jsonl")
    run.journal.symlink_to(tmp_path / "elsewhere.jsonl")
    assert "unreadable" in multitrack("runs").output
    [row] = json.loads(multitrack("runs", "--json").output)
    assert "it is a link, which is no journal" in row["error"]
    assert "it is a link" in " ".join(multitrack("show", "latest", code=2).output.split())


def test_at_80_columns_every_value_but_the_name_is_whole(multitrack, make_run):
    make_run(name="a-name-that-takes-very-much-more-than-its-share-of-a-line", project="digits")
    lines = multitrack("runs", COLUMNS="80").output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("abc123  digits/a-name-that")
    assert "…" in lines[1]
    assert "finished" in lines[1]
    assert "2023-11-14" in lines[1]


def test_a_pipe_gets_whole_lines_without_colour(multitrack, make_run):
    name = "n" * 300
    make_run(name=name)
    result = multitrack("runs").output
    assert name in result
    assert "\x1b" not in result


def test_what_brackets_hold_is_no_markup(multitrack, make_run):
    make_run(name="[red]not red[/] :smile:")
    assert "[red]not red[/] :smile:" in multitrack("runs").output


def bytes_read():
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what is read")
def test_listing_reads_the_ends_of_long_journals_alone(multitrack, make_run, directory):
    content = make_run("0", losses=[1.0] * 5000).journal.read_bytes()
    for number in range(1, 100):
        (directory / f"{number:04d}").mkdir()
        (directory / f"{number:04d}" / "journal.jsonl").write_bytes(content)
    before = bytes_read()
    assert len(json.loads(multitrack("runs", "--last", "0", "--json").output)) == 100
    assert bytes_read() - before < 0.1 * 100 * len(content)


def test_a_terminal_without_unicode(make_run):
    make_run(name="über")
    command = [sys.executable, "-c", "from multitrack.cli import app; app()", "runs"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    output = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert b"?ber" in output
