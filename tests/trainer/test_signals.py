"""SIGTERM: save, tell, stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from multitrack.trainer import Trainer, TrainerCallback, TrainingInterrupted
from multitrack.trainer.checkpoints.folders import list_checkpoints


class Terminates(TrainerCallback):
    """Sends this process SIGTERM in the middle of the fourth step."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_checkpoint_is_saved_and_training_can_go_on(
    make_trainer: Callable[..., Trainer],
) -> None:
    heard: list[Any] = []

    class Listens(TrainerCallback):
        def on_exception(self, *args: Any, exception: Any = None, **kwargs: Any) -> None:
            heard.append(exception)

    recorder = tiny.Recorder()
    options = {"save_strategy": "steps", "save_steps": 100, "max_steps": 8, "logging_steps": 3}
    trainer = make_trainer(Terminates, Listens, recorder, **options)
    with pytest.raises(TrainingInterrupted, match="SIGTERM after step 4") as caught:
        trainer.train()
    assert heard == [caught.value]
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.code == 143
    assert recorder.events[-3:] == ["on_step_end", "on_save", "on_exception"]
    assert [path.name for path in list_checkpoints(trainer.output_dir)] == ["checkpoint-4"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    resumed = make_trainer(**options)
    resumed.train(resume_from_checkpoint=True)
    whole = make_trainer(**options, output_dir=str(trainer.output_dir) + "-whole")
    whole.train()
    assert torch.equal(resumed.model.head.weight, whole.model.head.weight)
    losses = [[r["loss"] for r in t.state.log_history if "loss" in r] for t in (resumed, whole)]
    assert losses[0] == losses[1]


def test_a_step_that_was_saved_is_not_saved_again(make_trainer: Callable[..., Trainer]) -> None:
    recorder = tiny.Recorder()
    trainer = make_trainer(Terminates, recorder, save_strategy="steps", save_steps=4)
    with pytest.raises(TrainingInterrupted):
        trainer.train()
    assert recorder.events.count("on_save") == 1


def test_nothing_is_saved_if_nothing_should_be(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(Terminates, save_strategy="no")
    with pytest.raises(TrainingInterrupted):
        trainer.train()
    assert list_checkpoints(trainer.output_dir) == []


def test_a_handler_of_the_users_stays(make_trainer: Callable[..., Trainer]) -> None:
    received: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        assert make_trainer(Terminates).train().global_step == 6
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert received == [signal.SIGTERM]


def test_a_handler_set_while_training_stays(make_trainer: Callable[..., Trainer]) -> None:
    def handler(*_: Any) -> None: ...

    class Handles(TrainerCallback):
        def on_train_end(self, *args: Any, **kwargs: Any) -> None:
            signal.signal(signal.SIGTERM, handler)

    try:
        make_trainer(Handles).train()
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class TerminatesLate(TrainerCallback):
    """Sends this process SIGTERM when no step is left that training could end after."""

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        Path(args.output_dir, "is-over").touch()


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import tiny
from test_signals import {callback}
from multitrack.trainer import Trainer, TrainingArguments
args = TrainingArguments({folder!r}, max_steps={steps}, disable_tqdm=True, use_cpu=True)
Trainer(tiny.TinyModel(), args, train_dataset=tiny.samples(40), callbacks=[{callback}]).train()
"""


def run_script(folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own."""
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), **options)
    return subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )


def test_the_program_ends_quietly_with_the_status_of_sigterm(tmp_path: Path) -> None:
    done = run_script(tmp_path, callback="Terminates", steps=100)
    assert done.returncode == 143
    assert "Traceback" not in done.stderr
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-4"]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal has no status of its own there")
def test_a_signal_that_came_too_late_ends_the_program_after_training(tmp_path: Path) -> None:
    done = run_script(tmp_path, callback="TerminatesLate", steps=3)
    assert done.returncode == -signal.SIGTERM
    assert (tmp_path / "is-over").exists()
