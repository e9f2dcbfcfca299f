"""TrainingArguments: from code, files and the command line; what they refuse; what they show."""

from __future__ import annotations

import argparse
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multitrack.trainer import TrainingArguments


def test_values_get_the_types_of_their_fields(tmp_path: Path) -> None:
    args = TrainingArguments(
        tmp_path / "out", learning_rate=np.float32(0.5), max_steps=1e3, weight_decay=1
    )
    assert args.output_dir == str(tmp_path / "out")
    assert type(args.learning_rate) is float
    assert (args.max_steps, type(args.max_steps)) == (1000, int)
    assert type(args.weight_decay) is float


def test_intervals_are_whole_numbers_or_parts() -> None:
    args = TrainingArguments(logging_steps=2.0, eval_strategy="steps", save_steps=0.5)
    assert [type(steps) for steps in (args.logging_steps, args.eval_steps, args.save_steps)] == [
        int,
        int,
        float,
    ]
    assert type(TrainingArguments().save_steps) is int
    assert type(TrainingArguments.from_dict({"logging_steps": "7"}).logging_steps) is int


def test_words_are_strings_and_members() -> None:
    args = TrainingArguments("out", eval_strategy="steps", optim="sgd")
    assert args.eval_strategy == "steps"
    assert str(args.eval_strategy) == f"{args.eval_strategy}" == "steps"
    assert args.optim == "sgd"


def test_what_follows_from_other_arguments() -> None:
    args = TrainingArguments("~/out", eval_strategy="steps", logging_steps=7)
    assert args.eval_steps == 7
    assert args.output_dir == str(Path("~/out").expanduser())
    assert args.metric_for_best_model is None
    assert TrainingArguments().output_dir == "trainer_output"
    assert TrainingArguments("o", torch_compile_mode="default").torch_compile
    best = TrainingArguments(
        "o", eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True
    )
    assert (best.metric_for_best_model, best.greater_is_better) == ("loss", False)
    accuracy = TrainingArguments("o", metric_for_best_model="accuracy")
    assert accuracy.greater_is_better


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": "5e-5"}, "learning_rate must be a number, not '5e-5'"),
        ({"bf16": "yes"}, "bf16 must be true or false, not 'yes'"),
        ({"max_steps": 2.5}, "max_steps must be a whole number, not 2.5"),
        ({"label_names": "labels"}, "label_names must be a list of names or None, not 'labels'"),
        ({"lr_scheduler_kwargs": 3}, "lr_scheduler_kwargs must be a dictionary or None, not 3"),
        ({"eval_strategy": "step"}, "eval_strategy must be one of no, steps, epoch, not 'step'"),
        ({"optim": "adamw_bnb_8bit"}, "optim must be one of adamw_torch, adamw_torch_fused, sgd"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size must be at least 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps must be at least 1"),
        ({"max_steps": 0}, "max_steps must be positive, or -1"),
        ({"num_train_epochs": 0}, "num_train_epochs must be positive"),
        ({"save_total_limit": 0}, "save_total_limit must be at least 1"),
        ({"eval_accumulation_steps": 0}, "eval_accumulation_steps must be at least 1"),
        ({"logging_steps": 0}, "logging_steps must be positive"),
        ({"logging_steps": 2.5}, "logging_steps must be a whole number, or a part below 1"),
        ({"save_strategy": "best"}, "needs metric_for_best_model"),
        ({"save_strategy": "best"}, "needs evaluations"),
        ({"load_best_model_at_end": True}, 'eval_strategy is "no" and save_strategy "steps"'),
        ({"fp16": True, "use_cpu": True}, "fp16 needs a GPU"),
        ({"bf16": True, "fp16": True}, "exclude each other"),
        ({"fsdp_config": {"a": 1}}, "without fsdp=True has no effect"),
        ({"fsdp": True, "fsdp_config": {"wrap": 1}}, "use_orig_params, not wrap"),
        ({"fsdp": True, "fsdp_config": {"fsdp_version": 1}}, "version may be 2 alone, not 1"),
        ({"dataloader_persistent_workers": True}, "needs dataloader_num_workers"),
        ({"dataloader_multiprocessing_context": "fork"}, "needs dataloader_num_workers"),
        ({"dataloader_multiprocessing_context": "x", "dataloader_num_workers": 1}, "may be fork"),
        ({"dataloader_num_workers": -1}, "must be 0 or more"),
        ({"include_for_metrics": ["logits"]}, "may hold inputs and loss, not logits"),
        ({"learning_rate": float("nan")}, "learning_rate must be 0 or more"),
        ({"adam_beta1": 1.0}, "adam_beta1 must be at least 0 and below 1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio must be between 0 and 1"),
        ({"warmup_ratio": 0.1, "warmup_steps": 5}, "warmup_steps and warmup_ratio exclude"),
        ({"report_to": "wandbb"}, "'wandbb' is no known backend"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        TrainingArguments("out", **values)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="max_steps") as caught:
        TrainingArguments("out", max_steps=0, bf16=True, fp16=True, save_total_limit=-1)
    assert len(str(caught.value).splitlines()) == 4


def test_ratios_of_intervals_may_be_multiples_although_floats_are_not_exact() -> None:
    TrainingArguments(
        "out",
        eval_strategy="steps",
        eval_steps=0.1,
        save_steps=0.3,
        load_best_model_at_end=True,
    )


def test_a_dict_may_hold_numbers_as_text() -> None:
    args = TrainingArguments.from_dict(
        {
            "learning_rate": "1e-4",
            "bf16": "false",
            "max_steps": "7",
            "lr_scheduler_kwargs": '{"num_cycles": 2}',
            "label_names": "a, b",
            "eval_steps": None,
        }
    )
    assert (args.learning_rate, args.bf16, args.max_steps) == (1e-4, False, 7)
    assert args.lr_scheduler_kwargs == {"num_cycles": 2}
    assert args.label_names == ["a", "b"]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"no argument 'learning_rat'; did you mean learning_rate\?"
    ):
        TrainingArguments.from_dict({"learning_rat": 1})
    with pytest.raises(TypeError, match=r"did you mean learning_rate\?"):
        TrainingArguments("out", learning_rat=1)


def test_an_argument_of_transformers_alone_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "deepspeed of transformers is not there; use fsdp to shard a model"
    with pytest.raises(TypeError, match=re.escape(message)):
        TrainingArguments("out", deepspeed="zero.json")
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainingArguments.from_dict({"deepspeed": "zero.json"})
    for option in ("--deepspeed", "--deepspeed=zero.json"):
        with pytest.raises(SystemExit):
            TrainingArguments.from_command_line([option])
        assert message in capsys.readouterr().err


def test_an_argument_of_transformers_4_is_told_with_what_to_do() -> None:
    with pytest.raises(TypeError, match="no_cuda of transformers 4 is not there; use use_cpu"):
        TrainingArguments("out", no_cuda=True)


def test_an_absent_argument_may_be_given_if_it_asks_for_nothing() -> None:
    given = {"push_to_hub": False, "hub_token": None, "label_smoothing_factor": 0.0}
    args = TrainingArguments("out", **given)
    assert args == TrainingArguments.from_dict({"output_dir": "out", **given})
    assert (args.push_to_hub, args.hub_token, args.label_smoothing_factor) == (False, None, 0.0)
    assert not given.keys() & args.to_dict().keys()
    with pytest.raises(AttributeError, match="'TrainingArguments' object has no attribute 'nope'"):
        args.nope  # noqa: B018 - the look is what raises


def test_scripts_may_ask_whether_to_train() -> None:
    args = TrainingArguments.from_command_line(["--do-train", "--eval-strategy", "epoch"])
    assert (args.do_train, args.do_eval, args.do_predict) == (True, True, False)
    assert TrainingArguments("out").do_eval is False


def test_what_scripts_ask_of_their_process() -> None:
    args = TrainingArguments("out")
    assert (args.local_rank, args.parallel_mode.value) == (0, "not_parallel")
    logging.getLogger("multitrack").setLevel(logging.ERROR)
    try:
        assert args.get_process_log_level() == logging.ERROR
    finally:
        logging.getLogger("multitrack").setLevel(logging.NOTSET)
    with args.main_process_first(desc="map"):
        done = True
    assert done


def test_dictionaries_may_be_given_as_json() -> None:
    args = TrainingArguments("out", lr_scheduler_kwargs='{"num_cycles": 2}')  # type: ignore[arg-type]
    assert args.lr_scheduler_kwargs == {"num_cycles": 2}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("args.yaml", "learning_rate: 1e-4\nmax_steps: 3\nreport_to: [none]\n"),
        ("args.yml", "{learning_rate: 1.0e-4, max_steps: 3}"),
        ("args.json", '{"learning_rate": 1e-4, "max_steps": 3}'),
    ],
)
def test_files(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    args = TrainingArguments.from_file(path, max_steps=9)
    assert (args.learning_rate, args.max_steps) == (1e-4, 9)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("args.toml", "", "arguments come from .json, .yaml or .yml files"),
        ("args.yaml", "- 1", "must hold one mapping"),
        ("args.json", "{", "Expecting property name"),
    ],
)
def test_wrong_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        TrainingArguments.from_file(path)


def test_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "args.yaml"
    path.write_text("learning_rate: 1e-4\nmax_steps: 3\n")
    args = TrainingArguments.from_command_line(
        f"--config {path} --max-steps 9 --bf16 --no-dataloader-pin-memory --eval_steps 0.5 "
        "--label-names a b --logging-first-step false --lr-scheduler-kwargs {} "
        "--resume-from-checkpoint --greater-is-better".split()
    )
    assert (args.learning_rate, args.max_steps) == (1e-4, 9)
    assert (args.bf16, args.dataloader_pin_memory, args.logging_first_step) == (True, False, False)
    assert args.label_names == ["a", "b"]
    assert args.resume_from_checkpoint is True
    assert (args.greater_is_better, args.lr_scheduler_kwargs, args.eval_steps) == (True, {}, 0.5)


@pytest.mark.parametrize(
    "line", ["--nope 1", "left over", "--max-steps x", "--config missing.yaml"]
)
def test_a_wrong_command_line_ends_with_a_message(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        TrainingArguments.from_command_line(line.split())
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_help_lists_every_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        TrainingArguments.from_command_line(["--help"])
    text = capsys.readouterr().out
    for name in TrainingArguments().to_dict():
        assert f"--{name.replace('_', '-')} " in text


def test_a_parser_of_ones_own() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    TrainingArguments.add_to_parser(parser)
    namespace = parser.parse_args(["--data", "here", "--seed", "7"])
    assert namespace.data == "here"
    assert TrainingArguments.from_namespace(namespace).seed == 7


def test_secrets_are_not_shown() -> None:
    @dataclass(repr=False)
    class Mine(TrainingArguments):
        hub_token: str | None = None

    args = Mine("out", hub_token="hf_abcdefghijklmnopqrstuvwxyz", run_name="plain")
    assert args.hub_token == "hf_abcdefghijklmnopqrstuvwxyz"
    for shown in (repr(args), args.to_json_string(), str(args.to_sanitized_dict())):
        assert "abcdefghijkl" not in shown
        assert "plain" in shown


def test_what_is_shown_is_plain_and_can_be_read_back() -> None:
    args = TrainingArguments("out", lr_scheduler_type="cosine", label_names=["a"])
    values = json.loads(args.to_json_string())
    assert values["lr_scheduler_type"] == "cosine"
    assert TrainingArguments.from_dict(values) == args
    sanitized = args.to_sanitized_dict()
    assert sanitized["label_names"] == "['a']"
    assert sanitized["train_batch_size"] == 8
    assert {type(value) for value in sanitized.values()} <= {bool, int, float, str}


def test_warm_up() -> None:
    assert TrainingArguments("o", warmup_steps=7).get_warmup_steps(100) == 7
    assert TrainingArguments("o", warmup_steps=0.25).get_warmup_steps(101) == 26
    assert TrainingArguments("o", warmup_ratio=1.0).get_warmup_steps(100) == 100


def test_where_training_runs() -> None:
    args = TrainingArguments("out", use_cpu=True)
    assert (args.world_size, args.process_index, args.local_process_index) == (1, 0, 0)
    assert (args.device.type, args.n_gpu) == ("cpu", 0)
    assert args.should_save
    assert args.should_log
