"""TrainerState and TrainerControl: their fields, and their files."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from oddities import made, names_and_values, recipes

from multitrack.trainer import EarlyStoppingCallback, TrainerControl, TrainerState
from multitrack.trainer.callbacks.display import readable
from multitrack.trainer.values import plain_numbers


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = TrainerState(
        epoch=1.5,
        global_step=7,
        log_history=[{"loss": 0.1, "step": 3}],
        best_metric=0.25,
        trial_params={"lr": 0.1},
        stateful_callbacks=[EarlyStoppingCallback(3), TrainerControl()],
    )
    state.save_to_json(tmp_path / "state.json")
    assert TrainerState.load_from_json(tmp_path / "state.json") == state
    assert state.stateful_callbacks["EarlyStoppingCallback"]["args"]["early_stopping_patience"] == 3


def test_the_file_is_strict_json_whatever_was_logged(tmp_path: Path) -> None:
    row = {
        "nan": math.nan,
        "inf": math.inf,
        "float32": np.float32(0.5),
        "int64": np.int64(3),
        "tensor": torch.tensor(2.5),
        "array": np.array([1.0, math.nan]),
        "object": object,
        "text": "words",
        "step": 1,
    }
    state = TrainerState(log_history=[row], best_metric=-math.inf)
    path = tmp_path / "state.json"
    state.save_to_json(path)

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is not JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    back = TrainerState.load_from_json(path)
    assert math.isnan(back.log_history[0]["nan"])
    assert back.log_history[0]["inf"] == math.inf
    assert back.best_metric == -math.inf
    assert back.log_history[0]["float32"] == 0.5
    assert back.log_history[0]["int64"] == 3
    assert back.log_history[0]["tensor"] == 2.5
    assert back.log_history[0]["text"] == "words"
    assert back.log_history[0]["array"] == [1.0, "NaN"]


def test_the_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    TrainerState(global_step=1).save_to_json(path)

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        TrainerState(global_step=2).save_to_json(path)
    assert TrainerState.load_from_json(path).global_step == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    TrainerState(global_step=4).save_to_json(path)
    values = json.loads(path.read_text()) | {"from_the_future": 1}
    path.write_text(json.dumps(values))
    assert TrainerState.load_from_json(path).global_step == 4


def test_intervals_below_one_are_parts_of_all_steps() -> None:
    args: Any = type("Args", (), {"logging_steps": 0.1, "eval_steps": None, "save_steps": 3.0})
    state = TrainerState()
    state.compute_steps(args, 25)
    assert (state.logging_steps, state.eval_steps, state.save_steps) == (3, 500, 3)


def test_the_control_is_its_own_state() -> None:
    control = TrainerControl(should_save=True)
    assert TrainerControl.from_state(control.state()) == control


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(recipes, names_and_values())
def test_no_value_keeps_a_state_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, recipe: Any, row: Any
) -> None:
    logs = {"odd": made(recipe), **made(row), "last": 0.25}
    plain_numbers(logs)
    readable(logs)
    path = tmp_path_factory.getbasetemp() / "state.json"
    state = TrainerState(log_history=[logs], trial_params=made(row), best_metric=0.5)
    state.stateful_callbacks = {"Odd": {"args": {}, "attributes": {"odd": made(recipe)}}}
    state.save_to_json(path)
    found = TrainerState.load_from_json(path)
    assert found.log_history[0]["last"] == 0.25
    assert found.best_metric == 0.5
