"""The short examples do what they say; what they record is read back from the journal."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multitrack.trackers.journal import JournalReader
from multitrack.trackers.records import Metrics, Resumed, Text

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run an example in this process, where torch is loaded, and return what it prints."""

    def run(name: str, *options: object) -> str:
        monkeypatch.syspath_prepend(str(EXAMPLES))
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(autouse=True)
def _notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTEBOOK_DIR", str(tmp_path / "notebooks"))


def records(folder: Path) -> list[Any]:
    """Return the records of the only run."""
    (one,) = (folder / "multitrack").iterdir()
    return [entry.record for entry in JournalReader(one / "journal.jsonl").read()]


def points(folder: Path, name: str) -> dict[int, float]:
    rows = [r for r in records(folder) if isinstance(r, Metrics) and name in r.values]
    return {row.step: row.values[name] for row in rows}


def test_the_language_model_learns_and_writes(run: Callable[..., str], tmp_path: Path) -> None:
    output = run("language_model", "--output-dir", tmp_path, "--max-steps", 30)
    loss = float(re.search(r"^loss: (\S+)$", output, re.MULTILINE)[1])
    assert loss < 3.7  # guessing among the letters, about a hundred, would give 4.6
    (text,) = (record for record in records(tmp_path) if isinstance(record, Text))
    assert (text.key, text.step) == ("sample", 30)
    assert text.text.startswith("The ")
    assert len(text.text) == 204
    assert text.text in output
    assert points(tmp_path, "train/num_input_tokens_seen")[30] == 30 * 32 * 64
    assert points(tmp_path, "eval/loss") == {30: pytest.approx(loss, abs=5e-4)}


def test_a_callback_reports_and_stops(run: Callable[..., str], tmp_path: Path) -> None:
    output = run("custom_callback", "--output-dir", tmp_path, "--report-to", "notebook")
    steps = int(re.search(r"good enough after (\d+) steps", output)[1])
    assert steps < 1000
    assert (tmp_path / f"checkpoint-{steps}").is_dir()
    norms = points(tmp_path, "train/weight_norm")
    assert sorted(norms) == list(range(20, steps + 1, 20))
    assert all(norm > 0 for norm in norms.values())
    assert points(tmp_path, "eval/accuracy")[steps] >= 0.97


def test_training_stops_early_with_the_best_model(run: Callable[..., str], tmp_path: Path) -> None:
    output = run("stop_early", "--output-dir", tmp_path, "--report-to", "notebook")
    done, planned = map(int, re.search(r"after step (\d+) of (\d+)", output).groups())
    assert done < planned
    best_step, best = re.search(r"best at step (\d+), with a loss of (\S+)", output).groups()
    assert int(best_step) == done - 3 * 4  # three epochs of four steps
    assert re.search(r"loss now: (\S+)", output)[1] == best
    losses = points(tmp_path, "eval/loss")
    assert min(losses.values()) == pytest.approx(float(best), abs=1e-4)


def test_resumed_training_is_equal_to_the_bit(run: Callable[..., str], tmp_path: Path) -> None:
    output = run("resume", "--output-dir", tmp_path, "--report-to", "notebook")
    assert "equal to the bit: True" in output
    assert any(isinstance(record, Resumed) for record in records(tmp_path / "parts"))
    assert sorted(points(tmp_path / "parts", "train/loss")) == [10, 20, 30, 40, 50, 60]


def test_two_processes_train_together(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
        *(str(EXAMPLES / "two_processes.py"), "--output-dir", str(tmp_path)),
        *("--report-to", "notebook", "--log-ranks", "all"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    accuracy = re.search(r"2 processes, accuracy (\S+)%", done.stdout)[1]
    assert float(accuracy) > 80
    assert len(list((tmp_path / "multitrack").iterdir())) == 2
