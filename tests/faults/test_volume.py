"""Large amounts, in little: `benchmarks/volume.py` has them whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import multitrack

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "volume.py"
GIGABYTE = 10**9


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells memory so")
def test_the_trainers_memory_stays_flat(tmp_path):
    run = multitrack.start_run(report_to="none", dir=tmp_path)
    sizes = []
    for step in range(100_000):
        run.log({"train/loss": step / 7}, step=step)
        if step in {20_000, 99_999}:
            sizes.append(resident_megabytes())
    run.finish(quiet=True)
    assert sizes[1] - sizes[0] < 5


def test_a_checkpoint_of_five_gigabytes_is_kept_at_once_and_outlives_its_file(tmp_path):
    run, source = multitrack.start_run(report_to="none", dir=tmp_path), tmp_path / "model.bin"
    with source.open("wb") as file:
        file.write(b"begin")
        file.truncate(5 * GIGABYTE)
    before = os.times()
    run.log_artifact(source, kind="checkpoint")
    after = os.times()
    assert sum(after[:2]) - sum(before[:2]) < 1, "seconds of the processor"
    source.unlink()
    run.finish(quiet=True)
    [kept] = run.folder.files.rglob("model.bin")
    assert kept.stat().st_size == 5 * GIGABYTE
    assert kept.open("rb").read(5) == b"begin"


def test_the_benchmark_works(tmp_path):
    command = [sys.executable, str(BENCHMARK), "--share", "0.005", "--json", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert result.returncode == 0, result.stderr
    assert "checkpoint of 0.025 GB" in result.stdout
    assert (tmp_path / "volume.json").exists()
