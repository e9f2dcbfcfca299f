"""What the tests of the Trainer share."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from multitrack.trainer import Trainer, TrainingArguments


@pytest.fixture(autouse=True, scope="module")
def _imports_are_no_garbage() -> None:
    """Every training collects garbage; looking through all imported modules takes it a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _kind_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in os.environ if name.startswith("MULTITRACK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def arguments(tmp_path: Path) -> Callable[..., TrainingArguments]:
    """Make arguments with small numbers and no progress bar."""

    def make(**overrides: Any) -> TrainingArguments:
        options = {
            "output_dir": str(tmp_path / "out"),
            "per_device_train_batch_size": 4,
            "per_device_eval_batch_size": 8,
            "learning_rate": 0.05,
            "max_steps": 6,
            "logging_steps": 2,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        return TrainingArguments(**{**options, **overrides})

    return make


@pytest.fixture
def make_trainer(arguments: Callable[..., TrainingArguments]) -> Callable[..., Trainer]:
    """Make a Trainer of the tiny model on 44 samples; arguments of both kinds may be given."""

    def make(
        *callbacks: Any,
        model: Any = None,
        train: Any = None,
        evaluation: Any = None,
        **options: Any,
    ) -> Trainer:
        names = ("compute_metrics", "compute_loss_func", "data_collator", "processing_class")
        names += ("optimizers", "preprocess_logits_for_metrics")
        own = {name: options.pop(name) for name in names if name in options}
        return Trainer(
            tiny.TinyModel() if model is None else model,
            arguments(**options),
            train_dataset=tiny.samples(44) if train is None else train,
            eval_dataset=tiny.samples(16, seed=2) if evaluation is None else evaluation,
            callbacks=list(callbacks),
            **own,
        )

    return make
