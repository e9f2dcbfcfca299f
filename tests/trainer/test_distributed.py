"""Two processes on this machine, joined by gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from multitrack.trainer import Trainer, TrainingArguments
from multitrack.trainer.checkpoints.weights import load_weights

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="torch.distributed has no gloo here"
)
WORKER = Path(__file__).with_name("distributed_worker.py")


def launch(folder: Path, *tasks: str) -> None:
    """Do tasks one after the other in two processes."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
        *(str(WORKER), str(folder), *tasks),
    ]
    path = os.pathsep.join([str(WORKER.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    (folder / "output.txt").write_text(done.stdout + done.stderr)


def found(folder: Path) -> list[Any]:
    """Return what each process found in a task."""
    paths = [folder / f"found-{rank}.json" for rank in (0, 1)]
    output = folder.parent / "output.txt"
    assert all(path.exists() for path in paths), output.read_text()[-4000:]
    return [json.loads(path.read_text()) for path in paths]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do all tasks that end well, in one launch."""
    folder = tmp_path_factory.mktemp("two")
    tasks = ("train", "evaluate", "resume", "stream", "tracked", "every", "compiled", "grown")
    launch(folder, *tasks, "fsdp", "fsdp_stateless", "fsdp_other_weights")
    return folder


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do the tasks that do not end well, the last of which ends the processes."""
    folder = tmp_path_factory.mktemp("ended")
    launch(folder, "terminate", "impatient", "disagree")
    return folder


def alone(folder: Path, **options: Any) -> Trainer:
    """Make the same Trainer in this process: batches twice as large give the same steps."""
    defaults: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "learning_rate": 0.05,
        "max_steps": 6,
        "logging_steps": 2,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return Trainer(
        tiny.TinyModel(),
        TrainingArguments(str(folder / "alone"), **{**defaults, **options}),
        train_dataset=tiny.samples(44),
        eval_dataset=tiny.samples(13, seed=2),
    )


def test_two_processes_train_what_one_does(done: Path, tmp_path: Path) -> None:
    first, second = found(done / "train")
    assert first["weights"] == second["weights"]
    assert first["history"] == second["history"]
    one = alone(tmp_path, gradient_accumulation_steps=2, eval_strategy="steps", eval_steps=3)
    output = one.train()
    flat = torch.cat([p.flatten() for p in one.model.parameters()]).tolist()
    assert first["weights"] == pytest.approx(flat, abs=1e-5)
    assert first["loss"] == pytest.approx(output.training_loss, rel=1e-5)
    for name in ("loss", "eval_loss", "learning_rate", "grad_norm", "epoch"):
        expected = [row[name] for row in one.state.log_history if name in row]
        assert [r[name] for r in first["history"] if name in r] == pytest.approx(expected, rel=1e-4)
    # Every sample is predicted once, in order, on both.
    assert first["shapes"] == second["shapes"] == [[[13], [13]]] * 2 + [[[11], [11]]]
    labels = [float(row["labels"]) for row in tiny.samples(11, seed=5)]
    assert first["labels"] == second["labels"] == pytest.approx(labels)
    expected_predictions = one.predict(tiny.samples(11, seed=5)).predictions
    np.testing.assert_allclose(first["predictions"], expected_predictions, atol=1e-4)
    # Events fire on both; one writes.
    assert first["events"] == second["events"]
    assert first["events"].count("on_checkpoint_delete") == 1
    assert (first["zero"], second["zero"]) == ([True, True], [False, False])
    assert first["checkpoints"] == ["checkpoint-4", "checkpoint-6"]
    assert sorted(set(first["files"])) == [
        "model.safetensors",
        "optimizer.pt",
        "progress_0.json",
        "progress_1.json",
        "rng_state_0.pth",
        "rng_state_1.pth",
        "scheduler.pt",
        "trainer_state.json",
        "training_args.json",
    ]


def test_an_evaluation_counts_every_sample_once(done: Path, tmp_path: Path) -> None:
    first, second = found(done / "evaluate")
    assert first == second
    for count, (loss, predictions) in first["losses"].items():
        one = alone(tmp_path)
        expected = one.evaluate(tiny.samples(int(count), seed=2))["eval_loss"]
        assert loss == pytest.approx(expected, rel=1e-6), count
        assert predictions == int(count)


def test_two_processes_go_on_from_a_checkpoint_to_the_bit(done: Path) -> None:
    for one in found(done / "resume"):
        assert one["again"] == one["whole"]
        assert one["histories"][1] == one["histories"][0]


def test_more_processes_go_on_from_one_place(done: Path) -> None:
    first, second = found(done / "grown")
    assert first == second
    assert first["events"].count("on_evaluate") == 2  # of the epoch that was over, and the next


def test_sigterm_to_one_stops_both_at_the_same_step(ended: Path) -> None:
    first, second = found(ended / "terminate")
    assert first["step"] == second["step"] == 6
    folder = ended / "terminate" / "out" / "checkpoint-6"
    assert (folder / "rng_state_1.pth").is_file()
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == 6


def test_no_process_waits_for_another_beyond_the_timeout(ended: Path) -> None:
    assert any("timed out" in one["error"].lower() for one in found(ended / "impatient"))


def test_what_one_process_alone_asks_for_is_an_error_at_once(ended: Path) -> None:
    first, _ = found(ended / "disagree")
    assert first["error"].startswith("control.should_training_stop is on in 1 of 2 processes")


def test_only_the_first_process_reports(done: Path) -> None:
    first, second = found(done / "tracked")
    assert second["run"] is None
    folder = done / "tracked" / "out" / "multitrack"
    assert [path.name for path in folder.iterdir()] == [first["run"]]
    lines = (folder / first["run"] / "journal.jsonl").read_text()
    points = [json.loads(line) for line in lines.splitlines()]
    steps = [p["step"] for p in points if p["type"] == "metrics" and "train/loss" in p["values"]]
    assert steps == [2, 4, 6]


def test_every_process_reports_where_asked_to_and_goes_on_with_its_run(done: Path) -> None:
    [first, _], [second, _] = runs = [one["ids"] for one in found(done / "every")]
    assert runs == [[first, first], [second, second]]
    assert first != second
    pages = sorted((done / "every" / "notebooks").glob("*/page.jsonl"))
    lines = [[json.loads(line) for line in page.read_text().splitlines()] for page in pages]
    assert sorted(page[0]["name"] for page in lines) == ["digits-rank0", "digits-rank1"]
    for page in lines:
        points = [line for line in page if line["kind"] == "metrics"]
        assert [p["step"] for p in points if "train/loss" in p["values"]] == [2, 4, 6]
        statuses = [line["status"] for line in page if line["kind"] == "finish"]
        assert set(statuses) == {"finished"}


def test_a_stream_is_shared_out_and_evaluated_whole(done: Path, tmp_path: Path) -> None:
    first, second = found(done / "stream")
    assert first == second
    assert first["steps"] == 6
    one = alone(tmp_path)
    with torch.no_grad():
        position = 0
        for parameter in one.model.parameters():
            values = torch.tensor(first["weights"][position : position + parameter.numel()])
            parameter.copy_(values.reshape(parameter.shape))
            position += parameter.numel()
    expected = one.evaluate(tiny.samples(21, seed=2))["eval_loss"]
    assert first["loss"] == pytest.approx(expected, rel=1e-6)


def test_a_compiled_model_stays_whole_when_checkpoints_are_saved(done: Path) -> None:
    first, second = found(done / "compiled")
    assert first == second
    assert first["compiled"] == pytest.approx(first["plain"], abs=1e-6)


def test_a_sharded_training_is_that_of_one_process(done: Path, tmp_path: Path) -> None:
    first, second = found(done / "fsdp")
    options = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": None}
    one = alone(tmp_path, gradient_accumulation_steps=2, max_steps=8, **options)
    before = one.evaluate()["eval_loss"]
    predicted = one.predict(tiny.samples(11, seed=5)).predictions
    loss = one.train().training_loss
    load_weights(one.model, one.output_dir / "checkpoint-4")
    best = torch.cat([p.detach().flatten() for p in one.model.parameters()]).tolist()
    for here in (first, second):
        assert here["before"] == pytest.approx(before, rel=1e-5)
        assert here["predicted"] == pytest.approx(predicted.tolist(), rel=1e-4)
        assert here["loss"] == here["again"] == pytest.approx(loss, rel=1e-5)
        assert here["best"] == pytest.approx(best, abs=1e-5)
        assert here["evaluated"] == pytest.approx(one.evaluate()["eval_loss"], rel=1e-4)
    assert one.train().training_loss == pytest.approx(first["second"], rel=1e-4)
    assert {"", "hidden", "head"} <= set(first["layers"])
    assert [sum(pair) for pair in zip(first["shard"], second["shard"], strict=True)] == [
        parameter.numel() for parameter in one.model.parameters()
    ]


def test_one_process_alone_reads_the_optimizer_that_is_sharded(done: Path) -> None:
    first, second = found(done / "fsdp")
    assert sorted(first["read"]) == ["optimizer.pt", "rng_state_0.pth", "scheduler.pt"]
    assert sorted(second["read"]) == ["rng_state_1.pth", "scheduler.pt"]


def test_a_sharded_training_without_optimizer_state_is_gone_on_with(done: Path) -> None:
    for here in found(done / "fsdp_stateless"):
        assert here["losses"][1] == here["losses"][0]


def test_the_trainer_after_a_sharded_one_shards_only_if_asked(done: Path) -> None:
    for here in found(done / "fsdp_stateless"):
        assert here["next"] == "DistributedType.MULTI_GPU"
        assert here["refusal"] == "fsdp=True needs GPUs: accelerate does not shard on cpu"


def test_every_process_refuses_the_shards_of_another_model(done: Path) -> None:
    for one in found(done / "fsdp_other_weights"):
        layer, width = one["refusals"]
        assert "lacks none of them, and they lack more.bias, more.weight of it" in layer
        assert "head.weight has shape (1, 8), and the model's (3, 8)" in width
