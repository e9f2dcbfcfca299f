"""Scripts that were written for transformers' Trainer: their subclasses, and what they call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from multitrack.trainer import Trainer, TrainingArguments


def trainer_of(kind: type[Trainer], tmp_path: Path, **options: Any) -> Trainer:
    own = {"use_cpu": True, "max_steps": 6, "disable_tqdm": True, "save_strategy": "no"}
    return kind(
        tiny.TinyModel(),
        TrainingArguments(str(tmp_path / "out"), **{**own, **options}),
        train_dataset=tiny.samples(44),
        eval_dataset=tiny.samples(16, seed=2),
    )


class Everything(Trainer):
    """Every part is replaced by what it was, in the words of transformers."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        model.train()
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        if not self.model_accepts_loss_kwargs or num_items_in_batch is None:
            loss = loss / self.current_gradient_accumulation_steps
        self.accelerator.backward(loss)
        return loss.detach()

    def create_optimizer(self, model: Any = None) -> Any:
        decayed = self.get_decay_parameter_names(self.model)
        groups = [
            {"params": [p for n, p in self.model.named_parameters() if (n in decayed) is decay]}
            | {"weight_decay": self.args.weight_decay if decay else 0.0}
            for decay in (True, False)
        ]
        kind, options = Trainer.get_optimizer_cls_and_kwargs(self.args)
        self.optimizer = kind(groups, **options)
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        return super().create_scheduler(num_training_steps, optimizer)

    def prediction_step(
        self,
        model: Any,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> Any:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        [label] = self.label_names
        return loss.detach(), outputs["logits"], inputs[label]

    def evaluate(self, *args: Any, **options: Any) -> dict[str, Any]:
        outcome = self.evaluation_loop(self.get_eval_dataloader(), description="Evaluation")
        assert outcome.num_samples == 16
        self.log(outcome.metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, outcome.metrics
        )
        return outcome.metrics


def test_a_subclass_in_the_words_of_transformers_trains_alike(tmp_path: Path) -> None:
    histories = []
    for kind in (Trainer, Everything):
        recorder = tiny.Recorder()
        trainer = trainer_of(
            kind,
            tmp_path / kind.__name__,
            weight_decay=0.1,
            gradient_accumulation_steps=2,
            logging_steps=2,
            eval_strategy="steps",
            eval_steps=3,
        )
        trainer.add_callback(recorder)
        trainer.train()
        assert recorder.events.count("on_evaluate") == 2
        histories.append(
            [
                {n: v for n, v in row.items() if "runtime" not in n and "per_second" not in n}
                for row in trainer.state.log_history
            ]
        )
    assert histories[0] == histories[1]


class SavesMore(Trainer):
    def save_model(self, output_dir: Any = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call)
        (Path(output_dir or self.args.output_dir) / "more.txt").write_text("more")


class SavesItself(Trainer):
    def _save(self, output_dir: Any = None, state_dict: Any = None) -> None:
        super()._save(output_dir, {name: weight + 1 for name, weight in state_dict.items()})


def test_what_saves_the_model_saves_it_in_checkpoints_too(tmp_path: Path) -> None:
    trainer = trainer_of(SavesMore, tmp_path, save_strategy="steps", save_steps=3)
    trainer.train()
    trainer.save_model()
    for folder in ("out", "out/checkpoint-3", "out/checkpoint-6"):
        assert (tmp_path / folder / "more.txt").is_file()
        assert (tmp_path / folder / "model.safetensors").is_file()
    raised = trainer_of(SavesItself, tmp_path / "raised", max_steps=1, save_strategy="epoch")
    raised.train()
    before = raised.model.norm.weight.detach().clone()
    raised.args.max_steps = 2
    raised.train(resume_from_checkpoint=True)
    assert not torch.allclose(raised.model.norm.weight, before)
    plain = trainer_of(Trainer, tmp_path / "plain")
    plain._save(tmp_path / "weights")
    assert (tmp_path / "weights" / "model.safetensors").is_file()


def test_a_loss_that_does_not_divide_by_the_labels_says_so(tmp_path: Path) -> None:
    class Counts(tiny.TinyModel):
        def forward(
            self, x: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Any
        ) -> dict[str, Any]:
            assert not kwargs
            return super().forward(x, labels)

    class OwnLoss(Trainer):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.model_accepts_loss_kwargs = False

    args = TrainingArguments(
        str(tmp_path), max_steps=2, gradient_accumulation_steps=2, use_cpu=True, disable_tqdm=True
    )
    own = OwnLoss(Counts(), args, train_dataset=tiny.samples(44)).train()
    plain = Trainer(tiny.TinyModel(), args, train_dataset=tiny.samples(44)).train()
    assert own.training_loss == plain.training_loss
    with pytest.raises(AssertionError):
        Trainer(Counts(), args, train_dataset=tiny.samples(44)).train()


def test_batches_without_names_are_for_a_loss_of_ones_own(tmp_path: Path) -> None:
    class Pairs(Trainer):
        def compute_loss(self, model: Any, inputs: Any, **_options: Any) -> Any:
            x, labels = inputs
            return model(x, labels)["loss"]

    def collate(samples: list[Any]) -> Any:
        return tuple(torch.stack([sample[name] for sample in samples]) for name in ("x", "labels"))

    args = TrainingArguments(str(tmp_path), max_steps=6, use_cpu=True, disable_tqdm=True)
    trainer = Pairs(tiny.TinyModel(), args, collate, train_dataset=tiny.samples(44))
    same = Trainer(tiny.TinyModel(), args, train_dataset=tiny.samples(44))
    assert trainer.train().training_loss == same.train().training_loss


def test_methods_that_would_never_be_called_are_refused() -> None:
    message = (
        "Sampled overrides methods that this Trainer does not call, other than that of "
        r"transformers:\n  - _get_train_sampler: override get_train_dataloader"
    )
    with pytest.raises(TypeError, match=message):

        class Sampled(Trainer):
            def _get_train_sampler(self, dataset: Any = None) -> Any:
                return None


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tokenizer", ": pass it as processing_class"),
        ("model_init", r": pass model=model_init\(\)"),
        ("modle", ""),
    ],
)
def test_parameters_that_are_not_there_are_told(name: str, advice: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"Trainer has no parameter '{name}'{advice}$"):
        Trainer(tiny.TinyModel(), TrainingArguments(str(tmp_path)), **{name: object()})


def test_parameters_of_others_may_be_given_if_they_ask_for_nothing(tmp_path: Path) -> None:
    nothing: Any = {"model_init": None, "tokenizer": None, "optimizer_cls_and_kwargs": None}
    assert Trainer(tiny.TinyModel(), TrainingArguments(str(tmp_path)), **nothing)
    with pytest.raises(TypeError, match="no parameter 'modle'"):
        Trainer(tiny.TinyModel(), TrainingArguments(str(tmp_path)), modle=None)  # type: ignore[arg-type]


def test_a_trial_is_refused_with_what_to_do(make_trainer: Callable[..., Trainer]) -> None:
    make_trainer(max_steps=1).train(trial=None)
    with pytest.raises(TypeError, match="takes no trial: make a Trainer for each trial"):
        make_trainer().train(trial=object())  # type: ignore[arg-type]


def test_what_scripts_ask_before_there_is_an_optimizer(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    with pytest.raises(ValueError, match=r"no optimizer yet: train\(\) makes it"):
        trainer.get_learning_rates()
    trainer.create_optimizer()
    assert trainer.get_learning_rates() == [0.05, 0.05]
    trainer.model.head.requires_grad_(False)
    assert trainer.get_num_trainable_parameters() == 56
    trainer.end()


def test_attributes_that_are_not_there_are_told(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    with pytest.raises(AttributeError, match="no attribute 'push_to_hub': upload the folder"):
        trainer.push_to_hub()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"'Trainer' object has no attribute 'nope'$"):
        trainer.nope()  # type: ignore[attr-defined]
    assert (trainer.is_deepspeed_enabled, trainer.is_fsdp_enabled) == (False, False)


def test_metrics_are_printed_and_kept(
    make_trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer()
    metrics = {"train_loss": 0.123456, "train_runtime": 3723.5, "total_flos": 5 << 30, "epoch": 1.0}
    trainer.log_metrics("train", metrics)
    assert capsys.readouterr().out.splitlines() == [
        "***** train metrics *****",
        "  epoch         =        1.0",
        "  total_flos    =        5GF",
        "  train_loss    =     0.1235",
        "  train_runtime = 1:02:03.50",
    ]
    trainer.save_metrics("train", metrics)
    trainer.save_metrics("eval", {"eval_loss": float("nan"), "eval_n": torch.tensor(2)})
    trainer.save_metrics("test", {"test_loss": 1.0}, combined=False)
    kept = {
        path.name: json.loads(path.read_text())
        for path in trainer.output_dir.glob("*_results.json")
    }
    assert kept["train_results.json"] == metrics
    assert kept["eval_results.json"] == {"eval_loss": "NaN", "eval_n": 2}
    assert kept["test_results.json"] == {"test_loss": 1.0}
    assert kept["all_results.json"] == {**metrics, "eval_loss": "NaN", "eval_n": 2}
    trainer.train()
    trainer.save_state()
    state = json.loads((trainer.output_dir / "trainer_state.json").read_text())
    assert (state["global_step"], len(state["log_history"])) == (6, 4)


def test_a_model_card_is_not_written_and_no_error(
    make_trainer: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer().create_model_card(tasks="text-classification")
    assert "create_model_card writes nothing" in caplog.text
