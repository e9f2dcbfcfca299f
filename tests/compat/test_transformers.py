"""multitrack in the real Trainer of transformers, read back from the journal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from multitrack_notebook import read_notebook
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments, __version__
from transformers.integrations.integration_utils import rewrite_logs

from multitrack.compat import transformers as compat
from multitrack.trackers.callback import rename
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history

MAJOR = int(__version__.partition(".")[0])


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)

    def forward(self, inputs, labels):
        logits = self.layer(inputs)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


DATA = [{"inputs": torch.full((4,), i / 10), "labels": torch.tensor(i % 2)} for i in range(32)]


def make_trainer(tmp_path, callbacks, **arguments):
    defaults = {"max_steps": 6, "logging_steps": 2, "save_strategy": "no", "use_cpu": True}
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"), disable_tqdm=True, **(defaults | arguments)
    )
    return Trainer(Model(), args, train_dataset=DATA, eval_dataset=DATA[:8], callbacks=callbacks)


def histories(tmp_path):
    return [read_history(run) for run in find_runs(tmp_path / "out" / "multitrack")]


@pytest.fixture
def tracking():
    callback = compat.TrackingCallback(report_to="none")
    yield callback
    if callback.run:
        callback.run.finish()


def test_training_evaluation_and_prediction_are_one_run(tmp_path, tracking):
    trainer = make_trainer(tmp_path, [tracking], run_name="hello", eval_strategy="steps")
    trainer.train()
    trainer.evaluate()
    trainer.predict(DATA[:8])
    tracking.run.finish()
    [history] = histories(tmp_path)
    assert history.header.name == "hello"
    assert history.header.config["args"]["max_steps"] == 6
    assert history.header.config["model"] == {"num_parameters": 10}
    assert list(history.series["train/loss"].steps) == [2, 4, 6]
    assert list(history.series["eval/loss"].steps) == [2, 4, 6, 6]
    assert list(history.series["test/loss"].steps) == [6]
    assert history.summary["train/train_loss"] == history.series["train/train_loss"].last.value
    assert history.status == "finished"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_training_that_raises_is_told_at_once(tmp_path, tracking, error, status):
    class Raising(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            raise error

    trainer = make_trainer(tmp_path, [tracking, Raising()])
    with pytest.raises(type(error)):
        trainer.train()
    [history] = histories(tmp_path)
    assert history.status == status


def test_training_resumed_from_a_checkpoint_goes_on_with_its_run(tmp_path, tracking):
    options = {"save_strategy": "steps", "save_steps": 3, "logging_steps": 1}
    make_trainer(tmp_path, [tracking], max_steps=3, **options).train()
    tracking.run.finish()
    again = compat.TrackingCallback(report_to="none")
    make_trainer(tmp_path, [again], **options).train(resume_from_checkpoint=True)
    again.run.finish()
    [history] = histories(tmp_path)
    assert again.run_id == tracking.run_id
    assert len(history.resumed) == 1
    assert list(history.series["train/loss"].steps) == [1, 2, 3, 4, 5, 6]


RESUMES = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_transformers import compat, make_trainer
options = {{"save_strategy": "steps", "save_steps": 2, "logging_steps": 1, "run_name": "ranks"}}
for steps in (2, 4):
    tracking = compat.TrackingCallback(report_to="none", log_ranks="all")
    trainer = make_trainer(Path(os.environ["RUN_DIR"]), [tracking], max_steps=steps, **options)
    trainer.train(resume_from_checkpoint=steps > 2)
    tracking.run.finish()
"""


def test_every_process_goes_on_with_its_own_run(program, torchrun, tmp_path):
    pytest.importorskip("torch.distributed")
    ended = program(RESUMES.format(tests=str(Path(__file__).parent)), *torchrun)
    assert ended.code == 0, ended.output
    found = [read_history(run) for run in find_runs(tmp_path / "runs")]
    assert sorted(history.header.name for history in found) == ["ranks-rank0", "ranks-rank1"]
    for history in found:
        assert len(history.resumed) == 1
        assert list(history.series["train/loss"].steps) == [1, 2, 3, 4]


def test_a_checkpoint_without_a_run_is_resumed_and_saved_again(tmp_path, tracking):
    options = {"save_strategy": "steps", "save_steps": 3}
    make_trainer(tmp_path, [], max_steps=3, **options).train()
    make_trainer(tmp_path, [tracking], **options).train(resume_from_checkpoint=True)
    assert (tmp_path / "out" / "checkpoint-6").is_dir()
    assert tracking.run_id


def test_every_trial_of_a_search_is_a_run(tmp_path, tracking):
    trainer = make_trainer(tmp_path, [tracking])
    for trial, rate in enumerate([0.1, 0.2]):
        trainer.state.is_hyper_param_search = True
        trainer.state.trial_name = f"trial-{trial}"
        trainer.state.trial_params = {"learning_rate": rate}
        tracking.on_train_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)
    first, second = histories(tmp_path)
    assert first.params["trial"] == {"learning_rate": 0.1}
    assert second.params["trial"] == {"learning_rate": 0.2}
    assert first.status == "finished"


def test_a_search_of_optuna_makes_a_run_of_every_trial(tmp_path, tracking):
    """As the Trainer drives it, with the real sampler; the best trial is known by its run."""
    pytest.importorskip("optuna")
    trainer = make_trainer(tmp_path, [tracking], eval_strategy="steps", eval_steps=6)
    trainer.model_init = lambda trial: Model()
    best = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1)},
        direction="minimize",
        n_trials=3,
        backend="optuna",
        hp_name=lambda trial: f"trial-{trial.number}",
    )
    tracking.run.finish()
    runs = histories(tmp_path)
    assert [history.status for history in runs] == ["finished"] * 3
    assert len({history.header.run_id for history in runs}) == 3
    rates = [history.params["trial"]["learning_rate"] for history in runs]
    assert len(set(rates)) == 3
    assert [history.params["args"]["learning_rate"] for history in runs] == rates
    assert all(list(history.series["eval/loss"].steps) == [6] for history in runs)
    losses = [history.series["eval/loss"].last.value for history in runs]
    assert rates[losses.index(min(losses))] == best.hyperparameters["learning_rate"]
    names = [f"trial-{number}" for number in range(3)]
    assert [history.tags["trial"] for history in runs] == names
    assert [history.header.name for history in runs] == names


def test_a_trial_that_is_pruned_has_not_failed(tmp_path, tracking):
    optuna = pytest.importorskip("optuna")
    trainer = make_trainer(tmp_path, [tracking], eval_strategy="steps", eval_steps=2)
    trainer.model_init = lambda trial: Model()
    options = {
        "hp_space": lambda trial: {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1)
        },
        "hp_name": lambda trial: trial.number,  # which is no text
        "compute_objective": lambda metrics: metrics["eval_loss"],
        "pruner": optuna.pruners.ThresholdPruner(upper=0.0),
    }
    with pytest.raises(ValueError, match="No trials are completed"):  # what optuna says
        trainer.hyperparameter_search(n_trials=2, backend="optuna", **options)
    tracking.run.finish()
    runs = histories(tmp_path)
    assert [history.header.name for history in runs] == ["0", "1"]
    assert [list(history.series["eval/loss"].steps) for history in runs] == [[2], [2]]
    assert [history.status for history in runs] == ["finished", "finished"]


WORDS = st.sampled_from(["eval", "test", "train", "epoch", "loss", "rewards", "x", "", " "])
KEYS = st.text() | st.lists(WORDS | st.sampled_from("_/-."), max_size=6).map("".join)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS.filter(lambda key: key != "epoch"), st.floats(allow_nan=False)))
def test_names_are_those_that_transformers_gives(logs):
    assert rename(logs) == rewrite_logs(logs)
    assert rename(logs | {"epoch": 0.5}) == rewrite_logs(logs)  # it travels with the point


def test_a_name_with_a_slash_is_called_as_theirs(tmp_path, tracking):
    row = {"rewards/chosen": 1.0, "eval_rewards/chosen": 2.0, "train/x": 3.0, "eval/y": 4.0}
    trainer = make_trainer(tmp_path, [tracking], max_steps=1)
    trainer.train()
    trainer.log(dict(row))
    tracking.run.finish()
    [history] = histories(tmp_path)
    found = {name: series.last.value for name, series in history.series.items()}
    assert rewrite_logs(row).items() <= found.items()
    assert not found.keys() & (row.keys() - {"train/x", "eval/y"})


def test_one_callback_of_several_trainings_makes_a_run_for_each(tmp_path, tracking):
    for fold in range(3):
        trainer = make_trainer(tmp_path, [tracking], max_steps=2 + fold, logging_steps=1)
        trainer.train()
        trainer.evaluate()
    tracking.run.finish()
    runs = histories(tmp_path)
    assert [list(history.series["train/loss"].steps) for history in runs] == [
        [1, 2],
        [1, 2, 3],
        [1, 2, 3, 4],
    ]
    assert [list(history.series["eval/loss"].steps) for history in runs] == [[2], [3], [4]]
    assert [history.header.config["args"]["max_steps"] for history in runs] == [2, 3, 4]
    assert {history.status for history in runs} == {"finished"}


def test_a_training_that_one_callback_resumes_goes_on_with_its_run(tmp_path, tracking):
    options = {"save_strategy": "steps", "save_steps": 2, "logging_steps": 1}
    make_trainer(tmp_path, [tracking], max_steps=2, **options).train()
    first = tracking.run_id
    make_trainer(tmp_path / "other", [tracking], max_steps=1, save_strategy="no").train()
    assert tracking.run_id != first
    make_trainer(tmp_path, [tracking], max_steps=4, **options).train(resume_from_checkpoint=True)
    assert tracking.run_id == first
    tracking.run.finish()
    [history] = histories(tmp_path)
    assert list(history.series["train/loss"].steps) == [1, 2, 3, 4]


def test_adapters_of_a_model_are_recorded(tmp_path, tracking):
    peft = pytest.importorskip("peft")
    trainer = make_trainer(tmp_path, [tracking], max_steps=1)
    trainer.model = peft.get_peft_model(
        trainer.model, peft.LoraConfig(r=2, lora_alpha=32, target_modules=["layer"])
    )
    trainer.train()
    [history] = histories(tmp_path)
    adapter = history.header.config["peft_config"]["default"]
    assert (adapter["r"], adapter["lora_alpha"], adapter["target_modules"]) == (2, 32, ["layer"])


BOTH = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_transformers import DATA, Model, compat, make_trainer
from transformers import PretrainedConfig
from transformers.integrations import MLflowCallback, WandbCallback
import mlflow, wandb

os.chdir(os.environ["RUN_DIR"])
def train(callbacks, name):
    trainer = make_trainer(Path("out"), callbacks, max_steps=1, run_name=name)
    trainer.model.config = PretrainedConfig(id2label={{0: "no", 1: "yes"}})
    trainer.train()

train([WandbCallback(), MLflowCallback()], "theirs")
config = json.loads(json.dumps(dict(wandb.run.config), default=str))
wandb.finish()
ours = compat.TrackingCallback("mlflow", config_names="flat")
train([ours], "ours")
[report] = ours.run.finish()
assert report.delivered
client = mlflow.MlflowClient()
found = client.search_runs([one.experiment_id for one in client.search_experiments()])
params = {{run.info.run_name: run.data.params for run in found}}
Path("found.json").write_text(json.dumps([config, params["theirs"], params["ours"]]))
"""


def test_flat_names_are_those_of_their_callbacks(program, tmp_path, monkeypatch):
    """On W&B and MLflow, but that MLflow's has no entry of its own for each nested value."""
    for client in ("wandb", "mlflow"):
        pytest.importorskip(client)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    ended = program(BOTH.format(tests=str(Path(__file__).parent)))
    assert ended.code == 0, ended.output
    on_wandb, on_mlflow, ours = json.loads((tmp_path / "found.json").read_text())
    [history] = [read_history(run) for run in find_runs(tmp_path / "runs")]
    recorded = history.header.config
    private = {"run_name", "hub_token"}  # each its own; and a token is redacted
    assert {k: v for k, v in on_wandb.items() if k not in private} == {
        k: recorded[k] for k in on_wandb if k not in private
    }
    nested = {key for key, value in recorded.items() if isinstance(value, dict) and value}
    assert {k: v for k, v in on_mlflow.items() if k not in nested | private} == {
        k: ours[k] for k in on_mlflow if k not in nested | private
    }
    assert ours["id2label/1"] == "yes"


def test_what_transformers_fills_in_names_nothing(tmp_path, tracking, monkeypatch):
    monkeypatch.setenv("MULTITRACK_PROJECT", "digits")
    monkeypatch.setenv("MULTITRACK_RUN_NAME", "first")
    make_trainer(tmp_path, [tracking]).train()
    [history] = histories(tmp_path)
    assert (history.header.project, history.header.name) == ("digits", "first")


@pytest.mark.parametrize(
    ("word", "names"), [("end", ["checkpoint-6"]), ("true", ["checkpoint-3", "checkpoint-6"])]
)
def test_checkpoints_go_to_the_backend_whose_variable_asks(tmp_path, monkeypatch, word, names):
    monkeypatch.setenv("NOTEBOOK_DIR", str(tmp_path / "notebook"))
    monkeypatch.setenv("NOTEBOOK_KEEP", word)
    tracking = compat.TrackingCallback(report_to="notebook")
    make_trainer(tmp_path, [tracking], save_strategy="steps", save_steps=3).train()
    [report] = tracking.run.finish()
    assert report.delivered
    lines = read_notebook(tmp_path / "notebook", tracking.run.id)
    kept = [line for line in lines if line["kind"] == "artifact"]
    assert [line["key"] for line in kept] == names
    assert {"model.safetensors", "trainer_state.json"} <= set(kept[-1]["files"])


@pytest.mark.parametrize(
    ("word", "logging_steps", "looks"),
    [
        ("false", 2, {}),
        ("parameters", 110, {"parameters": [0, 110]}),
        ("all", 2, {"gradients": [0, 100], "parameters": [0, 100]}),
    ],
)
def test_wandb_watch_is_what_it_is_for_their_callback(
    tmp_path, monkeypatch, word, logging_steps, looks
):
    sessions_of = pytest.importorskip("wandb_files", reason="wandb is not installed").sessions_of
    for name, value in {"MODE": "offline", "DIR": tmp_path, "WATCH": word}.items():
        monkeypatch.setenv(f"WANDB_{name}", str(value))
    tracking = compat.TrackingCallback(report_to="wandb")
    make_trainer(tmp_path, [tracking], max_steps=115, logging_steps=logging_steps).train()
    [report] = tracking.run.finish()
    assert report.delivered
    [session] = sessions_of(tmp_path / "wandb", tracking.run.id)
    found = {}
    for row in session.rows:
        for key, value in row.items():
            if isinstance(value, dict) and value.get("_type") == "histogram":
                found.setdefault(key, []).append(row["train/global_step"])
    parts = ("weight", "bias")
    assert found == {f"{kind}/layer.{part}": looks[kind] for kind in looks for part in parts}


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_transformers import *
compat.install()
compat.install()
trainer = make_trainer(Path({out!r}), [], report_to={report_to!r})
print([type(c).__module__ for c in trainer.callback_handler.callbacks])
trainer.train()
"""


@pytest.mark.parametrize("report_to", [["multitrack"], ["notebook"], "notebook", None])
def test_installed_report_to_goes_through_multitrack(tmp_path, report_to):
    if report_to is None and MAJOR < 5:
        pytest.skip("transformers 4 takes None for all that are installed")
    code = SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path), report_to=report_to)
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "MULTITRACK_REPORT_TO": "notebook",
            "NOTEBOOK_DIR": str(tmp_path / "notebook"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "multitrack.compat.transformers" in result.stdout
    assert "multitrack: notebook: delivered" in result.stderr
    [history] = histories(tmp_path)
    assert list(history.series["train/loss"].steps) == [2, 4, 6]
    assert history.status == "finished"


def test_report_to_multitrack_without_a_tracker_says_what_to_set(tmp_path, program, monkeypatch):
    monkeypatch.delenv("MULTITRACK_REPORT_TO", raising=False)
    code = SCRIPT.format(
        tests=str(Path(__file__).parent), out=str(tmp_path), report_to=["multitrack"]
    )
    ended = program(code)
    assert ended.code == 0, ended.output
    assert ended.output.count("MULTITRACK_REPORT_TO=tensorboard,wandb") == 1
    [run] = find_runs(tmp_path / "runs")
    assert list(read_history(run).series["train/loss"].steps) == [2, 4, 6]


def test_report_to_multitrack_with_none_is_nothing(monkeypatch, caplog):
    monkeypatch.setenv("MULTITRACK_REPORT_TO", "none")
    assert compat._reporting_through(lambda names: names)(["multitrack"]) == []
    assert not caplog.records
