"""The order of events, the switches inside them, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny

from multitrack.trainer import Trainer, TrainerCallback
from multitrack.trainer.callbacks.base import EVENTS

STEP = ["on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end"]
LONG_STEP = ["on_step_begin", "on_substep_end", *STEP[1:]]
EVALUATION = ["on_prediction_step", "on_prediction_step", "on_log", "on_evaluate"]


def test_the_class_has_every_event() -> None:
    assert set(EVENTS) == {*tiny.EVENTS, "on_exception", "on_checkpoint_delete"}


def test_the_order_of_a_whole_training(make_trainer: Callable[..., Trainer]) -> None:
    recorder = tiny.Recorder()
    trainer = make_trainer(
        recorder,
        max_steps=-1,
        num_train_epochs=2,
        gradient_accumulation_steps=2,
        logging_steps=3,
        eval_strategy="steps",
        eval_steps=5,
        save_strategy="steps",
        save_steps=10,
    )
    trainer.train()
    trainer.evaluate()
    trainer.predict(tiny.samples(16))
    assert recorder.events == [
        "on_init_end",
        "on_train_begin",
        "on_epoch_begin",
        *LONG_STEP * 3,
        "on_log",
        *LONG_STEP * 2,
        *EVALUATION,
        *STEP,  # 11 micro-batches: the sixth step has one
        "on_log",
        "on_epoch_end",
        "on_epoch_begin",
        *LONG_STEP * 3,
        "on_log",
        *LONG_STEP,
        *EVALUATION,
        "on_save",
        *LONG_STEP,
        *STEP,
        "on_log",
        *EVALUATION,
        "on_save",
        "on_epoch_end",
        "on_log",
        "on_train_end",
        *EVALUATION,
        "on_prediction_step",
        "on_prediction_step",
        "on_predict",
    ]
    flags = [row[3] for row in recorder.rows if row[0] == "on_step_end"]
    assert flags == ["", "", "L", "", "V", "L", "", "", "L", "SV", "", "TSVL"]
    inside = {(row[0], row[1]): row[3] for row in recorder.rows}
    assert inside["on_save", 10] == ""
    assert inside["on_log", 12] == "T"
    steps = [row[1] for row in recorder.rows if row[0] == "on_save"]
    assert steps == [10, 12]
    epochs = [row[2] for row in recorder.rows if row[0] == "on_step_end"]
    assert epochs == pytest.approx(
        [e / 11 for e in (2, 4, 6, 8, 10, 11, 13, 15, 17, 19, 21, 22)], abs=1e-6
    )


def test_each_event_clears_its_own_switches(make_trainer: Callable[..., Trainer]) -> None:
    switches = tuple(tiny.SWITCHES.values())
    expected = {
        "on_train_begin": {"should_training_stop"},
        "on_epoch_begin": {"should_epoch_stop"},
        "on_step_begin": {"should_log", "should_evaluate", "should_save"},
        "on_log": {"should_log"},
        "on_evaluate": {"should_evaluate"},
        "on_save": {"should_save"},
    }
    trainer = make_trainer()
    for event in EVENTS:
        for name in switches:
            setattr(trainer.control, name, True)
        trainer.fire(event)
        cleared = {name for name in switches if not getattr(trainer.control, name)}
        assert cleared == expected.get(event, set()), event


def test_events_are_given_what_exists_by_then(make_trainer: Callable[..., Trainer]) -> None:
    recorder = tiny.Recorder()
    trainer = make_trainer(
        recorder, eval_strategy="steps", eval_steps=6, save_strategy="steps", save_steps=6
    )
    trainer.train()
    trainer.predict(tiny.samples(8))
    training = {"model", "optimizer", "lr_scheduler", "train_dataloader"}
    assert recorder.present["on_init_end"] == {"model"}
    assert recorder.present["on_train_begin"] == training
    assert recorder.present["on_prediction_step"] == {*training, "eval_dataloader"}
    assert recorder.present["on_log"] == {*training, "eval_dataloader", "logs"}
    assert recorder.present["on_evaluate"] == {*training, "eval_dataloader", "metrics"}
    assert recorder.present["on_predict"] == {*training, "eval_dataloader", "metrics"}
    assert recorder.present["on_save"] == {*training, "eval_dataloader", "checkpoint_dir"}


def test_a_replaced_control_becomes_the_trainers(make_trainer: Callable[..., Trainer]) -> None:
    from multitrack.trainer import TrainerControl

    class Replaces(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            self.given = TrainerControl(should_training_stop=True)
            return self.given

    callback = Replaces()
    trainer = make_trainer(callback)
    assert trainer.train().global_step == 1
    assert trainer.control is callback.given


def test_a_stop_in_the_middle_of_a_step_drops_its_gradients(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Stops(TrainerCallback):
        def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = True

    recorder = tiny.Recorder()
    trainer = make_trainer(Stops, recorder, gradient_accumulation_steps=2)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    output = trainer.train()
    assert output.global_step == 0
    assert recorder.events[-3:] == ["on_epoch_end", "on_log", "on_train_end"]
    assert all(before[name].equal(value) for name, value in trainer.model.state_dict().items())
    assert output.training_loss < 100  # a mean of nothing is not a division by nearly zero


def test_a_second_training_starts_anew(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.train()
    first = trainer.state
    assert trainer.control.should_training_stop
    output = trainer.train()
    assert output.global_step == 6
    assert trainer.state is not first
    assert [row["step"] for row in trainer.state.log_history] == [2, 4, 6, 6]


def test_a_stream_trains_for_max_steps(make_trainer: Callable[..., Trainer]) -> None:
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(tiny.samples(20))

    recorder = tiny.Recorder()
    trainer = make_trainer(
        recorder, train=Stream(), max_steps=8, gradient_accumulation_steps=2, logging_steps=1
    )
    assert trainer.train().global_step == 8
    # Five micro-batches an epoch: two steps of two, and one of the one that remains.
    assert recorder.events.count("on_substep_end") == 2 + 2 + 2
    assert recorder.events.count("on_epoch_begin") == 3


def test_an_empty_stream_stops_with_a_warning(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    from torch.utils.data import IterableDataset

    class Nothing(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(())

    trainer = make_trainer(train=Nothing())
    assert trainer.train().global_step == 0
    assert "gave no batch" in caplog.text


def test_epochs_that_stop_within_their_first_step_are_all_begun(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Stops(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_epoch_stop = True

    recorder = tiny.Recorder()
    options = {"max_steps": -1, "num_train_epochs": 3, "gradient_accumulation_steps": 2}
    make_trainer(Stops, recorder, **options).train()
    assert recorder.events.count("on_epoch_begin") == 3
    assert recorder.events.count("on_substep_end") == 3
