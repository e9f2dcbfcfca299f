"""Evaluation and prediction."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from multitrack.trainer import EvalPrediction, Trainer, TrainerCallback


def expected_loss(model: Any, data: list[dict[str, Any]]) -> float:
    """Return the mean over all samples, computed at once."""
    model.eval()
    with torch.no_grad():
        xs = torch.stack([sample["x"] for sample in data])
        labels = torch.stack([sample["labels"] for sample in data])
        return float(((model(xs)["logits"] - labels) ** 2).double().mean())


@pytest.mark.parametrize("count", [1, 7, 8, 13, 16])
def test_every_sample_counts_once(count: int, make_trainer: Callable[..., Trainer]) -> None:
    data = tiny.samples(count, seed=3)
    trainer = make_trainer(evaluation=data)
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(expected_loss(trainer.model, data), rel=1e-6)
    assert metrics["eval_samples_per_second"] > 0
    assert metrics["epoch"] == 0


def test_metrics_get_predictions_labels_and_what_else_is_asked_for(
    make_trainer: Callable[..., Trainer],
) -> None:
    given: list[EvalPrediction] = []

    def compute(prediction: EvalPrediction) -> dict[str, Any]:
        given.append(prediction)
        predictions, labels, *_ = prediction
        assert prediction[0] is predictions
        return {"mae": np.abs(predictions - labels).mean(), "eval_named": torch.tensor(2.0)}

    model = tiny.TinyModel()
    model.main_input_name = "x"
    data = tiny.samples(13, seed=3)
    trainer = make_trainer(
        model=model,
        evaluation=data,
        compute_metrics=compute,
        include_for_metrics=["inputs", "loss"],
    )
    metrics = trainer.evaluate()
    (prediction,) = given
    np.testing.assert_array_equal(prediction.label_ids, [float(row["labels"]) for row in data])
    np.testing.assert_array_equal(prediction.inputs, np.stack([row["x"].numpy() for row in data]))
    assert prediction.losses.shape == (13,)
    errors = np.abs(prediction.predictions - prediction.label_ids)
    assert metrics["eval_mae"] == pytest.approx(errors.mean())
    assert metrics["eval_named"] == 2.0
    assert type(metrics["eval_mae"]) is float


def test_metrics_that_are_no_dict_are_told(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(compute_metrics=lambda _: 0.5)
    with pytest.raises(TypeError, match=r"compute_metrics must return a dict .*, not float"):
        trainer.evaluate()


def test_several_sets_are_evaluated_one_after_the_other(
    make_trainer: Callable[..., Trainer],
) -> None:
    sets = {"easy": tiny.samples(9, seed=3), "hard": tiny.samples(5, seed=4)}
    recorder = tiny.Recorder()
    trainer = make_trainer(recorder, evaluation=sets)
    metrics = trainer.evaluate()
    for name, data in sets.items():
        assert metrics[f"eval_{name}_loss"] == pytest.approx(
            expected_loss(trainer.model, data), rel=1e-6
        )
    assert recorder.events.count("on_evaluate") == recorder.events.count("on_log") == 2
    other = trainer.evaluate({"mine": sets["easy"]}, metric_key_prefix="extra")
    assert "extra_mine_loss" in other


def test_one_of_several_sets_goes_by_its_name(make_trainer: Callable[..., Trainer]) -> None:
    sets = {"easy": tiny.samples(9, seed=3), "hard": tiny.samples(5, seed=4)}
    trainer = make_trainer(evaluation=sets)
    assert trainer.evaluate("hard")["eval_loss"] == trainer.evaluate()["eval_hard_loss"]
    assert trainer.num_examples(trainer.get_eval_dataloader("easy")) == 9
    assert len(trainer.predict("hard").predictions) == 5
    with pytest.raises(ValueError, match="no evaluation set 'hadr': pass one of 'easy', 'hard'"):
        trainer.evaluate("hadr")
    for ask in (trainer.get_eval_dataloader, lambda: trainer.predict(sets)):
        with pytest.raises(ValueError, match="not a dict of several: pass one of 'easy', 'hard'"):
            ask()
    with pytest.raises(ValueError, match="'hard': eval_dataset is no dict of sets by name"):
        make_trainer().evaluate("hard")


def test_logits_can_be_reduced_before_they_are_kept(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        preprocess_logits_for_metrics=lambda logits, labels: (logits > labels).long(),
        compute_metrics=lambda prediction: {"over": prediction.predictions.mean()},
    )
    metrics = trainer.evaluate()
    assert 0 <= metrics["eval_over"] <= 1


def test_prediction_gives_all_outputs_in_order(make_trainer: Callable[..., Trainer]) -> None:
    data = tiny.samples(13, seed=5)
    trainer = make_trainer(eval_accumulation_steps=1)
    output = trainer.predict(data)
    with torch.no_grad():
        xs = torch.stack([row["x"] for row in data])
        np.testing.assert_allclose(
            output.predictions, trainer.model(xs)["logits"].numpy(), rtol=1e-5
        )
    np.testing.assert_array_equal(output.label_ids, [float(row["labels"]) for row in data])
    assert output.metrics is not None
    assert "epoch" not in output.metrics
    assert output.metrics["test_loss"] == pytest.approx(expected_loss(trainer.model, data))
    assert trainer.state.log_history == []


def test_samples_without_labels_give_predictions_and_no_loss(
    make_trainer: Callable[..., Trainer],
) -> None:
    data = [{"x": row["x"]} for row in tiny.samples(5)]
    output = make_trainer().predict(data)
    assert output.label_ids is None
    assert output.predictions.shape == (5,)
    assert output.metrics is not None
    assert "test_loss" not in output.metrics


class Tagger(nn.Module):
    """One output for each token, of sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3)

    def forward(self, input_ids: Any, labels: Any = None) -> tuple[Any, ...]:
        logits = self.embedding(input_ids)
        if labels is None:
            return (logits,)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return loss, logits, {"hidden": logits * 2}


def test_outputs_of_different_lengths_are_filled_up(make_trainer: Callable[..., Trainer]) -> None:
    data = [
        {"input_ids": torch.arange(length), "labels": torch.zeros(length, dtype=torch.long)}
        for length in (3, 3, 5, 5, 2)
    ]
    trainer = make_trainer(
        model=Tagger(), train=data, evaluation=data, per_device_eval_batch_size=2
    )
    output = trainer.predict(data)
    logits, hidden = output.predictions
    assert logits.shape == (5, 5, 3)
    assert (logits[0, 3:] == -100).all()
    np.testing.assert_array_equal(hidden["hidden"][2], logits[2] * 2)
    np.testing.assert_array_equal(output.label_ids[4], [0, 0, -100, -100, -100])


def test_a_loss_function_sees_labels_that_the_model_does_not_take(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            return self.layer(x)[:, 0]

    trainer = make_trainer(
        model=Plain(),
        compute_loss_func=lambda outputs, labels: ((outputs - labels) ** 2).mean(),
        compute_metrics=lambda p: {"mae": np.abs(p.predictions - p.label_ids).mean()},
        gradient_accumulation_steps=2,
        max_steps=30,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"]
    assert after["eval_mae"] < before["eval_mae"]


@pytest.mark.parametrize(
    ("outputs", "held"),
    [
        ({"logits": torch.ones(4)}, "only logits"),
        (torch.ones(4, 2), r"a tensor of shape \(4, 2\)"),
        (None, "but NoneType"),
        ((), "but tuple"),
    ],
    ids=["dict", "tensor", "None", "empty"],
)
def test_a_model_without_a_loss_is_told_what_to_return(
    outputs: Any, held: str, make_trainer: Callable[..., Trainer]
) -> None:
    class Lossless(tiny.TinyModel):
        def forward(self, x: Any, labels: Any = None) -> Any:
            return outputs

    with pytest.raises(ValueError, match=f"did not return a loss.*{held}.*compute_loss_func"):
        make_trainer(model=Lossless()).train()


def test_no_data_is_told(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.eval_dataset = trainer.train_dataset = None
    with pytest.raises(ValueError, match="evaluation requires an eval_dataset"):
        trainer.evaluate()
    with pytest.raises(ValueError, match="training requires a train_dataset"):
        trainer.train()


def test_a_stream_is_evaluated_under_a_progress_bar(make_trainer: Callable[..., Trainer]) -> None:
    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(tiny.samples(13, seed=3))

    trainer = make_trainer(evaluation=Stream(), disable_tqdm=False)
    loss = trainer.evaluate()["eval_loss"]
    assert loss == pytest.approx(expected_loss(trainer.model, tiny.samples(13, seed=3)), rel=1e-6)


def test_a_nan_loss_of_an_evaluation_is_left_out_and_told(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    rows = tiny.samples(16, seed=2)
    spoiled = [*rows[:12], *[{**row, "labels": torch.tensor(math.nan)} for row in rows[12:]]]
    options: dict[str, Any] = {"evaluation": spoiled, "per_device_eval_batch_size": 4}
    trainer = make_trainer(**options)
    expected = expected_loss(trainer.model, rows[:12])
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-6)
    assert "The loss of 4 of 16 samples was NaN or infinite; eval_loss leaves" in caplog.text
    shown = make_trainer(logging_nan_inf_filter=False, **options)
    assert math.isnan(shown.evaluate()["eval_loss"])


def test_workers_that_persist_do_not_pile_up(make_trainer: Callable[..., Trainer]) -> None:
    others = set(multiprocessing.active_children())
    counts = []

    class CountsWorkers(TrainerCallback):
        def on_evaluate(self, *args: Any, **kwargs: Any) -> None:
            counts.append(len(set(multiprocessing.active_children()) - others))

    trainer = make_trainer(
        CountsWorkers,
        evaluation={"a": tiny.samples(8), "b": tiny.samples(8)},
        max_steps=2,
        eval_strategy="steps",
        eval_steps=1,
        dataloader_num_workers=1,
        dataloader_persistent_workers=True,
    )
    trainer.train()
    assert counts == [2, 3, 3, 3]  # one is the training's
    trainer.evaluate(tiny.samples(8))
    assert counts[-1] == 3


def test_loaders_of_the_users_own_may_be_those_of_torch(
    make_trainer: Callable[..., Trainer],
) -> None:
    class Own(Trainer):
        def get_train_dataloader(self) -> Any:
            return DataLoader(self.train_dataset, batch_size=4)

        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            return DataLoader(self.eval_dataset, batch_size=4)

    theirs = make_trainer(train_sampling_strategy="sequential", num_train_epochs=2, max_steps=-1)
    own = Own(
        tiny.TinyModel(), theirs.args, train_dataset=tiny.samples(44), eval_dataset=tiny.samples(16)
    )
    assert own.train().training_loss == pytest.approx(theirs.train().training_loss, rel=1e-6)
    expected = expected_loss(own.model, tiny.samples(16))
    assert own.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-6)


def test_a_batch_without_samples_is_refused(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.get_eval_dataloader = lambda _: [{"x": torch.empty(0, 4), "labels": torch.empty(0)}]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="without samples to evaluate"):
        trainer.evaluate()


def test_training_goes_on_in_training_mode(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.model.train()
    trainer.evaluate()
    assert trainer.model.training
    trainer.model.eval()
    trainer.evaluate()
    assert not trainer.model.training
