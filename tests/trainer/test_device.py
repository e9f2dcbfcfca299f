"""The Trainer on a device that is not the CPU: nothing is on the wrong side, nothing waits.

The device is a stand-in (see `loopback_device`), for machines without a GPU. What only a GPU can
show is in `test_gpu`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils import backend_registration

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch takes no device made in Python",
)
WORKER = Path(__file__).with_name("device_worker.py")
TASKS = ("border", "cases", "resumed", "reads", "tracked")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Do all tasks in a process of their own: PyTorch cannot forget a device."""
    folder = tmp_path_factory.mktemp("device")
    path = os.pathsep.join([str(WORKER.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder), *TASKS],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {task: json.loads((folder / task / "found.json").read_text()) for task in TASKS}


def test_the_stand_in_refuses_and_counts(found: dict[str, Any]) -> None:
    border = found["border"]
    assert len(border["refusals"]) == 2
    for refusal in border["refusals"]:
        assert refusal.startswith("Expected all tensors to be on the same device")
    assert (border["still"], border["reads"]) == (0, 3)
    assert border["values"] == [6.0, [1.0, 1.0, 1.0], 1.0]


def test_a_device_does_what_the_cpu_does(found: dict[str, Any]) -> None:
    assert len(found["cases"]) > 10
    for name, sides in found["cases"].items():
        assert (sides["device"].pop("kind"), sides["cpu"].pop("kind")) == ("npu", "cpu")
        assert sides["device"] == sides["cpu"], name
        assert sides["device"]["history"][-1]["train_loss"] > 0


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_training_goes_on_to_the_bit(precision: str, found: dict[str, Any]) -> None:
    resumed = found["resumed"][precision]
    assert resumed["again"]["weights"] == resumed["whole"]["weights"]
    assert resumed["again"]["predictions"] == resumed["whole"]["predictions"]
    assert ("scaler.pt" in resumed["files"]) == (precision == "fp16")
    assert resumed["generators"] == ["cpu", "npu", "numpy", "python"]


def test_no_step_reads_from_the_device(found: dict[str, Any]) -> None:
    for counts in found["reads"].values():
        assert counts[0] == counts[1] < 12


def test_what_lies_on_a_device_is_logged(found: dict[str, Any]) -> None:
    tracked = found["tracked"]
    assert tracked["means"] == [5.5, 5.5]
    assert tracked["counts"] == [[4, 4, 4], [4, 4, 4]]
    assert tracked["images"] > 0
    assert tracked["losses"] == tracked["history"]
    assert len(tracked["losses"]) == 2
    assert tracked["watched"] == [
        f"gradients/{name}.{part}"
        for name in ("head", "hidden", "norm")
        for part in ("bias", "weight")
    ]
