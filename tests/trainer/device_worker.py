"""What is done on the CPU and on the loopback device for the tests of devices.

Each case works in a folder of its own, and writes down there what it found on either.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from loopback_device import DEVICE, NAME, DeviceTensor, Reads
from torch.utils.data import DataLoader, IterableDataset

from multitrack import TrackingCallback
from multitrack.trackers.journal import JournalReader
from multitrack.trackers.records import Histogram, Metrics
from multitrack.trainer import Trainer, TrainerCallback, TrainingArguments

FOLDER = Path()
TIMES = ("runtime", "per_second")


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Samples without a length."""

    def __iter__(self) -> Any:
        return iter(tiny.samples(30, seed=3))


def mean_absolute_error(prediction: Any) -> dict[str, float]:
    """Return the metric of the tests."""
    return {"mae": float(np.abs(prediction.predictions - prediction.label_ids).mean())}


def squares_over_items(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Return a loss that knows how many items the whole step has."""
    squares = (outputs["logits"] - labels) ** 2
    return squares.mean() if num_items_in_batch is None else squares.sum() / num_items_in_batch


class WithOwnLoaders(Trainer):
    """Has loaders of PyTorch, which bring their batches to no device."""

    def get_train_dataloader(self) -> Any:
        return DataLoader(self.train_dataset, batch_size=4)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        return DataLoader(self.eval_dataset, batch_size=4)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 3},
    "items": {"compute_loss_func": squares_over_items, "gradient_accumulation_steps": 2},
    "metrics": {"compute_metrics": mean_absolute_error, "eval_accumulation_steps": 1},
    "best": {"load_best_model_at_end": True},
    "plateau": {"lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "loss"},
    "fused": {"optim": "adamw_torch_fused"},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9"},
    "measured only": {"max_grad_norm": 0.0},
    "stream": {"train_dataset": Stream()},
    "own loaders": {"kind": WithOwnLoaders, "gradient_accumulation_steps": 2},
    "bf16": {"bf16": True},
    "unfiltered": {"logging_nan_inf_filter": False},
}


def trainer(*callbacks: Any, **options: Any) -> Trainer:
    """Make a Trainer whose device follows from ``use_cpu``."""
    defaults = {
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 8,
        "learning_rate": 0.05,
        "max_steps": 8,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "eval_steps": 2,
        "save_steps": 2,
        "disable_tqdm": True,
    }
    own = {"train_dataset": tiny.samples(44), "eval_dataset": tiny.samples(13, seed=2)}
    for name in ("train_dataset", "compute_loss_func", "compute_metrics"):
        if name in options:
            own[name] = options.pop(name)
    kind = options.pop("kind", Trainer)
    made: Trainer = kind(
        tiny.TinyModel(dropout=0.2),
        TrainingArguments(str(FOLDER / "out"), **{**defaults, **options}),
        callbacks=list(callbacks),
        **own,
    )
    return made


def weights(of: Trainer) -> list[float]:
    """Return all weights as one list."""
    values: list[float] = torch.cat([p.flatten() for p in of.model.parameters()]).tolist()
    return values


def shown(one: Trainer) -> dict[str, Any]:
    """Return what a Trainer has done, without times."""
    rows = one.state.log_history
    return {
        "history": [{k: v for k, v in row.items() if not k.endswith(TIMES)} for row in rows],
        "weights": weights(one),
        "predictions": one.predict(tiny.samples(11, seed=5)).predictions.tolist(),
    }


def cases() -> dict[str, Any]:
    """Evaluate, train and predict on both sides."""
    found = {}
    for name, options in CASES.items():
        sides = {}
        for side, use_cpu in (("device", False), ("cpu", True)):
            one = trainer(use_cpu=use_cpu, **options)
            one.evaluate()
            one.train()
            sides[side] = {"kind": one.args.device.type, **shown(one)}
        found[name] = sides
    return found


def resumed() -> dict[str, Any]:
    """Go on from a checkpoint in either precision, with its scaler and random states."""
    found = {}
    for name, options in {"fp32": {}, "fp16": {"fp16": True}}.items():
        whole = trainer(**options)
        whole.train()
        checkpoint = FOLDER / "out" / "checkpoint-4"
        again = trainer(**options)
        again.train(checkpoint)
        found[name] = {
            "whole": shown(whole),
            "again": shown(again),
            "files": sorted(path.name for path in checkpoint.iterdir()),
            "generators": sorted(torch.load(checkpoint / "rng_state.pth", weights_only=True)),
        }
    return found


def reads() -> dict[str, Any]:
    """Train for a while and for ten times as long, and count what is read back."""
    found = {}
    for filtered in (True, False):
        counts = []
        for steps in (20, 200):
            quiet = {"eval_strategy": "no", "save_strategy": "no", "logging_steps": 1000}
            one = trainer(max_steps=steps, logging_nan_inf_filter=filtered, **quiet)
            before = Reads.count
            one.train()
            counts.append(Reads.count - before)
        found[f"filter={filtered}"] = counts
    return found


def tracked() -> dict[str, Any]:
    """Log what lies on the device, and watch a model there."""

    class Logs(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            run = tracking.run
            assert run is not None
            if state.global_step == 1:
                run.watch(kwargs["model"], every=1, bins=3)
            values = torch.arange(12.0, device=DEVICE)
            run.log({"own/mean": values.mean()})
            run.log_histogram("own/many", values, bins=3)
            run.log_image("own/image", values.reshape(3, 4) / 12)

    tracking = TrackingCallback("none")
    one = trainer(tracking, Logs, max_steps=2, save_strategy="no", logging_steps=1)
    one.train()
    (folder,) = (one.output_dir / "multitrack").iterdir()
    records = [entry.record for entry in JournalReader(folder / "journal.jsonl").read()]
    metrics = [one.values for one in records if isinstance(one, Metrics)]
    histograms = [one for one in records if isinstance(one, Histogram)]
    return {
        "means": [values["own/mean"] for values in metrics if "own/mean" in values],
        "losses": [values["train/loss"] for values in metrics if "train/loss" in values],
        "history": [row["loss"] for row in one.state.log_history if "loss" in row],
        "counts": [one.counts for one in histograms if one.key == "own/many"],
        "watched": sorted({one.key for one in histograms if one.key != "own/many"}),
        "images": len(list(folder.rglob("*.png"))),
    }


def refusal(mix: Callable[[], Any]) -> str:
    """Return how an operation on tensors of both sides is refused."""
    try:
        mix()
    except RuntimeError as error:
        return str(error)
    return "it was not refused"


def border() -> dict[str, Any]:
    """Show that the stand-in refuses and counts, or the other tasks would show nothing."""
    here, there = torch.ones(3), torch.ones(3, device=NAME)
    assert isinstance(there, DeviceTensor)
    before = Reads.count
    found: dict[str, Any] = {}
    found["refusals"] = [
        refusal(lambda: here + there),
        refusal(lambda: here[0].add_(there[0])),
    ]
    (there + 1).to(DEVICE)
    found["still"] = Reads.count - before
    found["values"] = [(there * 2).sum().item(), there.cpu().tolist(), float(there[0])]
    found["reads"] = Reads.count - before
    return found


torch.set_num_threads(1)
for task in sys.argv[2:]:
    FOLDER = Path(sys.argv[1]) / task
    FOLDER.mkdir()
    (FOLDER / "found.json").write_text(json.dumps(globals()[task]()))
