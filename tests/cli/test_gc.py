"""`multitrack gc`, with runs that were really delivered."""

from __future__ import annotations

import os
import sys

import pytest
from multitrack_notebook import NotebookTracker

import multitrack as package
from multitrack.trackers.folder import CourierState, Refusal
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.locks import FileLock
from multitrack.trackers.protocol import Gap, unsupported
from multitrack.trackers.records import Artifact

pytestmark = pytest.mark.usefixtures("notebooks")
SIZE = 100_000


@pytest.fixture
def recorded(directory, tmp_path):
    """Record a run with an artifact and a picture, which nobody has yet."""

    def record(run_id="a", report_to="notebook", **artifact):
        (tmp_path / "model.bin").write_bytes(b"x" * SIZE)
        run = package.start_run(report_to=report_to, dir=directory, run_id=run_id, delivery="later")
        run.log({"loss": 0.5}, step=1)
        run.log_artifact(tmp_path / "model.bin", **artifact)
        run.log_text("note", "stays")
        run.finish(quiet=True)
        return run.folder

    return record


def files_of(folder):
    return sorted(path.name for path in folder.files.rglob("*") if path.is_file())


def refuse_artifact(folder, **fields):
    """Let the notebook have refused the artifact."""
    for entry in JournalReader(folder.journal).read():
        if isinstance(entry, Entry) and isinstance(entry.record, Artifact):
            refusal = {"time": 0, "offset": entry.start, "record": "artifact", "reason": "a quota"}
            folder.courier("notebook").set_aside(Refusal(**refusal | fields))


def test_what_every_backend_has_goes_and_the_journal_stays(multitrack, recorded):
    folder = recorded()
    multitrack("sync")
    journal = folder.journal.read_bytes()
    said = multitrack("gc", "--dry-run").output
    assert said == "a 1 file, 102 kB\nWould free 102 kB in 1 file.\n"
    assert files_of(folder) == ["model.bin"]
    assert multitrack("gc").output == "a 1 file, 102 kB\nFreed 102 kB in 1 file.\n"
    assert list(folder.files.iterdir()) == []
    assert folder.journal.read_bytes() == journal
    assert multitrack("gc").output == "Freed 0 B in 0 files.\n"
    assert multitrack("sync").output == "Everything is delivered.\n"


def test_a_run_that_is_not_delivered_keeps_its_files(multitrack, recorded, trouble):
    folder = recorded()
    assert "a kept: notebook does not have all of it" in multitrack("gc").output
    trouble(park=True)
    multitrack("sync", code=1)
    assert "a kept: notebook does not have all of it" in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


def test_one_backend_that_waits_keeps_the_files(multitrack, recorded, monkeypatch):
    monkeypatch.setenv("MULTITRACK_PYTHON_TENSORBOARD", sys.executable)  # it never starts
    folder = recorded(report_to=["notebook", "tensorboard"])
    multitrack("sync", "--to", "notebook")
    assert "a kept: tensorboard does not have all of it" in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


def test_a_run_without_a_backend_keeps_its_files(multitrack, recorded):
    folder = recorded(report_to="none")
    assert "a kept: it reports to no backend" in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


def test_a_run_that_a_process_writes_keeps_its_files(multitrack, recorded):
    folder = recorded()
    multitrack("sync")
    with FileLock(folder.writer_lock):
        assert "a kept: a process writes to it" in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


@pytest.mark.parametrize("fields", [{}, {"record": "batch", "offset": 0}])
def test_what_a_backend_refused_is_kept(multitrack, recorded, fields):
    folder = recorded()
    multitrack("sync")
    refuse_artifact(folder, **fields)
    assert "Freed 0 B in 0 files." in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


def test_what_was_withheld_from_all_is_kept(multitrack, recorded):
    folder = recorded(withhold_from="notebook")
    multitrack("sync")
    assert "1 file kept" in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


@pytest.mark.parametrize("what", ["placement", "method"])
def test_what_no_backend_can_hold_is_kept(multitrack, recorded, monkeypatch, what):
    folder = recorded()
    multitrack("sync")
    if what == "placement":
        monkeypatch.setattr(NotebookTracker, "placement", "source")
    else:
        gap = unsupported(Gap.NEVER, "a notebook keeps no files")
        monkeypatch.setattr(NotebookTracker, "log_artifact", gap)
    assert "1 file kept" in multitrack("gc").output
    assert files_of(folder) == ["model.bin"]


def test_what_no_record_names_goes(multitrack, recorded):
    folder = recorded()
    multitrack("sync")
    stray = folder.files / "artifacts" / "of-a-call-that-was-killed" / "half"
    stray.parent.mkdir()
    stray.write_bytes(b"x")
    assert "2 files" in multitrack("gc").output


def test_a_hard_link_whose_original_stands_frees_nothing(multitrack, recorded, tmp_path):
    folder = recorded()
    multitrack("sync")
    [staged] = folder.files.rglob("model.bin")
    os.link(staged, tmp_path / "original")
    assert multitrack("gc").output == "a 1 file, 0 B\nFreed 0 B in 1 file.\n"
    assert (tmp_path / "original").stat().st_size == SIZE


def test_a_new_backend_is_told_why_it_gets_no_file(multitrack, recorded):
    folder = recorded(report_to="none")
    done = folder.courier("elsewhere")
    done.create()
    done.write_state(CourierState(offset=folder.journal.stat().st_size, phase="done"))
    multitrack("gc")
    multitrack("sync", "--to", "notebook")
    [refusal] = folder.courier("notebook").read_refused()
    reason = "model.bin was removed by `multitrack gc`, when every backend of the run had it"
    assert (refusal.key, refusal.reason) == ("model.bin", reason)
    assert reason in multitrack("show", "a").output


def test_a_run_that_goes_on_keeps_its_new_files(multitrack, recorded):
    recorded()
    multitrack("sync")
    multitrack("gc")
    folder = recorded()
    assert "does not have all of it" in multitrack("gc").output
    multitrack("sync")
    assert folder.courier("notebook").read_refused() == []
    assert "Freed 102 kB in 1 file." in multitrack("gc").output
