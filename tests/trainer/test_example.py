"""The example of the digits trains, resumes and reports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
EXAMPLE = Path(__file__).parents[2] / "examples" / "train_digits.py"


def run(folder: Path, *options: str) -> str:
    command = [sys.executable, str(EXAMPLE), "--output-dir", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_digits_are_learnt_and_training_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    run(folder, "--report-to", "none", "--max-steps", "50")
    assert [path.name for path in folder.iterdir()] == ["checkpoint-50"]
    output = run(folder, "--report-to", "none", "--max-steps", "100", "--resume")
    accuracy = float(output.rsplit("accuracy: ", 1)[1].strip().rstrip("%"))
    assert accuracy > 85
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-100", "checkpoint-50"]
