"""A full disk, a read-only one, and a run that is carried to another machine."""

import os
import shutil
import subprocess

import pytest
from harness import reader_of

import multitrack
from multitrack.trackers.folder import find_runs
from multitrack.trackers.journal import JournalReader
from multitrack.trackers.records import Metrics

MEGABYTE = 2**20


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a disk needs root")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def steps_of(run):
    reader = JournalReader(run.folder.journal)
    steps = []
    while entries := reader.read():
        steps += [entry.record.step for entry in entries if isinstance(entry.record, Metrics)]
    return steps


def test_a_full_disk_that_has_room_again_loses_nothing(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * int(1.5 * MEGABYTE))
    run = multitrack.start_run(report_to="none", dir=small_disk / "runs")
    for step in range(8000):
        run.log({"train/loss": step / 7, "train/accuracy": step / 9}, step=step)
    assert shutil.disk_usage(small_disk).free == 0
    assert len(steps_of(run)) < 8000
    ballast.unlink()
    run.log({"train/loss": 0.0}, step=8000)
    run.finish()
    assert steps_of(run) == list(range(8001))


def test_a_read_only_disk_is_said_before_training(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        multitrack.start_run(report_to="none", dir=small_disk / "runs")


def test_a_run_recorded_here_is_delivered_elsewhere(training, tmp_path):
    with multitrack.start_run(
        "p", "n", report_to="tensorboard", dir=tmp_path / "here", delivery="later"
    ) as run:
        for step in range(100):
            run.log({"train/loss": step / 7}, step=step)
        run.log_text("note", "written on a node without a network")
    training.dir = tmp_path / "there"
    shutil.copytree(tmp_path / "here", training.dir)
    shutil.rmtree(tmp_path / "here")
    training.environ["TENSORBOARD_LOGGING_DIR"] = str(tmp_path / "board")
    [moved] = find_runs(training.dir)
    result = training.sync()
    assert result.returncode == 0, result.stdout + result.stderr
    stored = reader_of("tensorboard").read(moved, moved.courier("tensorboard").read_state())
    assert [point.step for point in stored.metrics["train/loss"]] == list(range(100))
    assert stored.status == "finished"
