"""The callback, driven with the events of a training loop: no torch and no Trainer."""

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oddities import made, names_and_values, recipes

from multitrack import TrackingCallback
from multitrack.trackers import configuration as configuration_module
from multitrack.trackers.callback import rename
from multitrack.trackers.configuration import configuration
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import (
    Artifact,
    End,
    Header,
    Metrics,
    Params,
    Resumed,
    Summary,
    Tags,
)
from multitrack.trackers.values import as_tree

EVENTS = [
    "on_init_end",
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_step_begin",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_substep_end",
    "on_step_end",
    "on_evaluate",
    "on_predict",
    "on_save",
    "on_log",
    "on_prediction_step",
    "on_push_begin",
]
"""Of the contract of transformers' Trainer."""


class Arguments(SimpleNamespace):
    def to_dict(self):
        return {"learning_rate": 0.1, "hub_token": "abc", "output_dir": self.output_dir}


class Parameter:
    def numel(self):
        return 21


class Model:
    config = SimpleNamespace(to_dict=lambda: {"hidden_size": 8})

    def parameters(self):
        return [Parameter(), Parameter()]


class Loop:
    """A training loop, as far as a callback sees it."""

    def __init__(self, callback, output_dir, **arguments):
        self.callback = callback
        self.args = Arguments(output_dir=str(output_dir), **arguments)
        self.state = SimpleNamespace(
            global_step=0,
            epoch=0.0,
            is_world_process_zero=True,
            best_model_checkpoint=None,
            best_metric=None,
        )

    def fire(self, event, **kwargs):
        kwargs = {"model": Model()} | kwargs
        getattr(self.callback, event)(self.args, self.state, SimpleNamespace(), **kwargs)

    def log(self, step, logs):
        self.state.global_step, self.state.epoch = step, step / 10
        self.fire("on_log", logs=logs | {"epoch": step / 10})

    def save(self, step, *, best=False):
        folder = Path(self.args.output_dir, f"checkpoint-{step}")
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"weights of step {step}")
        self.state.global_step = step
        if best:
            self.state.best_model_checkpoint, self.state.best_metric = str(folder), step / 10
        self.fire("on_save")

    def train(self):
        self.fire("on_train_begin")
        self.log(1, {"loss": 0.5})
        self.log(2, {"eval_loss": 0.25, "eval_accuracy": 0.75})
        self.fire("on_train_end")


@pytest.fixture
def loop(tmp_path):
    loops = []

    def make(output_dir=tmp_path / "out", arguments=None, **options):
        options = {"report_to": "none", "delivery": "later"} | options
        loops.append(Loop(TrackingCallback(**options), output_dir, **(arguments or {})))
        return loops[-1]

    yield make
    for one in loops:
        if one.callback.run:
            one.callback.run.finish(quiet=True, timeout=0)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("loss", "train/loss"),
        ("grad_norm", "train/grad_norm"),
        ("train_runtime", "train/train_runtime"),
        ("eval_loss", "eval/loss"),
        ("eval_", "eval/"),
        ("evaluation", "train/evaluation"),
        ("test_bleu_4", "test/bleu_4"),
        ("rewards/chosen", "train/rewards/chosen"),
        ("eval_rewards/chosen", "eval/rewards/chosen"),
        ("train/loss", "train/train/loss"),
        ("eval/f1", "train/eval/f1"),
        ("", "train/"),
        (3, "train/3"),
    ],
)
def test_rename(key, name):
    assert rename({key: 1.0, "epoch": 2.0}) == {name: 1.0}


class Hostile:
    def refuse(self, *args):
        raise RuntimeError("no")

    __str__ = __float__ = to_dict = __len__ = __iter__ = __int__ = refuse


ODD = st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.builds(Hostile)
ODD_TREES = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.builds(Hostile), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    logs=st.dictionaries(st.text() | st.integers() | st.builds(Hostile), ODD_TREES, max_size=3),
    config=ODD_TREES,
    names=st.sampled_from(["nested", "flat"]),
)
def test_no_value_of_a_loop_ends_training(loop, records, logs, config, names):
    one = loop(config_names=names)
    model = SimpleNamespace(config=config, peft_config=config, parameters=config)
    one.fire("on_train_begin", model=model)
    one.log(1, {**logs, "loss": 0.5})
    one.fire("on_predict", metrics=logs)
    one.state.is_hyper_param_search, one.state.trial_name = True, "trial"
    one.state.trial_params = config
    one.fire("on_train_begin", model=model)
    one.fire("on_train_end")
    one.callback.run.finish(quiet=True, timeout=0)
    first = read_history(find_runs(one.callback.run.folder.path.parent)[-2])
    assert first.series["train/loss"].last.value == 0.5
    assert "learning_rate" in (first.params if names == "flat" else first.params["args"])


# -- a run -----------------------------------------------------------------------------------------


def test_training(loop, records, tmp_path):
    one = loop(project="digits", name="first", tags="baseline", config={"seed": 7})
    one.train()
    run = one.callback.run
    assert run.folder.path.parent == tmp_path / "out" / "multitrack"
    (header,) = records(run, Header)
    assert (header.project, header.name, header.tags) == ("digits", "first", {"baseline": ""})
    assert header.config == {
        "args": {
            "learning_rate": 0.1,
            "hub_token": "<redacted>",
            "output_dir": str(tmp_path / "out"),
        },
        "model": {"hidden_size": 8, "num_parameters": 42},
        "config": {"seed": 7},
    }
    rows = [(r.step, r.epoch, r.values) for r in records(run, Metrics)]
    assert rows == [
        (1, 0.1, {"train/loss": 0.5}),
        (2, 0.2, {"eval/loss": 0.25, "eval/accuracy": 0.75}),
    ]
    assert [end.status for end in records(run, End)] == ["finished"]


def test_name_and_project_of_the_loop(loop, records):
    one = loop(arguments={"project": "of args", "run_name": "of args"})
    one.fire("on_train_begin")
    (header,) = records(one.callback.run, Header)
    assert (header.project, header.name) == ("of args", "of args")


def test_totals_are_single_values_too(loop, records):
    one = loop()
    one.log(3, {"train_loss": 0.5, "train_runtime": 9.0, "total_flos": 7, "loss": 0.1})
    (summary,) = records(one.callback.run, Summary)
    assert summary.values == {
        "train/train_loss": 0.5,
        "train/train_runtime": 9.0,
        "train/total_flos": 7,
    }


def test_run_begins_with_the_first_thing_that_is_logged(loop, records):
    one = loop()
    one.fire("on_predict", metrics={"test_loss": 0.5})
    one.fire("on_train_begin")
    run = one.callback.run
    assert [type(record) for record in records(run)] == [Header, Metrics, Params]
    assert records(run, Metrics)[0].values == {"test/loss": 0.5}
    assert len(find_runs(run.folder.path.parent)) == 1


def test_what_comes_after_training_belongs_to_the_run(loop, records):
    one = loop()
    one.train()
    one.log(2, {"eval_loss": 0.125})
    run = one.callback.run
    assert run.status == "running"
    run.finish(quiet=True)
    kinds = [type(record) for record in records(run)]
    assert kinds == [Header, Metrics, Metrics, End, Metrics, End]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("nan"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_failure(loop, records, error, status):
    one = loop()
    one.fire("on_train_begin")
    one.fire("on_exception", exception=error)
    run = one.callback.run
    run.finish(quiet=True)
    (end,) = records(run, End)
    assert (end.status, end.error) == (status, f"{type(error).__name__}: {error}")


def test_failure_before_the_run_begins_is_none_of_its_business(loop):
    one = loop()
    one.fire("on_exception", exception=ValueError())
    assert one.callback.run is None


def test_training_that_is_resumed_goes_on(loop, records):
    one = loop()
    one.train()
    assert one.state.global_step
    one.train()
    run = one.callback.run
    kinds = [type(record) for record in records(run)]
    assert kinds == [Header, Metrics, Metrics, End, Params, Metrics, Metrics, End]


@pytest.mark.parametrize("ending", ["on_train_end", "on_exception"])
def test_another_training_is_a_run_of_its_own(loop, records, ending):
    one, runs = loop(), []
    for fold in range(3):
        one.state.global_step = 0
        one.fire("on_train_begin")
        one.log(1, {"loss": fold})
        one.fire(ending, exception=ValueError("no"))
        one.log(1, {"eval_loss": fold})
        runs.append(one.callback.run)
    runs[-1].finish(quiet=True)
    assert len({run.id for run in runs}) == 3
    for fold, run in enumerate(runs):
        assert [r.values for r in records(run, Metrics)] == [
            {"train/loss": fold},
            {"eval/loss": fold},
        ]
        assert len(records(run, Header)) == 1
        assert records(run)[-1].status == "finished"


def test_a_failure_stays_one_when_another_training_begins(loop, records):
    one = loop()
    one.fire("on_train_begin")
    one.fire("on_exception", exception=ValueError("no"))
    run = one.callback.run
    one.fire("on_train_begin")
    assert one.callback.run is not run
    assert [(end.status, end.error) for end in records(run, End)] == [("failed", "ValueError: no")]


def test_a_run_that_was_asked_for_is_that_of_all_trainings(loop, records):
    one = loop(run_id="mine")
    for _ in range(2):
        one.state.global_step = 0
        one.train()
    assert one.callback.run.id == "mine"
    assert len(records(one.callback.run, Params)) == 1


def test_a_checkpoint_of_another_run_takes_that_up(loop, records):
    one = loop()
    one.train()
    first = one.callback.run
    one.state.global_step = 0
    one.train()
    assert one.callback.run.id != first.id
    one.callback.run_id = first.id  # as the Trainer restores it
    one.train()
    assert one.callback.run.id == first.id
    assert len(records(first, Resumed)) == 1


def test_every_trial_is_a_run_with_the_trials_name(loop, records):
    one = loop(name="search")
    found = []
    for number in range(2):
        vars(one.state).update(
            is_hyper_param_search=True,
            trial_name=f"lr-{number}",
            trial_params={"lr": number},
            global_step=0,
        )
        one.train()
        found.append(one.callback.run)
    found[-1].finish(quiet=True)
    assert [records(run, Header)[0].name for run in found] == ["lr-0", "lr-1"]
    assert [records(run, Tags)[0].values for run in found] == [{"trial": "lr-0"}, {"trial": "lr-1"}]
    assert [records(run, Params)[0].values["trial"] for run in found] == [{"lr": 0}, {"lr": 1}]


def test_every_event_of_the_contract_is_taken(loop):
    one = loop()
    for event in EVENTS:
        one.fire(event)
    assert one.callback.run.status == "finished"


def test_nothing_logged_is_no_run(loop):
    one = loop()
    for event in EVENTS:
        if event not in {"on_train_begin", "on_save"}:
            one.fire(event)
    assert one.callback.run is None


def test_model_without_configuration(loop, records):
    one = loop()
    one.fire("on_train_begin", model=None)
    assert list(records(one.callback.run, Header)[0].config) == ["args"]


class OddConfig:
    def to_dict(self):
        raise RuntimeError("no")

    def __str__(self):
        return "an odd one"


@dataclasses.dataclass
class Width:
    width: int = 7


class Plain:
    def __init__(self):
        self.width, self._hidden = 7, 8


class Refusing:
    def __init__(self, name):
        self.refused = name

    def __getattr__(self, name):
        if name == self.refused:
            raise RuntimeError("no")
        raise AttributeError(name)


NAMED = [{"width": 7}, Width(), SimpleNamespace(width=7), Plain()]


@pytest.mark.parametrize("config", NAMED, ids=lambda config: type(config).__name__)
def test_a_models_config_may_be_anything_with_names(config):
    found = as_tree(configuration({}, SimpleNamespace(config=config), None))
    assert found == {"args": {}, "model": {"width": 7}}


@pytest.mark.parametrize("names", ["nested", "flat"])
@pytest.mark.parametrize(
    "model",
    [
        SimpleNamespace(config=OddConfig()),
        SimpleNamespace(peft_config=OddConfig()),
        SimpleNamespace(config="tiny"),
        SimpleNamespace(config=3),
        Refusing("config"),
        Refusing("peft_config"),
        Refusing("parameters"),
        SimpleNamespace(parameters=lambda: [1]),
    ],
    ids=lambda model: str(vars(model)),
)
def test_an_odd_model_costs_no_argument(loop, records, model, names):
    one = loop(config={"seed": 7}, config_names=names)
    one.fire("on_train_begin", model=model)
    (header,) = records(one.callback.run, Header)
    kept = header.config if names == "flat" else header.config["args"]
    assert kept["learning_rate"] == 0.1
    assert "seed" in str(header.config)


def test_a_config_that_cannot_be_described_is_its_text():
    model = SimpleNamespace(config=OddConfig())
    assert configuration({}, model, None) == {"args": {}, "model": {"config": "an odd one"}}


def test_adapters_of_a_model_are_recorded():
    model = SimpleNamespace(peft_config={"default": {"r": 4}}, config={"width": 7})
    assert configuration({"lr": 1}, model, None) == {
        "args": {"lr": 1},
        "model": {"width": 7},
        "peft_config": {"default": {"r": 4}},
    }


FLAT = {
    "hidden_size": 8,
    "model/num_parameters": 42,
    "learning_rate": 0.1,
    "hub_token": "<redacted>",
    "seed": 7,
}


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_flat_names(loop, records, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("MULTITRACK_CONFIG_NAMES", "Flat")
    one = loop(config={"seed": 7}, **({"config_names": "flat"} if how == "argument" else {}))
    one.train()
    (header,) = records(one.callback.run, Header)
    assert header.config == {**FLAT, "output_dir": one.args.output_dir}


def test_flat_names_of_a_training_that_goes_on(loop, records):
    one = loop(config_names="flat")
    one.log(1, {"loss": 1})
    one.fire("on_train_begin")
    assert records(one.callback.run, Params)[0].values["learning_rate"] == 0.1


def test_where_flat_names_meet_the_later_wins():
    model = SimpleNamespace(config={"dtype": "of the model", "lr": 0, "seed": 0})
    args = {"lr": 1, "seed": 1}
    assert configuration(args, model, {"seed": 2}, "flat") == {
        "dtype": "of the model",
        "lr": 1,
        "seed": 2,
        "model/lr": 0,
        "model/seed": 0,
        "args/seed": 1,
    }


class Key:
    """A name that is no text, and that no other is equal to."""

    def __str__(self):
        return "loss"


NAMES = st.sampled_from(["model/a", "args/a", "a", "b", "model/num_parameters"])


@given(st.lists(st.dictionaries(NAMES, st.integers(0, 99)), min_size=3, max_size=3))
def test_no_value_is_lost_where_flat_names_meet(parts):
    of_model, args, own = parts
    model = SimpleNamespace(config=of_model, parameters=Model().parameters)
    flat = configuration(args, model, own, "flat")
    values = [value for part in parts for value in part.values()]
    assert set(flat.values()) == {*values, 42}


def test_two_keys_of_one_text_stay_two():
    row = {Key(): 1.0, "loss": 2.0, Key(): 3.0, "eval_loss": 4.0}
    renamed = {"train/loss": 1.0, "train/loss_2": 2.0, "train/loss_3": 3.0, "eval/loss": 4.0}
    assert rename(row) == renamed


class EndlessModel(Model):
    def parameters(self):
        while True:
            yield Parameter()


def test_a_model_whose_parameters_have_no_end_is_not_counted(loop, records, monkeypatch, caplog):
    monkeypatch.setattr(configuration_module, "MOST_PARAMETERS", 1000)
    one = loop()
    one.fire("on_train_begin", model=EndlessModel())
    (header,) = records(one.callback.run, Header)
    assert header.config["model"] == {"hidden_size": 8}
    assert "more than 1,000" in caplog.text


# -- checkpoints -----------------------------------------------------------------------------------


class Odd:
    def __bool__(self):
        raise RuntimeError("no truth")

    def __fspath__(self):
        raise RuntimeError("no path")


ODD = [Odd(), "a\0b", "x" * 5000, 7, b"bytes"]


@pytest.mark.parametrize("field", ["best_model_checkpoint", "checkpoint_dir", "output_dir"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_no_odd_place_of_a_checkpoint_raises_into_training(loop, records, field, odd):
    one = loop(log_model="all", dir="runs")
    one.fire("on_train_begin")
    if field == "checkpoint_dir":
        one.fire("on_save", checkpoint_dir=odd)
    else:
        setattr(one.args if field == "output_dir" else one.state, field, odd)
        one.args.load_best_model_at_end = True
        one.fire("on_save")
    one.log(1, {"loss": 0.5})
    one.fire("on_train_end")
    assert len(records(one.callback.run, Metrics)) == 1
    assert records(one.callback.run, End)


def test_checkpoint_carries_the_run(loop, records):
    first = loop()
    first.train()
    first.callback.run.finish(quiet=True)
    kept = first.callback.state()
    assert kept["attributes"] == {"run_id": first.callback.run.id, "run_rank": "0"}
    second = loop()
    vars(second.callback).update(vars(TrackingCallback.from_state(kept)))  # as a Trainer restores
    second.train()
    assert second.callback.run.id == first.callback.run.id
    assert len(records(second.callback.run, Header)) == 1
    assert len(records(second.callback.run, Resumed)) == 1


@pytest.mark.parametrize(
    ("log_model", "names", "aliases"),
    [
        ("none", [], []),
        ("all", ["checkpoint-10", "checkpoint-20", "checkpoint-30"], [[], ["best"], []]),
        ("best", ["checkpoint-20"], [["best"]]),
        ("last", ["checkpoint-30"], [["last"]]),
    ],
)
def test_log_model(loop, records, log_model, names, aliases):
    one = loop(log_model=log_model)
    one.fire("on_train_begin")
    one.save(10)
    one.save(20, best=True)
    one.save(30)
    one.fire("on_train_end")
    artifacts = records(one.callback.run, Artifact)
    assert [artifact.name for artifact in artifacts] == names
    assert [artifact.aliases for artifact in artifacts] == aliases
    assert [f"checkpoint-{artifact.step}" for artifact in artifacts] == names
    assert {artifact.kind for artifact in artifacts} <= {"checkpoint"}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, []),
        ({"NOTEBOOK_KEEP": "true"}, [10, 20, 30]),
        ({"NOTEBOOK_KEEP": "end"}, [30]),
        ({"NOTEBOOK_KEEP": "best"}, [20]),
        ({"NOTEBOOK_KEEP": "all", "MULTITRACK_LOG_MODEL": "best"}, [20]),
        ({"NOTEBOOK_KEEP": "false", "MULTITRACK_LOG_MODEL": "all"}, [10, 20, 30]),
        ({"NOTEBOOK_KEEP": "all", "log_model": "none"}, []),
        ({"MULTITRACK_LOG_MODEL": "all", "log_model": "last"}, [30]),
        ({"log_model": "all", "settings": {"notebook": {"log_model": "last"}}}, [30]),
    ],
)
def test_backend_gets_the_checkpoints_that_were_asked_for(
    loop, notebook, monkeypatch, asked, names
):
    options = {key: asked[key] for key in asked if key.islower()}
    for variable in asked.keys() - options:
        monkeypatch.setenv(variable, asked[variable])
    one = loop(report_to="notebook", delivery="inline", **options)
    one.fire("on_train_begin")
    one.save(10)
    one.save(20, best=True)
    one.save(30)
    one.fire("on_train_end")
    got = [line["key"] for line in notebook.lines(one.callback.run, "artifact")]
    assert got == [f"checkpoint-{step}" for step in names]


def test_what_one_backend_asked_for_is_withheld_from_the_others(loop, records, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_KEEP", "all")
    monkeypatch.setenv("MULTITRACK_PYTHON_TENSORBOARD", sys.executable)  # needs no client here
    one = loop(report_to=["notebook", "tensorboard"])
    one.fire("on_train_begin")
    one.save(10)
    one.fire("on_train_end")
    (artifact,) = records(one.callback.run, Artifact)
    assert artifact.withheld_from == ["tensorboard"]


def test_last_is_the_one_that_training_ends_with(loop, records):
    one = loop(log_model="last", arguments={"load_best_model_at_end": True})
    one.fire("on_train_begin")
    one.save(10, best=True)
    one.save(20)
    one.fire("on_train_end")
    (artifact,) = records(one.callback.run, Artifact)
    assert (artifact.name, artifact.aliases) == ("checkpoint-10", ["best", "last"])


def test_best_of_an_earlier_process_does_not_make_the_next_one_best(loop, records, tmp_path):
    one = loop(log_model="best")
    one.state.best_model_checkpoint = str(tmp_path / "out" / "checkpoint-10")
    one.fire("on_train_begin")
    one.save(20)
    assert records(one.callback.run, Artifact) == []


def test_checkpoint_elsewhere(loop, records, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    one = loop(log_model="all")
    one.fire("on_train_begin")
    one.fire("on_save", checkpoint_dir=tmp_path / "elsewhere")
    assert [artifact.name for artifact in records(one.callback.run, Artifact)] == ["elsewhere"]


def test_log_model_from_the_environment(loop, monkeypatch):
    monkeypatch.setenv("MULTITRACK_LOG_MODEL", "BEST")
    assert loop().callback.log_model == "best"
    assert loop(log_model="none").callback.log_model == "none"


# -- ranks -----------------------------------------------------------------------------------------


def test_only_the_first_rank_records(loop):
    one = loop(log_model="all")
    one.state.is_world_process_zero = False
    for event in EVENTS:
        one.fire(event)
    one.log(1, {"loss": 0.5})
    assert one.callback.run is None


def test_every_rank_records_a_run_of_its_own(loop, records, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    one = loop(log_ranks="all", name="digits", run_id="a-run")
    one.state.is_world_process_zero = False
    one.train()
    run = one.callback.run
    assert records(run, Header)[0].name == "digits-rank3"
    assert records(run, Tags)[0].values == {"rank": "3"}
    assert run.id != "a-run"


def test_every_rank_has_the_name_of_the_environment(loop, records, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MULTITRACK_RUN_NAME", "digits")
    one = loop(log_ranks="all")
    one.train()
    assert records(one.callback.run, Header)[0].name == "digits-rank1"


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"report_to": "noteboook"}, "'noteboook' is no known backend"),
        ({"log_model": "some"}, "log_model is 'some'; allowed: none, last, best, all"),
        (
            {"config_names": "some"},
            "config_names is 'some'; allowed: nested, flat",
        ),
        ({"log_ranks": "some"}, "log_ranks is 'some'; allowed: main, all"),
        ({"delivery": "soon"}, "delivery is 'soon'; allowed: process, thread, inline, later"),
        ({"finish_timeout": "soon"}, "finish_timeout is 'soon'; allowed: a number of seconds"),
        ({"run_id": "../x"}, "run_id is '../x'"),
        (
            {"report_to": "notebook", "settings": {"notebook": {"papr": 1}}},
            "NotebookSettings has no setting 'papr'",
        ),
        (
            {"settings": {"notebook": {}}},
            "settings are given for notebook, but the run reports to n",
        ),
    ],
)
def test_mistake_is_found_before_training_starts(tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TrackingCallback(**{"report_to": "none"} | options)


def test_mistake_in_the_environment_is_found_too(monkeypatch, notebook):
    monkeypatch.setenv("MULTITRACK_LOG_MODEL", "some")
    with pytest.raises(ValueError, match="MULTITRACK_LOG_MODEL is 'some'"):
        TrackingCallback("none")
    monkeypatch.delenv("MULTITRACK_LOG_MODEL")
    monkeypatch.setenv("NOTEBOOK_PAPER", "blue")
    with pytest.raises(ValueError, match="NOTEBOOK_PAPER holds 'blue'"):
        TrackingCallback("notebook")


@pytest.mark.parametrize("report_to", ["notebook", ["notebook"]])
def test_delivery(loop, notebook, report_to):
    one = loop(report_to=report_to, delivery="thread")
    one.train()
    one.callback.run.finish(timeout=60, quiet=True)
    assert notebook.points(one.callback.run, "train/loss") == [(1, 0.5)]
    assert notebook.outcomes(one.callback.run) == ["finished"]


def test_directory_from_the_environment(loop, tmp_path, monkeypatch):
    monkeypatch.setenv("MULTITRACK_DIR", str(tmp_path / "runs"))
    one = loop()
    one.fire("on_train_begin")
    assert one.callback.run.folder.path.parent == tmp_path / "runs"


@given(recipes, names_and_values())
def test_no_value_of_a_loop_raises_into_it(tmp_path_factory, recipe, row):
    loop = Loop(
        TrackingCallback(
            dir=tmp_path_factory.getbasetemp() / "odd", delivery="later", config=made(row)
        ),
        "out",
        odd=made(recipe),
        run_name=made(recipe),
    )
    model = SimpleNamespace(config=made(recipe), peft_config=made(recipe), parameters=made(recipe))
    loop.fire("on_train_begin", model=model)
    loop.fire("on_log", logs=made(recipe))
    loop.fire("on_log", logs={"first": 0.5, **made(row), "last": 0.25})
    loop.fire("on_predict", metrics=made(recipe))
    loop.fire("on_predict", metrics={**made(row), "test_last": 0.25})
    loop.state.epoch = loop.state.global_step = made(recipe)
    loop.fire("on_log", logs={"end": 0.125})
    loop.callback.run.finish(quiet=True)
    history = read_history(loop.callback.run.folder)
    for name in ("train/first", "train/last", "test/last", "train/end"):
        assert len(history.series[name].values) == 1
