"""What is logged, where it goes, and what it costs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from multitrack.trainer import ProgressCallback, Trainer, TrainerCallback


class NaNModel(tiny.TinyModel):
    """Gives a NaN loss at some of its calls."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad = bad
        self.calls = 0
        self.clean: list[float] = []

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        outputs = super().forward(x, labels)
        if self.training:
            self.calls += 1
            if self.calls in self.bad:
                outputs["loss"] = outputs["loss"] * 0 + math.nan
            else:
                self.clean.append(outputs["loss"].item())
        return outputs


def losses(trainer: Trainer) -> list[float]:
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def test_numbers_of_numpy_and_torch_become_plain(make_trainer: Callable[..., Trainer]) -> None:
    class Logs(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.log({"a": np.float32(0.5), "b": torch.tensor(2), "c": np.array([[3.5]])})

    trainer = make_trainer(Logs, save_strategy="steps", save_steps=2, max_steps=2)
    trainer.train()
    row = trainer.state.log_history[0]
    assert (row["a"], row["b"], row["c"], row["step"]) == (0.5, 2, 3.5, 1)
    assert [type(row[name]) for name in "abc"] == [float, int, float]
    saved = json.loads((trainer.output_dir / "checkpoint-2" / "trainer_state.json").read_text())
    assert saved["log_history"][0]["a"] == 0.5


def test_logging_inside_an_event_takes_no_row_away(make_trainer: Callable[..., Trainer]) -> None:
    class Logs(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.log({"mine": 1.0})

    plain = make_trainer()
    plain.train()
    trainer = make_trainer(Logs)
    trainer.train()
    assert losses(trainer) == losses(plain)
    assert sum("mine" in row for row in trainer.state.log_history) == 6


def test_evaluating_inside_an_event_takes_no_evaluation_away(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Evaluates(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                trainer.evaluate(tiny.samples(8), metric_key_prefix="mine")

    trainer = make_trainer(Evaluates, eval_strategy="steps", eval_steps=3)
    trainer.train()
    rows = [(row["step"], "mine_loss" in row) for row in trainer.state.log_history]
    evaluations = [(s, own) for s, own in rows if own] + [
        (row["step"], False) for row in trainer.state.log_history if "eval_loss" in row
    ]
    assert evaluations == [(3, True), (3, False), (6, False)]


def test_what_a_callback_adds_reaches_later_ones_and_the_history(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Adds(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kw: Any) -> None:
            assert state.log_history[-1]["step"] == state.global_step
            logs["added"] = np.float64(state.global_step)

    class Reporter(TrainerCallback):
        is_reporter = True

        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kw: Any) -> None:
            self.seen.append(logs.get("added"))

    reporter = Reporter()
    trainer = make_trainer(reporter, Adds)  # given first, called last
    trainer.train()
    assert reporter.seen == [2, 4, 6, 6]
    assert [row["added"] for row in trainer.state.log_history] == [2, 4, 6, 6]


def test_what_a_callback_removes_is_not_lost(make_trainer: Callable[..., Trainer]) -> None:
    class Removes(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kw: Any) -> None:
            logs.clear()

    trainer = make_trainer(Removes, eval_strategy="steps", eval_steps=3)
    output = trainer.train()
    assert output.metrics["total_flos"] == 0
    assert "eval_loss" in trainer.evaluate()
    assert all(len(row) > 2 for row in trainer.state.log_history)


def test_a_metric_added_in_on_log_can_choose_the_best_model(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Adds(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kw: Any) -> None:
            if "eval_loss" in logs:
                logs["eval_own"] = -abs(state.global_step - 3)

    trainer = make_trainer(Adds, eval_strategy="steps", eval_steps=1, metric_for_best_model="own")
    trainer.train()
    assert trainer.state.best_metric == 0


@pytest.mark.parametrize("disable_tqdm", [True, False])
def test_the_display_changes_nothing(
    disable_tqdm: bool, make_trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(disable_tqdm=disable_tqdm, eval_strategy="steps", eval_steps=3)
    output = trainer.train()
    assert output.metrics["total_flos"] == 0
    shown = capsys.readouterr()
    text = shown.out if disable_tqdm else shown.out + shown.err
    rows = [line for line in text.splitlines() if line.startswith("{")]
    assert len(rows) == len(trainer.state.log_history)
    assert f"'loss': '{losses(trainer)[0]:.4g}'" in rows[0]
    assert "total_flos" not in text


def test_the_bar_begins_where_training_goes_on(
    make_trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2, "disable_tqdm": False}
    make_trainer(**saving).train()
    trainer = make_trainer(**saving)
    bar = next(cb for cb in trainer.callback_handler.callbacks if isinstance(cb, ProgressCallback))
    starts = []

    class Looks(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            starts.append(bar.training_bar.n)

    trainer.add_callback(Looks)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-4")
    assert starts == [4, 5]
    capsys.readouterr()


def test_long_strings_are_not_written_above_the_bar(
    make_trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    class Logs(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            trainer.log({"words": "x" * 500})

    trainer = make_trainer(disable_tqdm=False)
    trainer.add_callback(Logs)
    trainer.train()
    shown = capsys.readouterr()
    assert "a string of 500 characters" in shown.out + shown.err
    assert trainer.state.log_history[0]["words"] == "x" * 500


def test_a_nan_loss_is_left_out_of_the_mean_and_told(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    model = NaNModel(4)
    trainer = make_trainer(model=model, logging_steps=4, max_steps=4, max_grad_norm=0.0)
    trainer.train()
    first = model.clean[:3]
    assert losses(trainer)[0] == pytest.approx((sum(first) + sum(first) / 4) / 4)
    assert "The loss of 1 micro-batches since the last log was NaN" in caplog.text


def test_without_the_filter_a_nan_is_seen_and_does_not_stay(
    make_trainer: Callable[..., Trainer],
) -> None:
    model = NaNModel(2)
    trainer = make_trainer(
        model=model, logging_steps=1, max_steps=3, logging_nan_inf_filter=False, learning_rate=0.0
    )
    # A NaN gradient ruins the weights; keep them, to see the meter alone.
    trainer.add_callback(_SkipNaNGradients(model))
    trainer.train()
    assert math.isnan(losses(trainer)[1])
    assert math.isfinite(losses(trainer)[2])
    assert math.isnan(trainer.state.log_history[-1]["train_loss"])


class _SkipNaNGradients(TrainerCallback):
    def __init__(self, model: Any) -> None:
        self.model = model

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        for parameter in self.model.parameters():
            parameter.grad.nan_to_num_(0.0)


@pytest.mark.parametrize("tokens", [{}, {"include_num_input_tokens_seen": "all"}])
def test_the_loop_reads_from_the_device_only_when_it_logs(
    tokens: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    counts = []
    for logging_steps in (5, 40):
        model = tiny.TinyModel()
        model.main_input_name = "x"
        trainer = make_trainer(
            model=model, optim="sgd", max_steps=40, logging_steps=logging_steps, **tokens
        )
        with tiny.CountsReads() as counter:
            trainer.train()
        counts.append(counter.reads)
    per_log = (counts[0] - counts[1]) / 7
    assert per_log <= 4
    assert counts[1] <= 12  # one log and the summary, in 40 steps


def test_tokens_are_counted_and_so_is_their_speed(make_trainer: Callable[..., Trainer]) -> None:
    model = tiny.TinyModel()
    model.main_input_name = "x"
    trainer = make_trainer(model=model, include_num_input_tokens_seen=True)
    trainer.train()
    rows = trainer.state.log_history
    assert [row["num_input_tokens_seen"] for row in rows] == [32, 64, 96, 96]
    assert all("train_tokens_per_second" in row for row in rows[:3])


def test_padding_is_not_counted_if_told(make_trainer: Callable[..., Trainer]) -> None:
    data = [
        {
            "x": torch.ones(4),
            "attention_mask": torch.tensor([1, 1, 0, 0]),
            "labels": torch.tensor(1.0),
        }
    ] * 8

    class Masked(tiny.TinyModel):
        main_input_name = "x"

        def forward(self, x: Any, attention_mask: Any = None, labels: Any = None) -> Any:
            return super().forward(x, labels)

    trainer = make_trainer(
        model=Masked(), train=data, include_num_input_tokens_seen="non_padding", max_steps=2
    )
    trainer.train()
    assert trainer.state.num_input_tokens_seen == 2 * 4 * 2


def test_memory_is_measured_and_logged_with_its_evaluation(
    make_trainer: Callable[..., Trainer],
) -> None:
    seen: list[set[str]] = []

    class Looks(TrainerCallback):
        def on_evaluate(self, *args: Any, metrics: Any = None, **kwargs: Any) -> None:
            seen.append(set(metrics))

    trainer = make_trainer(Looks, skip_memory_metrics=False)
    output = trainer.train()
    assert {"train_mem_cpu_alloc_delta", "train_mem_cpu_peaked_delta"} <= set(output.metrics)
    assert "init_mem_cpu_alloc_delta" in output.metrics
    trainer.evaluate()
    assert "eval_mem_cpu_alloc_delta" in seen[0]
    assert "eval_mem_cpu_alloc_delta" in trainer.state.log_history[-1]
    assert "init_mem_cpu_alloc_delta" not in trainer.state.log_history[-1]
