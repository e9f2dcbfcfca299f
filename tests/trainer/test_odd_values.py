"""A value that raises whatever is asked of it, in logs and metrics: training goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multitrack import TrackingCallback
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trainer import Trainer, TrainerCallback, TrainerState

ASKED = (
    "__str__",
    "__repr__",
    "__float__",
    "__int__",
    "__index__",
    "__len__",
    "__iter__",
    "__bool__",
    "__eq__",
    "__getattr__",
    "to_dict",
    "item",
    "tolist",
    "keys",
    "items",
)
"""What is asked of a value on its way to a terminal, a file or a tracker."""


def _raise(*_args: Any) -> Any:
    raise LookupError("no")


@st.composite
def odd_values(draw: st.DrawFn) -> Any:
    """Return an object of a class of its own, some of whose methods raise, bare or in others."""
    methods = draw(st.sets(st.sampled_from(ASKED), min_size=1))
    value: Any = type("Odd", (), {**dict.fromkeys(methods, _raise), "__hash__": object.__hash__})()
    for wrap in draw(st.lists(st.sampled_from(["list", "dict", "tuple"]), max_size=2)):
        value = {"list": [value], "dict": {"odd": value}, "tuple": (value, 1)}[wrap]
    return value


class Adds(TrainerCallback):
    """Puts a value into everything that is logged."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def on_log(self, *args: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        assert logs is not None
        logs["odd"] = self.value


class OwnKeys(Adds):
    """Uses values as names, too."""

    def on_log(self, *args: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        assert logs is not None
        logs[self.value] = self.value  # type: ignore[index]


in_one_folder = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@in_one_folder
@given(odd_values())
def test_training_goes_on_and_the_rest_is_kept(
    make_trainer: Callable[..., Trainer], odd: Any
) -> None:
    saving = {"save_strategy": "steps", "save_steps": 1, "logging_steps": 1, "max_steps": 1}
    trainer = make_trainer(Adds(odd), compute_metrics=lambda _: {"odd": odd, "three": 3}, **saving)
    assert trainer.train().global_step == 1
    metrics = trainer.evaluate()
    assert metrics["eval_three"] == 3
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    trainer.save_state()
    state = TrainerState.load_from_json(trainer.output_dir / "trainer_state.json")
    assert state.log_history[0]["loss"] == trainer.state.log_history[0]["loss"]
    assert "odd" in state.log_history[0]
    again = make_trainer(Adds(odd), **{**saving, "max_steps": 2})
    assert again.train(resume_from_checkpoint=True).global_step == 2


@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_tracked_training_goes_on(make_trainer: Callable[..., Trainer], is_quiet: bool) -> None:
    odd = type("Odd", (), {"__repr__": _raise, "to_dict": _raise, "__float__": _raise})()
    tracking = TrackingCallback(report_to="none")
    options = {"max_steps": 2, "logging_steps": 1, "disable_tqdm": is_quiet}
    trainer = make_trainer(OwnKeys(odd), tracking, **options)
    trainer.train()
    [run] = find_runs(trainer.output_dir / "multitrack")
    history = read_history(run)
    assert history.status == "finished"
    assert len(history.series["train/loss"].values) == 2
    assert [name for name in history.refused if "Odd" in name]
    trainer.save_state()
    assert json.loads((trainer.output_dir / "trainer_state.json").read_text())["global_step"] == 2
