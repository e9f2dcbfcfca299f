"""What needs a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch

from multitrack.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA is not available here"),
]


@pytest.mark.parametrize("precision", [{}, {"fp16": True}, {"bf16": True}, {"tf32": True}], ids=str)
def test_training_lowers_the_loss(
    precision: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    trainer = make_trainer(use_cpu=False, max_steps=40, logging_steps=10, **precision)
    assert trainer.args.device.type == "cuda"
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before


def test_training_goes_on_from_a_checkpoint_with_its_scaler(
    make_trainer: Callable[..., Trainer],
) -> None:
    options = {"use_cpu": False, "fp16": True, "save_strategy": "steps", "save_steps": 4}
    options |= {"max_steps": 12, "logging_steps": 1}
    whole = make_trainer(model=tiny.TinyModel(dropout=0.2), **options)
    whole.train()
    again = make_trainer(model=tiny.TinyModel(dropout=0.2), **options)
    again.train(resume_from_checkpoint=whole.output_dir / "checkpoint-4")
    losses = [[r["loss"] for r in t.state.log_history if "loss" in r] for t in (whole, again)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert (whole.output_dir / "checkpoint-4" / "scaler.pt").is_file()


def test_the_loop_reads_from_the_gpu_only_when_it_logs(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(use_cpu=False, max_steps=30, logging_steps=30)
    with tiny.CountsReads() as counter:
        trainer.train()
    assert counter.reads <= 12


def test_memory_of_the_gpu_is_measured(make_trainer: Callable[..., Trainer]) -> None:
    metrics = make_trainer(use_cpu=False, skip_memory_metrics=False).train().metrics
    assert metrics["train_mem_gpu_peaked_delta"] > 0
