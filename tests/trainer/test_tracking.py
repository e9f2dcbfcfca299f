"""The Trainer with multitrack's own callback: the run it records, through every kind of end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from multitrack import TrackingCallback
from multitrack.trackers.journal import JournalReader
from multitrack.trackers.records import End, Header, Histogram, Metrics, Resumed
from multitrack.trainer import Trainer, TrainerCallback, TrainingInterrupted

SAVING = {"save_strategy": "steps", "save_steps": 2}


def records(trainer: Trainer) -> list[Any]:
    """Return the records of the only run of a Trainer."""
    (folder,) = (trainer.output_dir / "multitrack").iterdir()
    return [entry.record for entry in JournalReader(folder / "journal.jsonl").read()]


def series(trainer: Trainer, name: str) -> dict[int, Any]:
    points = [r for r in records(trainer) if isinstance(r, Metrics) and name in r.values]
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.values[name] for point in points}


def logged(trainer: Trainer, name: str) -> dict[int, Any]:
    return {row["step"]: row[name] for row in trainer.state.log_history if name in row}


def test_the_journal_holds_what_the_trainer_logged(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        TrackingCallback("none"), eval_strategy="steps", eval_steps=3, run_name="one", project="p"
    )
    trainer.train()
    assert series(trainer, "train/loss") == logged(trainer, "loss")
    assert series(trainer, "eval/loss") == logged(trainer, "eval_loss")
    header, *_, end = records(trainer)
    assert isinstance(header, Header)
    assert (header.name, header.project) == ("one", "p")
    assert header.config["args"]["learning_rate"] == 0.05
    assert isinstance(end, End)
    assert end.status == "finished"


def test_values_that_callbacks_add_are_recorded(make_trainer: Callable[..., Trainer]) -> None:
    class Adds(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kw: Any) -> None:
            if "loss" in logs:
                logs["added"] = state.global_step

    trainer = make_trainer(TrackingCallback("none"))
    trainer.add_callback(Adds)
    trainer.train()
    assert series(trainer, "train/added") == {2: 2, 4: 4, 6: 6}


def test_a_resumed_training_goes_on_with_its_run(make_trainer: Callable[..., Trainer]) -> None:
    first = make_trainer(TrackingCallback("none"), **SAVING, max_steps=4)
    first.train()
    trainer = make_trainer(TrackingCallback("none"), **SAVING, max_steps=6)
    trainer.train(resume_from_checkpoint=True)
    assert sum(isinstance(record, Resumed) for record in records(trainer)) >= 1
    assert series(trainer, "train/loss") == logged(trainer, "loss")
    assert sorted(logged(trainer, "loss")) == [2, 4, 6]


def test_one_callback_makes_a_run_for_each_training(
    make_trainer: Callable[..., Trainer],
) -> None:
    tracking = TrackingCallback("none")
    first = make_trainer(tracking, **SAVING)
    ids = []
    for trainer, checkpoint in [
        (first, None),
        (make_trainer(tracking, **SAVING), None),  # the next fold
        (first, None),  # the same Trainer, from the beginning
        (first, first.output_dir / "checkpoint-2"),
    ]:
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.evaluate()
        ids.append(tracking.run_id)
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]  # whose checkpoints these are
    assert len(list((first.output_dir / "multitrack").iterdir())) == 3


def test_evaluation_after_training_belongs_to_the_run(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(TrackingCallback("none"))
    trainer.train()
    loss = trainer.evaluate()["eval_loss"]
    predicted = trainer.predict(tiny.samples(8)).metrics
    assert series(trainer, "eval/loss") == {6: loss}
    assert predicted is not None
    assert series(trainer, "test/loss") == {6: predicted["test_loss"]}


def test_a_failure_is_the_runs_outcome(make_trainer: Callable[..., Trainer]) -> None:
    class Breaks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise ZeroDivisionError("three")

    trainer = make_trainer(TrackingCallback("none"), Breaks)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    (end,) = [record for record in records(trainer) if isinstance(record, End)]
    assert (end.status, end.error) == ("failed", "ZeroDivisionError: three")


def test_sigterm_makes_an_interrupted_run_that_can_go_on(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Terminates(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    trainer = make_trainer(TrackingCallback("none"), Terminates, **SAVING)
    with pytest.raises(TrainingInterrupted):
        trainer.train()
    ends = [record.status for record in records(trainer) if isinstance(record, End)]
    assert ends == ["interrupted"]
    again = make_trainer(TrackingCallback("none"), **SAVING)
    again.train(resume_from_checkpoint=True)
    ends = [record.status for record in records(again) if isinstance(record, End)]
    assert ends[-1] == "finished"


def test_report_to_delivers_to_the_real_backend(
    make_trainer: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MULTITRACK_DELIVERY", "inline")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    trainer = make_trainer(report_to=["tensorboard"])
    last = trainer.callback_handler.callbacks[-1]
    assert isinstance(last, TrackingCallback)
    trainer.train()
    last.run.finish()
    files = list((tmp_path / "board").rglob("events.out.tfevents.*"))
    assert files
    events = EventAccumulator(str(files[0].parent)).Reload()
    read = {point.step: point.value for point in events.Scalars("train/loss")}
    assert read == pytest.approx(logged(trainer, "loss"), rel=1e-6)


def test_the_model_is_watched_as_a_backends_variable_says(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTITRACK_DELIVERY", "later")
    monkeypatch.setenv("MULTITRACK_PYTHON_WANDB", sys.executable)  # needs no client here
    monkeypatch.setenv("WANDB_WATCH", "all")
    trainer = make_trainer(report_to=["wandb"], max_steps=102, logging_steps=1, eval_strategy="no")
    trainer.train()
    trainer.callback_handler.callbacks[-1].run.finish(quiet=True, timeout=0)
    seen = [(each.step, each.key) for each in records(trainer) if isinstance(each, Histogram)]
    names = [name for name, _ in trainer.model.named_parameters()]
    kinds = ("gradients", "parameters")
    wanted = [(step, f"{kind}/{name}") for step in (0, 100) for kind in kinds for name in names]
    assert sorted(seen) == sorted(wanted)
