"""The same callbacks, model, data and arguments go through transformers' Trainer and ours."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import tiny
import torch

import multitrack.trainer as ours
from multitrack.trainer.arguments.absent import ABSENT

theirs = pytest.importorskip(
    "transformers", reason="transformers is not installed: nothing to compare with"
)

TIMING = ("runtime", "per_second", "model_preparation_time")
"""Values that differ from run to run; the last is theirs alone."""

OURS_ALONE = ("on_exception", "on_checkpoint_delete")

OPTIONS: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 8,
    "num_train_epochs": 2,
    "learning_rate": 0.05,
    "logging_steps": 3,
    "save_strategy": "no",
    "disable_tqdm": True,
    "use_cpu": True,
    "report_to": "none",
}

MATRIX: dict[str, dict[str, Any]] = {
    "steps": {
        "eval_strategy": "steps",
        "eval_steps": 5,
        "save_strategy": "steps",
        "save_steps": 10,
    },
    "accumulation": {
        "gradient_accumulation_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 5,
        "save_strategy": "steps",
        "save_steps": 10,
    },
    "epochs": {
        "logging_strategy": "epoch",
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "gradient_accumulation_steps": 4,
    },
    "nothing": {"logging_strategy": "no"},
    "mixed": {"logging_strategy": "epoch", "eval_strategy": "steps", "eval_steps": 4},
    "mixed back": {"logging_steps": 4, "eval_strategy": "epoch", "save_strategy": "epoch"},
    "max_steps": {"max_steps": 7, "eval_strategy": "steps", "save_strategy": "steps"},
    "more epochs than data": {"max_steps": 30, "logging_steps": 11},
    "first step": {"logging_first_step": True, "eval_strategy": "steps", "eval_steps": 6},
    "eval on start": {"eval_on_start": True, "eval_strategy": "steps", "eval_steps": 6},
    "delay in steps": {"eval_delay": 8, "eval_strategy": "steps", "eval_steps": 4},
    "delay in epochs": {"eval_delay": 1.5, "eval_strategy": "epoch"},
    "ratios": {
        "logging_steps": 0.1,
        "eval_strategy": "steps",
        "eval_steps": 0.25,
        "save_strategy": "steps",
        "save_steps": 0.5,
    },
    "best": {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "best",
        "metric_for_best_model": "loss",
    },
    "best at end": {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 1,
    },
    "plateau": {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5},
        "eval_strategy": "steps",
        "eval_steps": 3,
    },
    "part of an epoch": {"num_train_epochs": 1.5},
    "last batch dropped": {"per_device_train_batch_size": 8, "dataloader_drop_last": True},
    "no clipping": {"max_grad_norm": 0.0},
    "tight clipping": {"max_grad_norm": 0.1},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9"},
    "adamw, with decay": {"optim": "adamw_torch", "weight_decay": 0.3},
    "rmsprop, cosine": {"optim": "rmsprop", "lr_scheduler_type": "cosine", "warmup_steps": 3},
    "sequential": {"train_sampling_strategy": "sequential"},
    "data seed": {"data_seed": 7},
}


class _TwoOutputs(tiny.TinyModel):
    """Has an output beside its logits."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        found = super().forward(x, labels)
        return {**found, "more": found["logits"] * 2}


class Run:
    """One training, and what it did."""

    def __init__(
        self, library: Any, folder: Path, options: dict[str, Any], *callbacks: Any, **own: Any
    ) -> None:
        self.recorder = tiny.Recorder()
        self.model = own.pop("model", None) or tiny.TinyModel(dropout=0.1)
        self.trainer = library.Trainer(
            self.model,
            library.TrainingArguments(str(folder), **{**OPTIONS, **options}),
            train_dataset=own.pop("train", tiny.samples(44)),
            eval_dataset=own.pop("evaluation", tiny.samples(13, seed=2)),
            callbacks=[*callbacks, self.recorder],
            **own,
        )
        self.folder = folder

    def train(self, **options: Any) -> Any:
        """Train from the same random state as every other run."""
        accelerate.utils.set_seed(42)
        return self.trainer.train(**options)

    @property
    def rows(self) -> list[Any]:
        return [
            (*row[:4], None if row[4] is None else tuple(k for k in row[4] if not _is_own(k)))
            for row in self.recorder.rows
            if row[0] not in OURS_ALONE
        ]

    @property
    def numbers(self) -> list[dict[str, Any]]:
        return [_without_timing(row) for row in self.trainer.state.log_history]

    @property
    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("checkpoint-*"))


def _is_own(name: str) -> bool:
    return name.endswith("model_preparation_time")


def _without_timing(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith(TIMING)}


def both(tmp_path: Path, options: dict[str, Any], *make: Callable[[Any], Any], **own: Any) -> Any:
    """Return a Run of each library; callbacks are made for each by functions of the library."""
    runs = []
    for library in (theirs, ours):
        name = library.__name__.split(".")[0]
        callbacks = [build(library) for build in make]
        parts = {
            key: value() if callable(value) and key == "model" else value
            for key, value in own.items()
        }
        runs.append(Run(library, tmp_path / name, options, *callbacks, **parts))
    return runs


def assert_same(reference: Run, run: Run) -> None:
    """Check events, switches, steps, epochs, names and numbers, checkpoints and weights."""
    assert run.rows == reference.rows
    assert len(run.numbers) == len(reference.numbers)
    for own_row, row in zip(run.numbers, reference.numbers, strict=True):
        assert own_row == pytest.approx(row, rel=1e-6, abs=1e-9)
    assert run.checkpoints == reference.checkpoints
    for name, tensor in reference.model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("case", MATRIX)
def test_the_same_events_switches_logs_and_weights(case: str, tmp_path: Path) -> None:
    # Theirs drops the last incomplete batch of evaluations too; ours evaluates every sample.
    count = 16 if "dropped" in case else 13
    reference, run = both(tmp_path, MATRIX[case], evaluation=tiny.samples(count, seed=2))
    outputs = []
    for one in (reference, run):
        outputs.append(one.train())
        one.trainer.evaluate()
        one.trainer.predict(tiny.samples(count, seed=2))
    assert_same(reference, run)
    assert outputs[1].global_step == outputs[0].global_step
    assert outputs[1].training_loss == pytest.approx(outputs[0].training_loss, rel=1e-6)


def test_training_losses_are_equal_to_the_bit(tmp_path: Path) -> None:
    reference, run = both(tmp_path, {"logging_steps": 1, "gradient_accumulation_steps": 3})
    reference.train()
    run.train()
    for name in ("loss", "grad_norm", "learning_rate"):
        expected = [row[name] for row in reference.numbers if name in row]
        assert [row[name] for row in run.numbers if name in row] == expected
        assert len(expected) == 8


@pytest.mark.parametrize(
    ("event", "switch", "step"),
    [
        ("on_step_end", "should_training_stop", 3),
        ("on_substep_end", "should_training_stop", 2),
        ("on_step_begin", "should_training_stop", 2),
        ("on_epoch_begin", "should_epoch_stop", 0),
        ("on_step_end", "should_epoch_stop", 2),
        ("on_step_end", "should_log", 4),
        ("on_step_end", "should_evaluate", 4),
        ("on_step_end", "should_save", 4),
        ("on_epoch_end", "should_save", 6),
        ("on_epoch_end", "should_evaluate", 6),
        ("on_log", "should_save", 3),
        ("on_evaluate", "should_training_stop", 5),
        ("on_optimizer_step", "should_save", 2),
        ("on_pre_optimizer_step", "should_log", 2),
    ],
)
def test_a_switch_set_at_an_event_has_the_same_effect(
    event: str, switch: str, step: int, tmp_path: Path
) -> None:
    def build(library: Any) -> Any:
        def handle(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            if state.global_step == step:
                setattr(control, switch, True)
            return control

        return type("Setter", (library.TrainerCallback,), {event: handle})()

    options = {
        "gradient_accumulation_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 5,
        "save_strategy": "steps",
        "save_steps": 100,
    }
    reference, run = both(tmp_path, options, build)
    reference.train()
    run.train()
    if reference.trainer.state.global_step == 0:  # theirs divides by 0.001 steps, ours by 1
        reference.trainer.state.log_history[-1]["train_loss"] /= 1000
    assert_same(reference, run)


def test_a_control_that_a_callback_returns_takes_over(tmp_path: Path) -> None:
    def build(library: Any) -> Any:
        class Replaces(library.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
                return library.TrainerControl(should_training_stop=state.global_step == 4)

        return Replaces()

    reference, run = both(tmp_path, {}, build)
    reference.train()
    run.train()
    assert_same(reference, run)
    assert run.trainer.state.global_step == 4


def test_a_callback_may_let_training_go_on_for_longer(tmp_path: Path) -> None:
    class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(tiny.samples(8))

    def build(library: Any) -> Any:
        class Longer(library.TrainerCallback):
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                state.max_steps = 4

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == 4:  # the end of an epoch
                    control.should_training_stop = False

        return Longer()

    reference, run = both(tmp_path, {"max_steps": 2, "logging_steps": 1}, build, train=Stream())
    reference.train()
    run.train()
    assert_same(reference, run)
    assert run.trainer.state.global_step == 5


def test_early_stopping_stops_at_the_same_step(tmp_path: Path) -> None:
    options = {
        "learning_rate": 0.5,
        "num_train_epochs": 4,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "load_best_model_at_end": True,
    }
    reference, run = both(
        tmp_path, options, lambda library: library.EarlyStoppingCallback(2, 0.001)
    )
    reference.train()
    run.train()
    assert_same(reference, run)
    assert run.trainer.state.global_step < run.trainer.state.max_steps
    assert run.trainer.state.best_global_step == reference.trainer.state.best_global_step
    assert run.trainer.state.best_metric == pytest.approx(reference.trainer.state.best_metric)


@pytest.mark.parametrize("wrong", [{"metric_for_best_model": None}, {"eval_strategy": "no"}])
def test_early_stopping_refuses_the_same(wrong: dict[str, Any], tmp_path: Path) -> None:
    options = {"eval_strategy": "epoch", "metric_for_best_model": "loss", **wrong}
    for one in both(tmp_path, options, lambda library: library.EarlyStoppingCallback()):
        with pytest.raises(AssertionError, match="EarlyStoppingCallback requires"):
            one.train()


def test_events_are_given_the_same_things(tmp_path: Path) -> None:
    options = {"eval_strategy": "epoch", "gradient_accumulation_steps": 2}
    reference, run = both(tmp_path, options)
    for one in (reference, run):
        one.train()
        one.trainer.predict(tiny.samples(8))
    assert run.recorder.present == reference.recorder.present


def test_several_evaluation_sets_give_the_same(tmp_path: Path) -> None:
    sets = {"a": tiny.samples(9, seed=3), "b": tiny.samples(5, seed=4)}
    options = {"eval_strategy": "epoch", "metric_for_best_model": "eval_b_loss"}
    reference, run = both(tmp_path, options, evaluation=sets)
    reference.train()
    run.train()
    assert_same(reference, run)
    assert run.trainer.state.best_metric == pytest.approx(reference.trainer.state.best_metric)


def test_metrics_and_predictions_are_the_same(tmp_path: Path) -> None:
    def compute(prediction: Any) -> dict[str, Any]:
        predictions, labels = prediction
        return {"mae": np.abs(predictions - labels).mean(), "eval_own": np.float32(1.5)}

    options = {"eval_strategy": "epoch", "metric_for_best_model": "mae"}
    reference, run = both(tmp_path, options, compute_metrics=compute)
    found = []
    for one in (reference, run):
        one.train()
        found.append(one.trainer.predict(tiny.samples(13, seed=5)))
    assert_same(reference, run)
    np.testing.assert_array_equal(found[1].predictions, found[0].predictions)
    np.testing.assert_array_equal(found[1].label_ids, found[0].label_ids)
    assert _without_timing(found[1].metrics) == pytest.approx(
        _without_timing(found[0].metrics), rel=1e-6
    )


def test_a_loss_function_of_ones_own_gives_the_same(tmp_path: Path) -> None:
    def loss_of(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        error = (outputs["logits"] - labels) ** 2
        return error.sum() / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    options = {"gradient_accumulation_steps": 3, "eval_strategy": "epoch", "logging_steps": 1}
    reference, run = both(tmp_path, options, compute_loss_func=loss_of)
    reference.train()
    run.train()
    assert_same(reference, run)


def _language_model(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = theirs.GPT2Config(
        vocab_size=17, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return theirs.GPT2LMHeadModel(config)


def _token_samples(count: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(9)
    rows = torch.randint(1, 17, (count, 12), generator=generator)
    labels = rows.clone()
    for index in range(count):
        labels[index, : index % 7] = -100
    return [
        {"input_ids": row, "labels": label, "unused": 1}
        for row, label in zip(rows, labels, strict=True)
    ]


def test_a_language_model_trains_the_same(tmp_path: Path) -> None:
    options = {
        "gradient_accumulation_steps": 3,
        "logging_steps": 1,
        "max_steps": 5,
        "eval_strategy": "steps",
        "include_num_input_tokens_seen": "all",
        "save_strategy": "steps",
        "save_steps": 2,
    }
    reference, run = both(
        tmp_path,
        options,
        model=_language_model,
        train=_token_samples(30),
        evaluation=_token_samples(9),
    )
    reference.train()
    run.train()
    assert_same(reference, run)
    assert run.trainer.state.total_flos == pytest.approx(reference.trainer.state.total_flos)
    loaded = theirs.GPT2LMHeadModel.from_pretrained(run.folder / "checkpoint-4")
    assert torch.equal(loaded.lm_head.weight, loaded.transformer.wte.weight)


def test_their_checkpoint_goes_on_in_our_trainer(tmp_path: Path) -> None:
    options = {"max_steps": 12, "save_strategy": "steps", "save_steps": 6, "logging_steps": 1}
    reference = Run(theirs, tmp_path / "theirs", options)
    reference.train()
    run = Run(ours, tmp_path / "ours", options)
    run.train(resume_from_checkpoint=tmp_path / "theirs" / "checkpoint-6")
    for own_row, row in zip(run.numbers[:12], reference.numbers[:12], strict=True):
        assert own_row == row
    for name, tensor in reference.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], tensor)


def test_our_checkpoint_goes_on_in_their_trainer(tmp_path: Path) -> None:
    options = {"max_steps": 12, "save_strategy": "steps", "save_steps": 6, "logging_steps": 1}
    run = Run(ours, tmp_path / "ours", options)
    run.train()
    reference = Run(theirs, tmp_path / "theirs", options)
    reference.train(resume_from_checkpoint=str(tmp_path / "ours" / "checkpoint-6"))
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(reference.model.state_dict()[name], tensor)


def test_their_state_and_ours_read_each_others_files(tmp_path: Path) -> None:
    run = Run(ours, tmp_path / "ours", {})
    run.train()
    run.trainer.state.save_to_json(str(tmp_path / "ours.json"))
    read = theirs.TrainerState.load_from_json(str(tmp_path / "ours.json"))
    assert read.log_history == run.trainer.state.log_history
    read.save_to_json(str(tmp_path / "theirs.json"))
    assert ours.TrainerState.load_from_json(tmp_path / "theirs.json") == run.trainer.state
    assert json.loads((tmp_path / "ours.json").read_text()) == json.loads(
        (tmp_path / "theirs.json").read_text()
    )


def test_our_fields_are_theirs_with_their_types_and_defaults(tmp_path: Path) -> None:
    own = ours.TrainingArguments(str(tmp_path))
    reference = theirs.TrainingArguments(str(tmp_path))
    differences = {
        name: (value, getattr(reference, name, "not there"))
        for name, value in own.to_dict().items()
        if getattr(reference, name, "not there") != value
    }
    assert differences == {
        "project": (None, "huggingface"),
        "log_ranks": ("main", "not there"),
        "warmup_ratio": (None, "not there"),
        "fsdp": (False, None),
    }


def test_every_default_of_theirs_may_be_given_to_ours(tmp_path: Path) -> None:
    """A default asks for nothing; what stands there otherwise in ours has its own default."""
    fields = {
        field.name: field.default_factory()
        if field.default is dataclasses.MISSING
        else field.default
        for field in dataclasses.fields(theirs.TrainingArguments)
        if field.init
    }
    given = ours.TrainingArguments(**{**fields, "output_dir": str(tmp_path)})
    plain = ours.TrainingArguments(str(tmp_path), project="huggingface")
    assert given.to_dict() == plain.to_dict()
    parameters = list(inspect.signature(theirs.Trainer.__init__).parameters.values())[1:]
    defaults = {parameter.name: parameter.default for parameter in parameters}
    model = tiny.TinyModel()
    assert ours.Trainer(**{**defaults, "model": model, "args": given}).model is model
    with pytest.raises(TypeError, match=r"model_init.*pass model=model_init\(\)"):
        ours.Trainer(args=given, model_init=tiny.TinyModel)


METHODS_BESIDE = {
    "create_model_card": "takes whatever theirs takes",
}
"""Methods of ours whose parameters are not by name those of theirs, and why."""


def test_methods_take_what_theirs_take() -> None:
    for name, method in inspect.getmembers(theirs.Trainer, inspect.isfunction):
        own = getattr(ours.Trainer, name, None)
        if name.startswith("_") or name in METHODS_BESIDE or own is None:
            continue
        wanted = [p for p in inspect.signature(method).parameters if p not in {"self", "kwargs"}]
        assert set(wanted) <= set(inspect.signature(own).parameters), name


def test_all_that_theirs_tells_ours_tells_or_says_what_to_do(tmp_path: Path) -> None:
    options = {"gradient_accumulation_steps": 2, "weight_decay": 0.1}
    trained = []
    for library in (theirs, ours):
        run = Run(library, tmp_path / library.__name__, options)
        run.train()
        trained.append(run.trainer)
    reference, own = trained
    for name in dir(reference):
        if name.startswith("_") or hasattr(own, name):
            continue
        with pytest.raises(AttributeError, match=rf"no attribute '{name}': \w+"):
            getattr(own, name)
    told = {
        "is_in_train": False,
        "is_model_parallel": False,
        "is_world_process_zero": True,
        "place_model_on_device": True,
        "label_names": ["labels"],
        "hp_name": None,
        "hp_search_backend": None,
        "current_flos": 0,
        "loss_is_scaled_for_ga": None,
        "model_accepts_loss_kwargs": False,
        "get_num_trainable_parameters": 65,
        "get_learning_rates": [0.0, 0.0],
        "get_tp_size": 1,
        "get_cp_size": 1,
        "get_sp_size": 1,
    }
    for name, value in told.items():
        for trainer in trained:
            found = getattr(trainer, name)
            assert (found() if callable(found) else found) == value, name
    for trainer in trained:
        assert trainer.get_total_train_batch_size(trainer.args) == 8
        assert trainer.num_examples(trainer.get_train_dataloader()) == 44
        first = trainer.model.hidden.weight  # theirs cannot look for another: it compares values
        assert trainer.get_optimizer_group(first)["weight_decay"] == 0.1
        assert [len(group) for group in trainer.get_optimizer_group()] == [2, 4]
    for bias in (own.model.head.bias, "head.bias"):
        assert own.get_optimizer_group(bias)["weight_decay"] == 0.0
    assert own.get_optimizer_group("no such") is None


@pytest.mark.parametrize("is_scaled", [True, False, None])
def test_a_subclass_says_whether_its_loss_is_scaled(is_scaled: bool | None, tmp_path: Path) -> None:
    weights = []
    for library in (theirs, ours):

        class Scaled(library.Trainer):  # type: ignore[name-defined, misc]
            loss_is_scaled_for_ga = is_scaled

        options = {"gradient_accumulation_steps": 4, "optim": "sgd", "max_grad_norm": 0.0}
        args = library.TrainingArguments(str(tmp_path), **{**OPTIONS, **options})
        accelerate.utils.set_seed(42)
        trainer = Scaled(tiny.TinyModel(), args, train_dataset=tiny.samples(44))
        trainer.train()
        weights.append(trainer.model.head.weight.detach().clone())
    assert torch.equal(*weights)


def test_an_own_loader_is_asked_for_each_set_by_name(tmp_path: Path) -> None:
    asked = []
    for library in (theirs, ours):

        class ByName(library.Trainer):  # type: ignore[name-defined, misc]
            names: list[Any]

            def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
                self.names.append(eval_dataset)
                return super().get_eval_dataloader(eval_dataset)

        args = library.TrainingArguments(str(tmp_path), **OPTIONS)
        sets = {"first": tiny.samples(8), "second": tiny.samples(5, seed=2)}
        trainer = ByName(tiny.TinyModel(), args, eval_dataset=sets)
        trainer.names = []
        metrics = trainer.evaluate()
        alone = trainer.evaluate("second")
        assert alone["eval_loss"] == metrics["eval_second_loss"]
        assert trainer.num_examples(trainer.get_eval_dataloader("second")) == 5
        asked.append(trainer.names)
    assert asked[0] == asked[1] == ["first", "second", "second", "second"]


def test_outputs_are_left_out_of_evaluations_in_training(tmp_path: Path) -> None:
    seen = []
    for library in (theirs, ours):
        kinds: list[int] = []

        def look(prediction: Any, kinds: list[int] = kinds) -> dict[str, float]:
            kinds.append(len(prediction.predictions))
            return {}

        options = {"max_steps": 2, "eval_strategy": "steps", "eval_steps": 1}
        run = Run(library, tmp_path, options, model=_TwoOutputs(), compute_metrics=look)
        run.train(ignore_keys_for_eval=["more"])
        run.trainer.evaluate()
        seen.append(kinds)
    assert seen[0] == seen[1] == [13, 13, 2]


def test_a_callbacks_state_may_lack_attributes(tmp_path: Path) -> None:
    for library in (theirs, ours):

        class OfArguments(library.TrainerCallback, library_state(library)):  # type: ignore[misc]
            def __init__(self, start: str = "default") -> None:
                self.start = start

            def state(self) -> dict[str, Any]:
                return {"args": {"start": self.start}}

        folder = tmp_path / library.__name__
        options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 2}
        options["restore_callback_states_from_checkpoint"] = True
        Run(library, folder, options, OfArguments("kept")).train()
        run = Run(library, folder, options, OfArguments())
        run.train(resume_from_checkpoint=str(folder / "checkpoint-2"))
        found = run.trainer.pop_callback(OfArguments)
        assert found.start == "kept"


def library_state(library: Any) -> Any:
    """Return the class of callbacks with a state, which transformers does not export."""
    if library is ours:
        return ours.ExportableState
    from transformers.trainer_callback import ExportableState

    return ExportableState


def test_their_parser_reads_our_arguments() -> None:
    @dataclasses.dataclass
    class WithMore(ours.TrainingArguments):
        block_size: int = 0

    parser = theirs.HfArgumentParser((WithMore,))
    line = (
        "--output_dir out --do_train --bf16 --no_dataloader_pin_memory --lr_scheduler_type cosine "
        '--lr_scheduler_kwargs {"num_cycles":2} --eval_strategy steps --eval_steps 0.5 '
        "--label_names a b --report_to none --resume_from_checkpoint true --block_size 8"
    )
    (args,) = parser.parse_args_into_dataclasses(line.split())
    assert args == WithMore(
        "out",
        do_train=True,
        bf16=True,
        dataloader_pin_memory=False,
        lr_scheduler_type="cosine",
        lr_scheduler_kwargs={"num_cycles": 2},
        eval_strategy="steps",
        eval_steps=0.5,
        label_names=["a", "b"],
        resume_from_checkpoint="true",
        block_size=8,
    )


def test_fields_of_theirs_that_are_not_ours_are_all_told() -> None:
    names, own = (
        {field.name for field in dataclasses.fields(library.TrainingArguments) if field.init}
        for library in (theirs, ours)
    )
    assert ABSENT.keys() == names - own
    reference = {
        field.name: field.default for field in dataclasses.fields(theirs.TrainingArguments)
    }
    assert {name: default for name, (default, _) in ABSENT.items()} == {
        name: reference[name] for name in ABSENT
    }
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "trainer.md").read_text()
    listed = guide.split("**Not there**")[1]
    assert set(re.findall(r"`(\w+)`", listed)) >= names - own


@pytest.mark.parametrize(
    "wrong",
    [
        {"logging_steps": 0},
        {"logging_steps": 1.5},
        {"eval_strategy": "steps", "eval_steps": 2.5},
        {"save_strategy": "steps", "save_steps": 3.5},
        {"load_best_model_at_end": True},
        {
            "load_best_model_at_end": True,
            "eval_strategy": "steps",
            "eval_steps": 3,
            "save_strategy": "steps",
            "save_steps": 4,
        },
        {
            "load_best_model_at_end": True,
            "eval_strategy": "steps",
            "eval_steps": 0.1,
            "save_strategy": "steps",
            "save_steps": 4,
        },
        {"bf16": True, "fp16": True},
        {"lr_scheduler_type": "reduce_lr_on_plateau"},
        {"warmup_steps": -1},
        {"dataloader_prefetch_factor": 2},
        {"eval_strategy": "sometimes"},
        {"save_strategy": "sometimes"},
        {"lr_scheduler_type": "sometimes"},
        {"optim": "sometimes"},
    ],
    ids=str,
)
def test_what_they_refuse_we_refuse(wrong: dict[str, Any], tmp_path: Path) -> None:
    for library in (theirs, ours):
        with pytest.raises(ValueError, match=r"."):
            library.TrainingArguments(str(tmp_path), **wrong)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear", {}),
        ("cosine", {}),
        ("cosine", {"num_cycles": 1.5}),
        ("cosine_with_restarts", {"num_cycles": 3}),
        ("polynomial", {"power": 2.0, "lr_end": 1e-4}),
        ("constant", {}),
        ("constant_with_warmup", {}),
        ("inverse_sqrt", {}),
        ("inverse_sqrt", {"timescale": 7}),
        ("cosine_with_min_lr", {"min_lr": 0.01}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.3, "num_cycles": 0.7}),
        ("warmup_stable_decay", {"num_decay_steps": 5}),
        (
            "warmup_stable_decay",
            {"num_decay_steps": 5, "min_lr_ratio": 0.2, "decay_type": "linear"},
        ),
        (
            "warmup_stable_decay",
            {"num_decay_steps": 5, "num_stable_steps": 3, "decay_type": "1-sqrt"},
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rates_follow_the_same_curve(
    name: str, options: dict[str, Any], warmup: int, tmp_path: Path
) -> None:
    from multitrack.trainer.optim.schedules import create_scheduler

    args = ours.TrainingArguments(
        str(tmp_path), lr_scheduler_type=name, lr_scheduler_kwargs=options, warmup_steps=warmup
    )
    curves = []
    for library in (theirs, ours):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = (
            create_scheduler(optimizer, args, 20)
            if library is ours
            else theirs.get_scheduler(name, optimizer, warmup, 20, dict(options))
        )
        curve = []
        for _ in range(24):
            curve.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        curves.append(curve)
    assert curves[1] == pytest.approx(curves[0], rel=1e-12)


def test_parameters_without_weight_decay_are_the_same(tmp_path: Path) -> None:
    from multitrack.trainer.optim.optimizers import decayed_names

    for model in (tiny.TinyModel(), _language_model()):
        reference = theirs.Trainer(model, theirs.TrainingArguments(str(tmp_path), report_to="none"))
        assert sorted(decayed_names(model)) == sorted(reference.get_decay_parameter_names(model))


def test_their_printer_and_early_stopping_run_in_our_trainer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"eval_strategy": "epoch", "metric_for_best_model": "loss"}
    early = theirs.EarlyStoppingCallback(early_stopping_patience=5)
    run = Run(ours, tmp_path, options, early, theirs.PrinterCallback)
    run.trainer.pop_callback(ours.PrinterCallback)
    output = run.train()
    assert output.metrics["total_flos"] == 0
    assert "total_flos" in run.trainer.state.log_history[-1]
    assert early.early_stopping_patience_counter < 5
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(run.trainer.state.log_history)
    assert "total_flos" not in lines[-1]


def test_their_stateful_callback_is_kept_and_brought_back(tmp_path: Path) -> None:
    options = {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 4,
        "max_steps": 8,
        "metric_for_best_model": "loss",
        "restore_callback_states_from_checkpoint": True,
    }
    first = theirs.EarlyStoppingCallback(early_stopping_patience=50)
    Run(ours, tmp_path, options, first).train()
    saved = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    kept = saved["stateful_callbacks"]["EarlyStoppingCallback"]
    assert kept["args"]["early_stopping_patience"] == 50
    second = theirs.EarlyStoppingCallback(early_stopping_patience=1)
    run = Run(ours, tmp_path, options, second)
    run.train(resume_from_checkpoint=tmp_path / "checkpoint-4")
    assert second.early_stopping_patience == 50
    assert any(callback is second for callback in run.trainer.callback_handler.callbacks)


def test_their_tensorboard_integration_runs_in_our_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from transformers.integrations import TensorBoardCallback

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    run = Run(ours, tmp_path / "out", {"eval_strategy": "epoch"}, TensorBoardCallback)
    run.train()
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    read = {point.step: point.value for point in events.Scalars("train/loss")}
    logged = {row["step"]: row["loss"] for row in run.trainer.state.log_history if "loss" in row}
    assert read == pytest.approx(logged, rel=1e-6)
    assert [point.step for point in events.Scalars("eval/loss")] == [11, 22]
    text = events.Tensors("args/text_summary")[0].tensor_proto.string_val[0]
    assert json.loads(text)["learning_rate"] == 0.05


def test_their_mlflow_integration_runs_in_our_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    from transformers.integrations import MLflowCallback

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs-in-ours")
    monkeypatch.chdir(tmp_path)  # Comet, if it is there, listens to MLflow and writes here
    mlflow.set_tracking_uri(uri)
    run = Run(ours, tmp_path / "out", {"eval_strategy": "epoch", "run_name": "one"}, MLflowCallback)
    run.train()
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("theirs-in-ours")
    (stored,) = client.search_runs([experiment.experiment_id])
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "one"
    assert stored.data.params["learning_rate"] == "0.05"
    points = {
        point.step: point.value for point in client.get_metric_history(stored.info.run_id, "loss")
    }
    logged = {row["step"]: row["loss"] for row in run.trainer.state.log_history if "loss" in row}
    assert points == pytest.approx(logged)


def test_our_callbacks_run_in_their_trainer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "learning_rate": 0.5,
        "num_train_epochs": 4,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "metric_for_best_model": "loss",
    }
    reference = Run(theirs, tmp_path / "a", options, theirs.EarlyStoppingCallback(2))
    run = Run(theirs, tmp_path / "b", options, ours.EarlyStoppingCallback(2), ours.PrinterCallback)
    for one in (reference, run):
        one.trainer.pop_callback(theirs.PrinterCallback)
        one.train()
    assert run.trainer.state.global_step == reference.trainer.state.global_step
    assert run.trainer.state.global_step < run.trainer.state.max_steps
    assert math.isfinite(run.trainer.state.best_metric)
    assert len(capsys.readouterr().out.splitlines()) == len(run.trainer.state.log_history)
