"""Training that goes on from a checkpoint is the training that was not interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from multitrack.trainer import Trainer, TrainerCallback

STEPS = 20
TIMING = ("runtime", "per_second")


def history(trainer: Trainer) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if not name.endswith(TIMING)}
        for row in trainer.state.log_history
    ]


class Noise(TrainerCallback):
    """Draws from numpy's and Python's generators, as data augmentation does."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.drawn.append(random.random() + float(np.random.rand()))  # noqa: NPY002


CASES: dict[str, dict[str, Any]] = {
    "within an epoch": {},
    "with accumulation": {"gradient_accumulation_steps": 3},
    "in several epochs": {"max_steps": -1, "num_train_epochs": 2},
    "between two logs": {"logging_steps": 7},
    "with evaluations": {"eval_strategy": "steps", "eval_steps": 3},
    "with momentum": {"optim": "sgd", "optim_args": "momentum=0.9"},
    "on a plateau": {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0},
        "eval_strategy": "steps",
        "eval_steps": 2,
    },
    "with bf16": {"bf16": True},
    "in epochs": {
        "max_steps": -1,
        "num_train_epochs": 2,
        "logging_strategy": "epoch",
        "eval_strategy": "epoch",
    },
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("at", [3, 11, 14])
def test_losses_and_weights_are_equal_to_the_bit(
    case: str, at: int, make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    options = {"max_steps": STEPS, "logging_steps": 1, **CASES[case]}
    options |= {"save_strategy": "steps", "save_steps": at}

    def trainer(folder: str) -> tuple[Trainer, Noise]:
        noise = Noise()
        model = tiny.TinyModel(dropout=0.3)
        return (
            make_trainer(noise, model=model, output_dir=str(tmp_path / folder), **options),
            noise,
        )

    whole, noise = trainer("whole")
    outcome = whole.train()
    if whole.state.global_step <= at:
        pytest.skip("this training ends before the checkpoint")
    resumed, noise_after = trainer("resumed")
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)  # whatever the process did before must not matter
    again = resumed.train(resume_from_checkpoint=tmp_path / "whole" / f"checkpoint-{at}")
    assert history(resumed) == history(whole)
    assert again.training_loss == outcome.training_loss
    assert again.global_step == outcome.global_step
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name
    assert noise_after.drawn == noise.drawn[at:]


def test_an_epoch_that_was_saved_at_its_end_is_not_ended_again(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    options = {
        "max_steps": -1,
        "num_train_epochs": 3,
        "logging_strategy": "epoch",
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
    }
    whole = make_trainer(model=tiny.TinyModel(dropout=0.3), **options)
    whole.train()
    recorder = tiny.Recorder()
    resumed = make_trainer(
        recorder,
        model=tiny.TinyModel(dropout=0.3),
        **{**options, "output_dir": str(tmp_path / "resumed")},
    )
    resumed.train(resume_from_checkpoint=whole.output_dir / "checkpoint-11")
    assert history(resumed) == history(whole)
    assert recorder.events.count("on_epoch_begin") == 2
    assert torch.equal(resumed.model.head.weight, whole.model.head.weight)


def test_epochs_that_were_cut_short_are_found_again(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    class Cuts(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_epoch_stop = state.global_step % 3 == 0

    options = {"max_steps": -1, "num_train_epochs": 4, "logging_steps": 1}
    options |= {"save_strategy": "steps", "save_steps": 5}
    whole = make_trainer(Cuts, **options)
    whole.train()
    resumed = make_trainer(Cuts, **{**options, "output_dir": str(tmp_path / "resumed")})
    resumed.train(resume_from_checkpoint=whole.output_dir / "checkpoint-5")
    assert history(resumed) == history(whole)
    assert resumed.state.epoch == pytest.approx(3 + 3 / 11)


def test_an_epoch_in_which_training_was_stopped_is_gone_on_with(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop |= state.global_step == 5

    options = {"max_steps": -1, "num_train_epochs": 2, "save_strategy": "epoch"}
    whole = make_trainer(model=tiny.TinyModel(dropout=0.2), **options)
    whole.train()
    stopped = make_trainer(Stops, model=tiny.TinyModel(dropout=0.2), **options)
    stopped.train()
    resumed = make_trainer(model=tiny.TinyModel(dropout=0.2), **options)
    resumed.train(resume_from_checkpoint=stopped.output_dir / "checkpoint-5")
    assert history(resumed) == history(whole)
    # The epoch that was gone on with is over now: it is not gone on with once more.
    recorder = tiny.Recorder()
    again = make_trainer(recorder, **options)
    again.train(resume_from_checkpoint=resumed.output_dir / "checkpoint-11")
    assert recorder.events.count("on_epoch_begin") == 1


def test_a_checkpoint_of_epochs_of_another_length_is_placed_by_its_steps(
    make_trainer: Callable[..., Trainer],
) -> None:
    saving = {"save_strategy": "steps", "save_steps": 4}
    make_trainer(**saving, max_steps=4).train()
    trainer = make_trainer(**saving, max_steps=6, gradient_accumulation_steps=4)
    trainer.train(resume_from_checkpoint=True)  # three steps an epoch now: this is the second
    assert trainer.state.epoch == pytest.approx(2.0)


def test_the_loss_since_the_last_log_is_not_lost(make_trainer: Callable[..., Trainer]) -> None:
    options = {"max_steps": 10, "logging_steps": 5, "save_strategy": "steps", "save_steps": 3}
    whole = make_trainer(**options)
    whole.train()
    resumed = make_trainer(**options)
    resumed.train(resume_from_checkpoint=whole.output_dir / "checkpoint-3")
    assert [row["loss"] for row in history(resumed)[:2]] == [
        row["loss"] for row in history(whole)[:2]
    ]


def test_the_arguments_may_name_the_checkpoint(make_trainer: Callable[..., Trainer]) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    make_trainer(**saving).train()
    steps: list[int] = []

    class Looks(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            steps.append(state.global_step)

    trainer = make_trainer(Looks, **saving, resume_from_checkpoint=True)
    trainer.train()
    trainer.train(resume_from_checkpoint=False)
    trainer.train(resume_from_checkpoint=str(trainer.output_dir / "checkpoint-2"))
    assert steps == [6, 0, 2]


def test_a_finished_training_does_no_more_steps(make_trainer: Callable[..., Trainer]) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    first = make_trainer(**saving)
    loss = first.train().training_loss
    recorder = tiny.Recorder()
    trainer = make_trainer(recorder, **saving)
    output = trainer.train(resume_from_checkpoint=True)
    assert output.global_step == 6
    assert output.training_loss == loss
    assert recorder.events == [
        "on_init_end",
        "on_train_begin",
        "on_epoch_begin",  # the epoch that the last step had not yet ended
        "on_epoch_end",
        "on_log",
        "on_train_end",
    ]


def test_data_need_not_be_skipped(make_trainer: Callable[..., Trainer]) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    make_trainer(**saving).train()
    trainer = make_trainer(**saving, ignore_data_skip=True)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert trainer.state.global_step == 6
    assert trainer.state.epoch == pytest.approx(2 / 11)


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_what_is_no_checkpoint_is_refused(
    where: str, make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"is no checkpoint: it has no trainer_state\.json"):
        make_trainer().train(resume_from_checkpoint=tmp_path / where)


def test_a_missing_best_checkpoint_is_forgotten_with_a_warning(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    options = {
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "metric_for_best_model": "step",
        "compute_metrics": lambda _: {"step": 0.0},
    }
    first = make_trainer(**options)
    first.train()
    assert first.state.best_global_step == 2
    (first.output_dir / "checkpoint-2").rename(first.output_dir / "elsewhere")
    trainer = make_trainer(**options)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert trainer.state.best_model_checkpoint is None
    assert "does not exist any more" in caplog.text


def test_arguments_that_are_not_the_checkpoints_are_told_once(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    trainer = make_trainer(**saving)
    trainer.train()
    checkpoint = trainer.output_dir / "checkpoint-2"
    make_trainer(**saving, run_name="other", max_steps=4).train(resume_from_checkpoint=checkpoint)
    assert "not those of the checkpoint" not in caplog.text
    changed = {"learning_rate": 0.5, "logging_steps": 3, "per_device_train_batch_size": 2}
    make_trainer(**saving, **changed).train(resume_from_checkpoint=checkpoint)
    [told] = [r.message for r in caplog.records if "not those of the checkpoint" in r.message]
    assert told.splitlines()[1:] == [
        "  - logging_steps: 3, was 2",
        "  - per_device_train_batch_size: 2, was 4",
        "  - learning_rate: 0.5, was 0.05",
    ]


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_checkpoint_without_arguments_is_gone_on_with(
    content: str, make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(save_strategy="steps", save_steps=4)
    trainer.train()
    checkpoint = trainer.output_dir / "checkpoint-4"
    (checkpoint / "training_args.json").write_text(content)
    again = make_trainer(save_strategy="steps", save_steps=4, learning_rate=0.5)
    assert again.train(resume_from_checkpoint=checkpoint).global_step == 6
    assert "not those of the checkpoint" not in caplog.text


def test_missing_random_states_are_told(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    trainer = make_trainer(**saving)
    trainer.train()
    (trainer.output_dir / "checkpoint-4" / "rng_state.pth").unlink()
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert "has no random state for process 0 of 1" in caplog.text
