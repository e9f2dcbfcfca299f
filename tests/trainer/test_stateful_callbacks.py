"""Callbacks whose state is kept in checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multitrack.trainer import (
    EarlyStoppingCallback,
    ExportableState,
    Trainer,
    TrainerCallback,
    TrainerState,
)

SAVING = {"save_strategy": "steps", "save_steps": 2}
RESTORING = {**SAVING, "restore_callback_states_from_checkpoint": True}


class Counter(TrainerCallback, ExportableState):
    """Counts steps, from a start."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.steps = 0

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.steps += 1

    def state(self) -> dict[str, Any]:
        return {"args": {"start": self.start}, "attributes": {"steps": self.steps}}


class Reporter(Counter):
    """A callback like one that knows a run at a tracker."""

    is_reporter = True


def saved(trainer: Trainer, step: int) -> dict[str, Any]:
    path = trainer.output_dir / f"checkpoint-{step}" / "trainer_state.json"
    states: dict[str, Any] = json.loads(path.read_text())["stateful_callbacks"]
    return states


def test_two_of_a_class_keep_their_own_states(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(Counter(100), Counter(200), **SAVING)
    trainer.train()
    for step in (2, 4, 6):  # the list does not grow with every checkpoint
        kept = saved(trainer, step)["Counter"]
        assert [state["args"]["start"] for state in kept] == [100, 200]
        assert [state["attributes"]["steps"] for state in kept] == [step, step]
    first, second = Counter(1), Counter(2)
    resumed = make_trainer(first, second, **RESTORING)
    resumed.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert [(c.start, c.steps) for c in (first, second)] == [(100, 6), (200, 6)]


def test_states_return_to_the_callbacks_that_were_passed(
    make_trainer: Callable[..., Trainer],
) -> None:
    make_trainer(Counter(1), **SAVING).train()
    mine = Counter(9)
    trainer = make_trainer(mine, **RESTORING)
    before = list(trainer.callback_handler.callbacks)
    trainer.train(resume_from_checkpoint=True)
    assert mine.steps == 6
    assert [id(cb) for cb in trainer.callback_handler.callbacks] == [id(cb) for cb in before]


def test_without_being_asked_states_stay_where_they_are(
    make_trainer: Callable[..., Trainer],
) -> None:
    make_trainer(Counter(1), **SAVING).train()
    mine = Counter(9)
    trainer = make_trainer(mine, **SAVING)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert (mine.start, mine.steps) == (9, 2)


def test_reporters_always_get_theirs_before_training_begins(
    make_trainer: Callable[..., Trainer],
) -> None:
    make_trainer(Reporter(7), Counter(1), **SAVING).train()

    class Looks(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.seen = (reporter.start, reporter.steps)

    reporter, counter, looks = Reporter(0), Counter(0), Looks()
    trainer = make_trainer(reporter, counter, looks, **SAVING)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert looks.seen == (7, 4)
    assert counter.start == 0


def test_a_callback_that_is_new_on_resume_is_saved_from_then_on(
    make_trainer: Callable[..., Trainer],
) -> None:
    make_trainer(**SAVING).train()
    trainer = make_trainer(Counter(3), **RESTORING)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-2")
    assert saved(trainer, 6)["Counter"]["attributes"] == {"steps": 4}


def test_a_state_without_its_callback_is_told_once(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer(Counter(3), **SAVING).train()
    trainer = make_trainer(**RESTORING)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-2")
    warnings = [record.message for record in caplog.records if "does not have" in record.message]
    assert len(warnings) == 1
    assert "Counter" in warnings[0]


def test_an_exportable_class_must_say_its_state(make_trainer: Callable[..., Trainer]) -> None:
    class Forgets(TrainerCallback, ExportableState):
        pass

    with pytest.raises(NotImplementedError, match=r"Forgets .* must define state\(\)"):
        make_trainer(Forgets)


def test_early_stopping_goes_on_counting(make_trainer: Callable[..., Trainer]) -> None:
    options = {
        **RESTORING,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "metric_for_best_model": "constant",
        "compute_metrics": lambda _: {"constant": 1.0},
        "max_steps": 20,
    }
    first = make_trainer(EarlyStoppingCallback(6), **options)
    assert first.train().global_step == 7
    kept = saved(first, 4)["EarlyStoppingCallback"]["attributes"]
    assert kept == {"early_stopping_patience_counter": 3}
    resumed = make_trainer(EarlyStoppingCallback(1), **options)
    output = resumed.train(resume_from_checkpoint=first.output_dir / "checkpoint-4")
    assert output.global_step == 7


def test_a_changed_interval_wins_over_the_checkpoints(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    make_trainer(**SAVING, logging_steps=2).train()
    trainer = make_trainer(**SAVING, logging_steps=1)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-2")
    assert trainer.state.logging_steps == 1
    steps = [row["step"] for row in trainer.state.log_history if "loss" in row]
    assert steps == [2, 3, 4, 5, 6]
    file = trainer.output_dir / "checkpoint-6" / "trainer_state.json"
    assert TrainerState.load_from_json(file).logging_steps == 1


class Strict(Counter):
    """Asks for both parts of a state, as callbacks of others do."""

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Any:
        instance = cls(**state["args"])
        vars(instance).update(state["attributes"])
        return instance


@pytest.mark.parametrize("kind", [Counter, Strict])
@pytest.mark.parametrize("left_out", [{"attributes"}, {"args"}, {"args", "attributes"}], ids=str)
def test_parts_of_a_state_may_be_left_out(
    left_out: set[str], kind: type[Counter], make_trainer: Callable[..., Trainer]
) -> None:
    class Partial(kind):  # type: ignore[valid-type, misc]
        def state(self) -> dict[str, Any]:
            return {name: of for name, of in super().state().items() if name not in left_out}

    make_trainer(Partial(100), **SAVING).train()
    partial = Partial(1)
    resumed = make_trainer(partial, **RESTORING)
    resumed.train(resume_from_checkpoint=resumed.output_dir / "checkpoint-4")
    assert partial.start == (0 if "args" in left_out else 100)
    assert partial.steps == (2 if "attributes" in left_out else 6)
