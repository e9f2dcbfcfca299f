"""Checkpoints: what they hold, when they appear, which are deleted."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch import nn

from multitrack.trainer import Trainer, TrainerCallback
from multitrack.trainer.checkpoints import atomic
from multitrack.trainer.checkpoints.folders import last_checkpoint, list_checkpoints, superseded
from multitrack.trainer.checkpoints.weights import load_weights, save_weights

SAVING = {"save_strategy": "steps", "save_steps": 2}


def steps(trainer: Trainer) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in trainer.output_dir.glob("checkpoint-*"))


def scores(*values: float) -> Callable[[Any], dict[str, float]]:
    remaining = iter(values)
    return lambda _: {"score": next(remaining)}


def test_what_a_checkpoint_holds(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(**SAVING)
    trainer.train()
    folder = trainer.output_dir / "checkpoint-6"
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.safetensors",
        "optimizer.pt",
        "progress.json",
        "rng_state.pth",
        "scheduler.pt",
        "trainer_state.json",
        "training_args.json",
    ]
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[n], t) for n, t in trainer.model.state_dict().items())
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.load(folder / name, weights_only=True)
    state = json.loads((folder / "trainer_state.json").read_text())
    assert state["global_step"] == 6
    assert state["stateful_callbacks"]["TrainerControl"]["args"]["should_save"] is True
    assert json.loads((folder / "training_args.json").read_text())["max_steps"] == 6


def test_the_model_alone(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(**SAVING, save_only_model=True)
    trainer.train()
    names = sorted(path.name for path in (trainer.output_dir / "checkpoint-6").iterdir())
    assert names == ["model.safetensors", "trainer_state.json", "training_args.json"]
    again = make_trainer(**SAVING)
    with pytest.raises(
        ValueError, match=r"has no optimizer.pt, as checkpoints saved with save_only"
    ):
        again.train(resume_from_checkpoint=True)


def test_a_poisoned_optimizer_is_not_executed(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    class Poison:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch {tmp_path}/harm",))

    trainer = make_trainer(**SAVING)
    trainer.train()
    for name in ("optimizer.pt", "scheduler.pt"):
        torch.save(Poison(), trainer.output_dir / "checkpoint-6" / name)
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            make_trainer(**SAVING, max_steps=8).train(resume_from_checkpoint=True)
    assert not (tmp_path / "harm").exists()


def test_the_oldest_are_deleted_and_callbacks_are_told_before(
    make_trainer: Callable[..., Trainer],
) -> None:
    told: list[tuple[str, bool, int]] = []

    class Listens(TrainerCallback):
        def on_checkpoint_delete(
            self, args: Any, state: Any, control: Any, checkpoint_dir: Any = None, **kwargs: Any
        ) -> None:
            path = Path(checkpoint_dir)
            told.append((path.name, (path / "model.safetensors").exists(), state.global_step))

    trainer = make_trainer(Listens, **SAVING, max_steps=8, save_total_limit=2)
    trainer.train()
    assert steps(trainer) == [6, 8]
    assert told == [("checkpoint-2", True, 6), ("checkpoint-4", True, 8)]


def test_the_best_is_kept_and_loaded(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        **SAVING,
        max_steps=8,
        save_total_limit=1,
        eval_strategy="steps",
        eval_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        compute_metrics=scores(1, 3, 2, 2),
    )
    seen: list[list[int]] = []

    class Looks(TrainerCallback):
        def on_save(self, *args: Any, **kwargs: Any) -> None:
            seen.append(steps(trainer))

    trainer.add_callback(Looks)
    trainer.train()
    assert seen == [[2], [4], [4, 6], [4, 8]]
    assert steps(trainer) == [4]
    assert trainer.state.best_model_checkpoint == str(trainer.output_dir / "checkpoint-4")
    weights = load_file(trainer.output_dir / "checkpoint-4" / "model.safetensors")
    assert all(torch.equal(weights[n], t) for n, t in trainer.model.state_dict().items())


def test_saving_only_what_is_better(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        save_strategy="best",
        eval_strategy="steps",
        eval_steps=1,
        metric_for_best_model="score",
        compute_metrics=scores(1, 2, 2, 3, 0, 1),
    )
    trainer.train()
    assert steps(trainer) == [1, 2, 4]


def test_two_saves_of_one_step_leave_one_whole_checkpoint(
    make_trainer: Callable[..., Trainer],
) -> None:
    recorder = tiny.Recorder()

    class Asks(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_save = True

    trainer = make_trainer(Asks, recorder, **SAVING, max_steps=2)
    trainer.train()
    assert recorder.events.count("on_save") == 2
    assert sorted(path.name for path in trainer.output_dir.iterdir()) == ["checkpoint-2"]


def test_checkpoints_are_sorted_by_age_and_the_last_by_steps(tmp_path: Path) -> None:
    for age, step in enumerate((500, 20, 3)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text("{}")
        os.utime(folder, (1000 + age, 1000 + age))
    (tmp_path / "checkpoint-9999").mkdir()  # not one that training can go on from
    (tmp_path / "checkpoint-best").mkdir()
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["checkpoint-500", "checkpoint-20", "checkpoint-3", "checkpoint-9999"]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-500"
    assert last_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("limit", "best", "doomed"),
    [
        (None, None, []),
        (2, None, ["1", "2"]),
        (1, None, ["1", "2", "3"]),
        (1, "1", ["2", "3"]),
        (2, "2", ["1", "3"]),
        (3, "1", ["2"]),
        (9, None, []),
    ],
)
def test_which_are_too_many(limit: int | None, best: str | None, doomed: list[str]) -> None:
    paths = [Path(name) for name in "1234"]
    assert superseded(paths, limit, best, Path("4")) == [Path(name) for name in doomed]


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_tied_weights_are_written_once_and_stay_tied(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    save_weights(model, model.state_dict(), tmp_path)
    assert len(load_file(tmp_path / "model.safetensors")) == 3
    load_weights(other, tmp_path)
    assert torch.equal(other.second.weight, model.first.weight)
    assert other.second.weight is other.first.weight


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_weights(Tied(), tiny.TinyModel().state_dict(), tmp_path)
    with pytest.raises(ValueError, match=r"do not fit the model: it lacks .*head\.bias.*first"):
        load_weights(Tied(), tmp_path)
    save_weights(Tied(), {**Tied().state_dict(), "first.bias": torch.zeros(7)}, tmp_path)
    with pytest.raises(ValueError, match=r"first\.bias has shape \(7,\), and the model's \(3,\)"):
        load_weights(Tied(), tmp_path)
    with pytest.raises(ValueError, match="has no weights"):
        load_weights(Tied(), tmp_path / "nowhere")


def test_a_sharded_checkpoint_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = tiny.TinyModel(seed=5)
    weights = model.state_dict()
    names = sorted(weights)
    files = {"a.safetensors": names[:2], "b.safetensors": names[2:]}
    for file, part in files.items():
        save_file({name: weights[name] for name in part}, tmp_path / file)
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    other = tiny.TinyModel(seed=6)
    load_weights(other, tmp_path)
    assert all(torch.equal(weights[n], t) for n, t in other.state_dict().items())


def test_leftovers_of_killed_processes_are_swept(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(**SAVING)
    half = atomic.begin(trainer.output_dir / "checkpoint-2")
    (half / "trainer_state.json").write_text("{}")
    assert last_checkpoint(trainer.output_dir) is None
    trainer.train()
    assert not half.exists()
    assert steps(trainer) == [2, 4, 6]


KILLED = """
import sys, threading, time
sys.path.insert(0, {tests!r})
import tiny, torch
from torch import nn
from multitrack.trainer import Trainer, TrainingArguments
torch.set_num_threads(1)

class Heavy(tiny.TinyModel):
    def __init__(self):
        super().__init__()
        self.ballast = nn.Parameter(torch.zeros(2_000_000), requires_grad=False)

args = TrainingArguments(
    {folder!r}, max_steps=100_000, save_strategy="steps", save_steps=1, save_total_limit=2,
    disable_tqdm=True, use_cpu=True, logging_strategy="no",
)
print("ready", flush=True)
Trainer(Heavy(), args, train_dataset=tiny.samples(40)).train()
"""


@pytest.mark.parametrize("delay", [0.5, 0.93])
def test_a_kill_never_leaves_a_checkpoint_that_looks_whole(
    delay: float, tmp_path: Path, make_trainer: Callable[..., Trainer]
) -> None:
    folder = tmp_path / "killed"
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoint-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    found = list_checkpoints(folder)
    assert 1 <= len(found) <= 3
    for checkpoint in found:
        assert len(list(checkpoint.iterdir())) == 7
        state = json.loads((checkpoint / "trainer_state.json").read_text())
        assert f"checkpoint-{state['global_step']}" == checkpoint.name
        assert load_file(checkpoint / "model.safetensors")["ballast"].shape == (2_000_000,)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            torch.load(checkpoint / name, weights_only=True)
        json.loads((checkpoint / "progress.json").read_text())
