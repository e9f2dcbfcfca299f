"""Adding, removing and calling callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from multitrack.trainer import (
    CallbackHandler,
    DefaultFlowCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)


class First(TrainerCallback):
    """A callback."""


class Second(First):
    """A callback of a subclass."""


def names(trainer: Trainer) -> list[str]:
    return [type(callback).__name__ for callback in trainer.callback_handler.callbacks]


def test_the_order_is_flow_then_users_then_display(make_trainer: Callable[..., Trainer]) -> None:
    assert names(make_trainer(First, Second())) == [
        "DefaultFlowCallback",
        "First",
        "Second",
        "PrinterCallback",
    ]
    bars = make_trainer(disable_tqdm=False)
    assert isinstance(bars.callback_handler.callbacks[-1], ProgressCallback)


def test_what_is_added_later_stands_before_the_reporters(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Reporter(TrainerCallback):
        is_reporter = True

    trainer = make_trainer(Reporter, First)
    trainer.add_callback(Second)
    assert names(trainer)[1:] == ["First", "PrinterCallback", "Second", "Reporter"]
    assert isinstance(trainer.pop_callback(Reporter), Reporter)
    trainer.add_callback(First())
    assert names(trainer)[-1] == "First"
    assert trainer.callback_handler.reporters == []


def test_popping_gives_the_first_that_matches(make_trainer: Callable[..., Trainer]) -> None:
    mine = Second()
    trainer = make_trainer(mine, First)
    assert trainer.pop_callback(First) is mine  # subclasses match
    assert trainer.pop_callback(Second) is None
    assert isinstance(trainer.pop_callback(TrainerCallback), DefaultFlowCallback)


def test_removing_by_class_and_by_instance(make_trainer: Callable[..., Trainer]) -> None:
    mine = First()
    trainer = make_trainer(mine)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(PrinterCallback)  # a class that is not there is no error
    trainer.remove_callback(mine)
    assert names(trainer) == ["DefaultFlowCallback"]
    with pytest.raises(ValueError, match="is not a callback of this Trainer"):
        trainer.remove_callback(mine)


def test_a_second_of_a_class_is_added_with_a_warning(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(First)
    assert caplog.text == ""
    trainer.add_callback(First())
    assert "You are adding a First" in caplog.text
    assert "DefaultFlowCallback" in caplog.text
    assert names(trainer).count("First") == 2


def test_a_handler_without_the_flow_warns(caplog: pytest.LogCaptureFixture) -> None:
    CallbackHandler([First])
    assert "lack a DefaultFlowCallback" in caplog.text


def test_without_the_flow_nothing_is_asked_for(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(eval_strategy="steps", eval_steps=2, max_steps=4)
    trainer.remove_callback(DefaultFlowCallback)
    assert trainer.train().global_step == 11  # max_steps takes one epoch, which is trained whole
    assert [row["step"] for row in trainer.state.log_history] == [11]


def test_a_callback_that_leaves_during_an_event_takes_no_turn_from_others(
    make_trainer: Callable[..., Trainer],
) -> None:
    seen = []

    class Leaves(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            trainer.remove_callback(self)

    class Stays(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(state.global_step)

    trainer = make_trainer(Leaves, Stays, max_steps=2)
    trainer.train()
    assert seen == [0, 1]


def test_a_callback_needs_no_base_class_and_no_events(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Bare:
        steps = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.steps += 1

    bare = Bare()
    make_trainer(bare).train()
    assert bare.steps == 6


def test_a_pending_switch_outlives_a_log_inside_an_event() -> None:
    class Logs(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            handler.call_event("on_log", args, state, control, logs={})
            assert control.should_log

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            assert not control.should_log

    handler = CallbackHandler([DefaultFlowCallback, Logs])
    control = TrainerControl(should_log=True)
    arguments: Any = type(
        "Args", (), dict.fromkeys(("logging_strategy", "eval_strategy", "save_strategy"), "no")
    )
    arguments.logging_first_step = False
    handler.call_event("on_step_end", arguments, TrainerState(max_steps=9), control)
    assert control.should_log
    handler.call_event("on_log", arguments, TrainerState(), control, logs={})
    assert not control.should_log
