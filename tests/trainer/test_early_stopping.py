"""EarlyStoppingCallback: when it counts, when it stops, what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multitrack.trainer import EarlyStoppingCallback, Trainer

OPTIONS = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "score"}


def scores(*values: float) -> Callable[[Any], dict[str, float]]:
    remaining: Iterator[float] = iter(values)
    return lambda _: {"score": next(remaining)}


@pytest.mark.parametrize(
    ("values", "patience", "threshold", "stops_at"),
    [
        ((1, 2, 3, 4, 5, 6), 1, 0.0, 6),
        ((1, 1, 1, 1, 1, 1), 2, 0.0, 3),
        ((1, 2, 1, 3, 1, 1), 2, 0.0, 6),
        ((1, 1.05, 1.1, 1.15, 1.2, 1.25), 2, 0.2, 3),
        ((1, math.nan, math.nan, 9, 9, 9), 2, 0.0, 3),
        ((1, 2, math.inf, math.inf, 1, 1), 2, 0.0, 5),
        ((5, 4, 3, 2, 1, 0), 3, None, 4),
    ],
    ids=str,
)
def test_it_stops_after_the_patience(
    values: tuple[float, ...],
    patience: int,
    threshold: float | None,
    stops_at: int,
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(
        EarlyStoppingCallback(patience, threshold), compute_metrics=scores(*values), **OPTIONS
    )
    assert trainer.train().global_step == stops_at


def test_less_can_be_better(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        EarlyStoppingCallback(2),
        compute_metrics=scores(3, 2, 2, 2, 1, 0),
        **OPTIONS,
        greater_is_better=False,
    )
    assert trainer.train().global_step == 4
    assert trainer.state.best_metric == 2


def test_it_works_without_checkpoints_and_says_what_that_means(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(
        EarlyStoppingCallback(1), compute_metrics=scores(2, 1, 1, 1, 1, 1), **OPTIONS
    )
    assert trainer.train().global_step == 2
    assert "without load_best_model_at_end" in caplog.text


def test_a_missing_metric_is_told_and_then_refused(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(EarlyStoppingCallback, **OPTIONS)
    with pytest.raises(KeyError, match="metric_for_best_model is 'score'"):
        trainer.train()
    assert "it has no eval_score, only eval_loss" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eval_strategy": "epoch"}, "requires metric_for_best_model"),
        ({"metric_for_best_model": "loss"}, "requires evaluations"),
    ],
)
def test_it_refuses_what_gives_it_nothing_to_watch(
    options: dict[str, Any], message: str, make_trainer: Callable[..., Trainer]
) -> None:
    trainer = make_trainer(EarlyStoppingCallback(), **options)
    with pytest.raises(AssertionError, match=message):
        trainer.train()


def test_an_evaluation_alone_needs_no_metric_to_watch(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    assert make_trainer(EarlyStoppingCallback()).evaluate()["eval_loss"] > 0
    assert not caplog.records
