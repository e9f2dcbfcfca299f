"""What happens when training fails or is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import tiny

from multitrack.trainer import ProgressCallback, Trainer, TrainerCallback


class Breaks(TrainerCallback):
    """Raises at the third step."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            raise self.error


class Listens(TrainerCallback):
    """Keeps what on_exception is given."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_exception(
        self, args: Any, state: Any, control: Any, exception: Any = None, **kwargs: Any
    ) -> None:
        self.heard.append((exception, state.global_step, kwargs["model"] is not None))

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("training did not end well")


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_callbacks_hear_of_the_exception_and_it_goes_on(
    error: BaseException, make_trainer: Callable[..., Trainer]
) -> None:
    listener = Listens()
    trainer = make_trainer(Breaks(error), listener)
    with pytest.raises(type(error)) as caught:
        trainer.train()
    assert caught.value is error
    assert listener.heard == [(error, 3, True)]
    assert not trainer.is_in_train


def test_an_error_of_the_model_is_heard_of(make_trainer: Callable[..., Trainer]) -> None:
    listener = Listens()
    trainer = make_trainer(listener, train=[{"x": 1.0, "labels": 1.0}])
    with pytest.raises(RuntimeError):
        trainer.train()
    assert isinstance(listener.heard[0][0], RuntimeError)


def test_the_error_names_the_callback_and_the_event(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(Breaks(KeyError("x")))
    with pytest.raises(KeyError) as caught:
        trainer.train()
    if sys.version_info >= (3, 11):
        (note,) = caught.value.__notes__
        assert note.endswith("Breaks in on_step_end")
        assert note.startswith("raised by the callback ")


def test_a_listener_that_fails_hides_nothing(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(TrainerCallback):
        def on_exception(self, *args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError

    listener = Listens()
    trainer = make_trainer(Breaks(ValueError("the true cause")), Clumsy, listener)
    with pytest.raises(ValueError, match="the true cause"):
        trainer.train()
    assert len(listener.heard) == 1
    assert "Clumsy failed in on_exception" in caplog.text


def test_the_trainer_can_train_after_an_error(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(Breaks(ValueError("once")))
    with pytest.raises(ValueError, match="once"):
        trainer.train()
    trainer.remove_callback(Breaks)
    assert trainer.train().global_step == 6


def test_bars_are_closed_after_an_error(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(Breaks(ValueError("once")), disable_tqdm=False)
    bars = next(cb for cb in trainer.callback_handler.callbacks if isinstance(cb, ProgressCallback))
    with pytest.raises(ValueError, match="once"):
        trainer.train()
    assert bars.training_bar is None


def test_an_evaluation_that_failed_leaves_no_bar_to_the_next(
    make_trainer: Callable[..., Trainer],
) -> None:
    seen: list[tuple[int, int]] = []

    class Interrupts(TrainerCallback):
        def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
            seen.append((bars.prediction_bar.n, bars.prediction_bar.total))
            if len(seen) == 2:
                raise KeyboardInterrupt

    trainer = make_trainer(disable_tqdm=False, per_device_eval_batch_size=4)
    bars = next(cb for cb in trainer.callback_handler.callbacks if isinstance(cb, ProgressCallback))
    trainer.add_callback(Interrupts)
    with pytest.raises(KeyboardInterrupt):
        trainer.evaluate()
    trainer.evaluate(tiny.samples(8))
    assert seen == [(1, 4), (2, 4), (1, 2), (2, 2)]
    assert bars.prediction_bar is None


def test_a_missing_checkpoint_is_heard_of_too(make_trainer: Callable[..., Trainer]) -> None:
    recorder = tiny.Recorder()
    trainer = make_trainer(recorder)
    with pytest.raises(ValueError, match="No valid checkpoint found in output directory"):
        trainer.train(resume_from_checkpoint=True)
    assert recorder.events == ["on_init_end", "on_exception"]
