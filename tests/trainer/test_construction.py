"""What a Trainer refuses before anything starts, and how it makes batches and optimizers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from multitrack.trainer import Trainer, TrainerCallback, TrainingArguments
from multitrack.trainer.data.collate import default_collate
from multitrack.trainer.optim.optimizers import decayed_names, parse_optim_args


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import multitrack.trainer, sys; assert 'torch' not in sys.modules; dir(multitrack.trainer)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_can_be_imported() -> None:
    import multitrack.trainer

    assert all(getattr(multitrack.trainer, name) for name in multitrack.trainer.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        multitrack.trainer.Nothing  # noqa: B018 - looking is the test


def test_what_is_no_model_no_arguments_or_no_pair_is_refused(
    arguments: Callable[..., TrainingArguments],
) -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, not str"):
        Trainer("model", arguments())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, not NoneType"):
        Trainer(args=arguments())
    with pytest.raises(TypeError, match=r"TrainingArguments, not .*dict; .*\.from_dict takes one"):
        Trainer(tiny.TinyModel(), {"max_steps": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="optimizers must be a pair"):
        Trainer(tiny.TinyModel(), arguments(), optimizers=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data_collator must be a function"):
        Trainer(tiny.TinyModel(), arguments(), data_collator=3)  # type: ignore[arg-type]
    loader = torch.utils.data.DataLoader(tiny.samples(4))  # type: ignore[arg-type]
    for name, method in (("train_dataset", "get_train"), ("eval_dataset", "get_eval")):
        message = f"{name} must be a data set, not a DataLoader.*{method}_dataloader"
        with pytest.raises(TypeError, match=message):
            Trainer(tiny.TinyModel(), arguments(), **{name: loader})


def test_arguments_that_the_data_or_the_machine_do_not_allow_are_refused(
    arguments: Callable[..., TrainingArguments],
) -> None:
    model = tiny.TinyModel()
    with pytest.raises(ValueError, match=r'eval_strategy="epoch" needs an eval_dataset'):
        Trainer(model, arguments(eval_strategy="epoch"))
    with pytest.raises(ValueError, match="train_dataset has no __len__"):
        Trainer(model, arguments(max_steps=-1), train_dataset=iter([1]))
    with pytest.raises(ValueError, match="gradient_checkpointing_enable, which TinyModel lacks"):
        Trainer(model, arguments(gradient_checkpointing=True))
    with pytest.raises(ValueError, match="fsdp=True needs several processes"):
        Trainer(model, arguments(fsdp=True))
    with pytest.raises(ValueError, match="fsdp=True makes its own optimizer"):
        Trainer(model, arguments(fsdp=True), optimizers=(torch.optim.SGD(model.parameters()), None))
    other = torch.optim.SGD(tiny.TinyModel().parameters())
    with pytest.raises(ValueError, match="the optimizer has no parameter of the model"):
        Trainer(model, arguments(), optimizers=(other, None))
    with pytest.raises(ValueError, match="the train_dataset has no samples"):
        Trainer(model, arguments(), train_dataset=[]).train()
    with pytest.raises(ValueError, match="tf32=True needs an NVIDIA GPU"):
        Trainer(model, arguments(tf32=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_is_refused_without_a_gpu(arguments: Callable[..., TrainingArguments]) -> None:
    with pytest.raises(ValueError, match="fp16=True needs a GPU"):
        Trainer(tiny.TinyModel(), arguments(fp16=True, use_cpu=False))


def test_arguments_may_be_left_out(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = Trainer(tiny.TinyModel())
    assert trainer.args.output_dir == "trainer_output"
    assert (tmp_path / "trainer_output").is_dir()


def test_gradient_checkpointing_is_turned_on(make_trainer: Callable[..., Trainer]) -> None:
    class Checkpointing(tiny.TinyModel):
        def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Any = None) -> None:
            self.given = gradient_checkpointing_kwargs

    model = Checkpointing()
    make_trainer(
        model=model,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )
    assert model.given == {"use_reentrant": False}


class Watches(tiny.TinyModel):
    """Notes of every pass whether it has a precision or a compilation that was asked for."""

    def __init__(self, seen: list[bool]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        self.seen.append(torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
        return super().forward(x, labels)


def test_a_second_trainer_may_want_another_precision(make_trainer: Callable[..., Trainer]) -> None:
    seen: list[bool] = []
    make_trainer(model=Watches(seen), max_steps=1).train()
    model = Watches(seen)
    trainer = make_trainer(model=model, max_steps=1, bf16=True)
    trainer.train()
    assert seen == [False, True]
    model(torch.ones(1, 4))
    assert seen == [False, True, False]  # the user's model is as it was
    trainer.evaluate(tiny.samples(8))
    assert seen[-1]


@pytest.mark.parametrize("options", [{"bf16": True}, {"torch_compile_backend": "eager"}], ids=str)
def test_every_training_has_its_own_precision_and_compilation(
    options: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    seen: list[bool] = []
    model = Watches(seen)
    trainer = make_trainer(model=model, max_steps=1, **options)
    trainer.train()
    trainer.train()
    make_trainer(model=model, max_steps=1).train()
    make_trainer(model=model, max_steps=1, **options).train()
    assert seen == [True, True, False, True]


@pytest.mark.parametrize("options", [{"bf16": True}, {"torch_compile_backend": "eager"}], ids=str)
def test_a_trainer_that_was_made_before_another_keeps_its_own(
    options: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    seen: list[bool] = []
    first = make_trainer(model=Watches(seen), max_steps=1, **options)
    second = make_trainer(model=Watches(seen), max_steps=1)
    for trainer in (first, second, first):
        trainer.train()
    assert seen == [True, False, True]
    second.evaluate(tiny.samples(8))
    assert not seen[-1]


def test_another_trainer_that_evaluates_changes_nothing_for_one_that_trains(
    make_trainer: Callable[..., Trainer],
) -> None:
    seen: list[bool] = []

    class Evaluates(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            other.evaluate()

    other = make_trainer()
    trainer = make_trainer(Evaluates, model=Watches(seen), max_steps=3, bf16=True)
    trainer.train()
    assert seen == [True] * 3
    assert trainer.accelerator.mixed_precision == "bf16"


@pytest.mark.parametrize("by_the_user", [False, True])
def test_a_compiled_model_trains_and_is_saved_under_plain_names(
    by_the_user: bool, make_trainer: Callable[..., Trainer]
) -> None:
    model = tiny.TinyModel()
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 3, "max_steps": 6}
    if by_the_user:
        trainer = make_trainer(model=torch.compile(model, backend="eager"), **options)
    else:
        trainer = make_trainer(model=model, torch_compile_backend="eager", **options)
    trainer.train(resume_from_checkpoint=None)
    trainer.train(resume_from_checkpoint=trainer.output_dir / "checkpoint-3")
    plain = make_trainer(max_steps=6)
    plain.train()
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    from safetensors.torch import load_file

    saved = load_file(trainer.output_dir / "checkpoint-6" / "model.safetensors")
    assert saved.keys() == plain.model.state_dict().keys()


def test_seeds_make_trainings_equal(make_trainer: Callable[..., Trainer]) -> None:
    def weights(**options: Any) -> Any:
        trainer = make_trainer(model=tiny.TinyModel(dropout=0.2), **options)
        trainer.train()
        return trainer.model.head.weight.detach().clone()

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights(seed=1))
    assert not torch.equal(weights(), weights(data_seed=1))
    torch.use_deterministic_algorithms(mode=False)
    assert torch.equal(weights(full_determinism=True), weights())
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=False)


def test_worker_processes_load_the_same_data(make_trainer: Callable[..., Trainer]) -> None:
    def weights(**options: Any) -> Any:
        trainer = make_trainer(max_steps=3, **options)
        trainer.train()
        return trainer.model.head.weight.detach().clone()

    with_workers = weights(
        dataloader_num_workers=1, dataloader_persistent_workers=True, dataloader_prefetch_factor=1
    )
    assert torch.equal(with_workers, weights())


def test_how_worker_processes_start_and_answer(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(
        dataloader_num_workers=1,
        dataloader_multiprocessing_context="forkserver",
        dataloader_in_order=False,
    )
    for loader in (trainer.get_train_dataloader(), trainer.get_eval_dataloader()):
        assert loader.multiprocessing_context.get_start_method() == "forkserver"
        assert loader.in_order is False


def test_samples_become_batches() -> None:
    batch = default_collate(
        [
            {"x": [1, 2], "y": np.array([0.5]), "name": "a", "none": None, "label": 1},
            {"x": [3, 4], "y": np.array([1.5]), "name": "b", "none": None, "label": 0},
        ]
    )
    assert sorted(batch) == ["labels", "x", "y"]
    assert batch["labels"].dtype == torch.int64
    assert batch["x"].tolist() == [[1, 2], [3, 4]]
    assert batch["y"].dtype == torch.float64

    class Sample:
        def __init__(self, x: float) -> None:
            self.x, self.label_ids = x, [1, 2]

    batch = default_collate([Sample(1.0), Sample(2.0)])
    assert batch["x"].tolist() == [1.0, 2.0]
    assert batch["labels"].shape == (2, 2)
    with pytest.raises(TypeError, match=r"a sample must be a dict of named values.*not tuple"):
        default_collate([(1, 2)])
    with pytest.raises(ValueError, match=r"values of 'ids' do not make a tensor: expected.* pads"):
        default_collate([{"ids": [1, 2]}, {"ids": [1]}])
    with pytest.raises(ValueError, match="values of 'label' do not make a tensor: too many dim"):
        default_collate([{"x": 1, "label": "good"}])
    with pytest.raises(ValueError, match="1 of the 2 samples of a batch have no 'x'"):
        default_collate([{"x": 1}, {"y": 1}])


def test_values_that_the_model_does_not_take_are_dropped(
    make_trainer: Callable[..., Trainer],
) -> None:
    data = [{**row, "text": object()} for row in tiny.samples(8)]
    make_trainer(train=data).train()
    with pytest.raises(ValueError, match="values of 'text' do not make a tensor"):
        make_trainer(train=data, remove_unused_columns=False).train()


def test_batches_and_samples_without_the_right_names_are_told(
    make_trainer: Callable[..., Trainer],
) -> None:
    with pytest.raises(ValueError, match="a sample has y, of which the model's forward takes none"):
        make_trainer(train=[{"y": 1.0}] * 4).train()
    raw = [{"text": "good", "label": 1.0}] * 4
    with pytest.raises(ValueError, match=r"has text, label, of which .* the label alone; it takes"):
        make_trainer(train=raw).train()
    pairs = [(row["x"], row["labels"]) for row in tiny.samples(8)]
    collate = torch.utils.data.default_collate
    trainer = make_trainer(train=pairs, evaluation=pairs, data_collator=collate)
    for act in (trainer.train, trainer.evaluate):
        with pytest.raises(TypeError, match=r"a batch must be a dict of named values.* not list"):
            act()


def test_a_tokenizer_pads_and_is_saved(make_trainer: Callable[..., Trainer], tmp_path: Any) -> None:
    class Tokenizer:
        pad_token_id = 0

        def pad(self, samples: list[Any], return_tensors: str) -> dict[str, Any]:
            assert return_tensors == "pt"
            batch = default_collate(samples)
            return {("label" if name == "labels" else name): v for name, v in batch.items()}

        def save_pretrained(self, folder: Any) -> None:
            (folder / "tokenizer.txt").write_text("mine")

    trainer = make_trainer(processing_class=Tokenizer())
    trainer.train()
    trainer.save_model(tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["model.safetensors", "tokenizer.txt", "training_args.json"]


def test_optimizers_and_schedulers_of_ones_own(make_trainer: Callable[..., Trainer]) -> None:
    model = tiny.TinyModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    trainer = make_trainer(model=model, optimizers=(optimizer, scheduler), logging_steps=1)
    trainer.train()
    assert trainer.lr_scheduler is scheduler
    assert {row["learning_rate"] for row in trainer.state.log_history[:-1]} == {0.25}


class OwnSchedule(Trainer):
    def create_scheduler(self, num_training_steps: int) -> Any:
        self.lr_scheduler = torch.optim.lr_scheduler.ConstantLR(self.optimizer)
        return self.lr_scheduler


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [Trainer, OwnSchedule])
def test_a_schedule_sees_the_optimizers_steps(
    kind: type[Trainer], arguments: Callable[..., TrainingArguments]
) -> None:
    trainer = kind(tiny.TinyModel(), arguments(max_steps=2), train_dataset=tiny.samples(8))
    assert trainer.train().global_step == 2  # a schedule that is ahead of the optimizer warns


def test_a_step_that_somebody_wrapped_is_called(make_trainer: Callable[..., Trainer]) -> None:
    calls: list[int] = []

    class Wraps(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            optimizer = kwargs["optimizer"]
            step = optimizer.step
            optimizer.step = lambda *a, **k: (calls.append(state.global_step), step(*a, **k))

    make_trainer(Wraps, max_steps=3).train()
    assert calls == [0, 1, 2]


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"])
def test_every_optimizer_trains(optim: str, make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(optim=optim, max_steps=40, logging_steps=20, learning_rate=0.02)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before


def test_wrong_arguments_of_optimizer_and_schedule_are_told(
    make_trainer: Callable[..., Trainer],
) -> None:
    with pytest.raises(ValueError, match=r"optim_args='momentun=0\.9' does not fit sgd"):
        make_trainer(optim="sgd", optim_args="momentun=0.9").train()
    with pytest.raises(ValueError, match="optim_args must look like"):
        make_trainer(optim="sgd", optim_args="momentum").train()
    with pytest.raises(ValueError, match=r"lr_scheduler_kwargs=.* does not fit cosine"):
        make_trainer(lr_scheduler_type="cosine", lr_scheduler_kwargs={"cycles": 2}).train()
    with pytest.raises(ValueError, match=r"does not fit warmup_stable_decay.*num_decay_steps"):
        make_trainer(lr_scheduler_type="warmup_stable_decay").train()
    with pytest.raises(ValueError, match="min_lr and min_lr_rate exclude each other"):
        make_trainer(
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr": 0.1, "min_lr_rate": 0.1},
        ).train()


def test_arguments_of_an_optimizer_are_read_from_text() -> None:
    parsed = parse_optim_args("momentum=0.9, nesterov=True,betas=(0.9, 0.95),name=x,none=None")
    assert parsed == {
        "momentum": 0.9,
        "nesterov": True,
        "betas": (0.9, 0.95),
        "name": "x",
        "none": None,
    }
    assert parse_optim_args(None) == {}


def test_biases_and_normalisations_have_no_weight_decay() -> None:
    model = nn.ModuleDict(
        {
            "layer": nn.Linear(2, 2),
            "layer_norm": nn.LayerNorm(2),
            "norm": nn.BatchNorm1d(2),
            "normal": nn.Linear(2, 2, bias=False),
        }
    )
    assert sorted(decayed_names(model)) == ["layer.weight", "normal.weight"]


def test_frozen_parameters_are_left_alone(make_trainer: Callable[..., Trainer]) -> None:
    model = tiny.TinyModel()
    model.hidden.requires_grad_(requires_grad=False)
    before = model.hidden.weight.clone()
    make_trainer(model=model).train()
    assert torch.equal(model.hidden.weight, before)
    with pytest.raises(ValueError, match="no parameter of the model requires a gradient"):
        make_trainer(model=tiny.TinyModel().requires_grad_(requires_grad=False)).train()


def test_a_subclass_may_change_the_loss(make_trainer: Callable[..., Trainer]) -> None:
    class Doubled(Trainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            result = super().compute_loss(*args, **kwargs)
            return (result[0] * 2, result[1]) if isinstance(result, tuple) else result * 2

    plain = make_trainer()
    doubled = Doubled(tiny.TinyModel(), plain.args, eval_dataset=plain.eval_dataset, callbacks=None)
    assert doubled.evaluate()["eval_loss"] == pytest.approx(2 * plain.evaluate()["eval_loss"])
