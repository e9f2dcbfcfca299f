"""MLflow: the conformance suite on a database and on a server; params, metrics and the run."""

import getpass
import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric, _validate_tag
from mlflow_bench import NOW, answer_of, metrics, params
from mlflow_reader import Reader
from mlflow_server import Server
from packaging.version import Version

from multitrack.trackers.backends import _mlflow_names as names
from multitrack.trackers.names import unescape
from multitrack.trackers.protocol import Parked, Refused
from multitrack.trackers.records import Git, Metrics, Params, Summary, Tags, Text
from multitrack.trackers.testing import TrackerConformance

pytest_plugins = ["mlflow_fixtures"]

LARGEST = sys.float_info.max
NAMES = st.text(st.sampled_from("//..__x2f:~+%é✓\n a") | st.characters(), min_size=1, max_size=40)
OLD = Version(mlflow.__version__) < Version("3.0")


@pytest.fixture(scope="session")
def server(tmp_path_factory, template):
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, shutil.copy(template, folder / "mlflow.db"))
    server.start()
    yield server
    server.kill()


TOO_LONG = frozenset(
    {
        *("names/" + "p" * 300, "names/" + "p" * 299 + "q"),
        *("s" * 300, "s" * 299 + "t"),
        *("k" * 300, "k" * 299 + "l"),
    }
)
"""Names of params, single values and media of which the server makes no key and no file."""


class MLflowConformance(TrackerConformance):
    """What holds for every store."""

    __test__ = False
    tracker = "mlflow"
    by_hand = "native.client.log_metric(native.run_id, 'by_hand', value, step=step)"
    refused_names = frozenset({"x" * 300, "x" * 299 + "y"})
    refused_keys = TOO_LONG
    statuses: ClassVar = {"interrupted": "killed"}
    keeps_epoch = False  # it is a metric of its own: see test_epoch_is_a_metric

    def read(self, folder, state):
        return Reader(os.environ["MLFLOW_TRACKING_URI"], state.attachment.id).read()

    def stored_number(self, value):
        return max(-LARGEST, min(LARGEST, float(value))) if not math.isnan(value) else value

    def stored_points(self, points):
        return sorted(points, key=lambda p: (int(p.time * 1000), p.step, p.value))

    def stored_param(self, value):
        return str(value)

    def stored_summary(self, value):
        return value if isinstance(value, str) else float(value)


class TestDatabase(MLflowConformance):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _tables(self, template):
        type(self).template = template

    def environ(self, tmp_path):
        database = tmp_path / "mlflow.db"
        if not database.exists():
            shutil.copy(self.template, database)
        return {"MLFLOW_TRACKING_URI": f"sqlite:///{database}"}

    def count_runs(self, folder, state):
        client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
        return len(client.search_runs([e.experiment_id for e in client.search_experiments()]))


class TestServer(MLflowConformance):
    __test__ = True
    output: ClassVar = ["View (run|experiment)"] if OLD else []

    @pytest.fixture(autouse=True)
    def _address(self, server):
        type(self).uri = server.uri

    def environ(self, tmp_path):
        return {"MLFLOW_TRACKING_URI": self.uri}


# -- params, tags, summary ------------------------------------------------------------------------


def test_later_value_of_a_param_is_a_tag_and_takes_no_other_param_along(bench):
    tracker = bench.start()
    tracker.log_params(params(args={"lr": 0.1, "seed": 1}))
    tracker.log_params(params(args={"lr": 0.1, "seed": 2, "batch": 16}))
    assert bench.stored.data.params == {"args/lr": "0.1", "args/seed": "1", "args/batch": "16"}
    assert bench.stored.data.tags["params/args/seed"] == "2"
    tracker.log_params(params(args={"seed": 1}))
    assert bench.stored.data.tags["params/args/seed"] == "1", "the newest value, again"
    assert "params/args/lr" not in bench.stored.data.tags


def test_long_texts_are_marked_and_kept_whole(bench):
    long = "é" * 7000
    tracker = bench.start(notes=long, settings={"tags": {"from": long}})
    tracker.log_params(params(text=long, lr=0.1))
    tracker.set_tags(Tags(time=NOW + 1, values={"tag": long}))
    tracker.log_summary(Summary(time=NOW, values={"why": long}))
    stored = bench.stored
    shown = [stored.data.tags[key] for key in ("mlflow.note.content", "tag", "summary/why", "from")]
    for text in (*shown, stored.data.params["text"]):
        assert text.endswith(" … [7000 characters in all: see the run's artifacts]")
        assert text.startswith("é" * 4900)
    kept = {path: json.loads(content) for path, content in stored.files.items()}
    assert [kept[path] for path in sorted(kept)] == [
        {"notes": long},
        {"text": long, "lr": 0.1},
        {"summary/why": long},
        {"from": long},
        {"tag": long},
    ]


def test_params_of_many_and_again(bench):
    tracker = bench.start()
    many = params(**{f"p{i}": i for i in range(250)})
    tracker.log_params(many)
    tracker.log_params(many)
    assert len(bench.stored.data.params) == 250
    assert not bench.stored.files


def test_params_beyond_the_users_limit_are_in_the_artifact(bench):
    tracker = bench.start(settings={"max_log_params": 2})
    tracker.log_params(params(a=1, b=2, c=3))
    tracker.log_params(Params(time=NOW + 1, values={"d": 4}))
    assert bench.stored.data.params == {"a": "1", "b": "2"}
    kept = [json.loads(content) for _, content in sorted(bench.stored.files.items())]
    assert kept == [{"a": 1, "b": 2, "c": 3}, {"d": 4}]


def test_params_stay_nested_below_their_group_if_the_user_wants_it(bench):
    tracker = bench.start(settings={"flatten_params": False})
    tracker.log_params(params(seed=1, model={"rope": {"theta": 1.0}, "width": 64}))
    assert bench.stored.data.params == {
        "seed": "1",
        "model/rope": "{'theta': 1.0}",
        "model/width": "64",
    }


def test_two_params_of_one_flat_name_are_not_merged(bench):
    tracker = bench.start()
    tracker.log_params(Params(time=NOW, values={"a/b": 1, "a": {"b": 2, "c": 3}}))
    assert bench.stored.data.params == {"a/b": "1", "a/b_2": "2", "a/c": "3"}


def test_summary_can_be_sorted_by_and_is_no_curve(bench):
    tracker = bench.start()
    tracker.log_metrics([metrics(9, accuracy=0.5)])
    tracker.log_summary(Summary(time=NOW, values={"accuracy": 0.75, "why": "patience"}))
    tracker.log_summary(Summary(time=NOW + 1, values={"accuracy": 0.625}))
    assert bench.points("accuracy") == [(9, 0.5, (NOW + 9) * 1000)]
    assert bench.stored.data.metrics["summary/accuracy"] == 0.625
    assert bench.stored.data.tags["summary/why"] == "patience"


def test_a_users_name_is_not_taken_for_one_of_ours(bench):
    tracker = bench.start()
    tracker.log_metrics([Metrics(time=NOW, step=3, values={"summary/x": 1.0})])
    tracker.log_summary(Summary(time=NOW, values={"x": 2.0}))
    tracker.set_tags(Tags(time=NOW, values={"params/x": "mine"}))
    stored = bench.stored.read()
    assert [p.value for p in stored.metrics["summary/x"]] == [1.0]
    assert stored.summary == {"x": 2.0}
    assert stored.tags == {"params/x": "mine"}


# -- metrics --------------------------------------------------------------------------------------


def test_epoch_is_a_metric(bench):
    tracker = bench.start()
    own = Metrics(time=NOW + 3, step=3, epoch=1.5, values={"epoch": 9})
    tracker.log_metrics([metrics(1, 0.5, loss=2.0), metrics(2, loss=1.0), own])
    assert bench.points("epoch") == [(1, 0.5, (NOW + 1) * 1000), (3, 9.0, (NOW + 3) * 1000)]


def test_names_that_are_too_long_are_refused_and_the_others_stored(bench):
    tracker = bench.start()
    with pytest.raises(Refused) as refused:
        tracker.log_metrics([metrics(1, **{"y" * 251: 1.0, "x" * 250: 2.0})])
    assert refused.value.parts == {
        "y" * 251: "MLflow takes at most 250 characters for a name",
    }
    assert bench.points("x" * 250) == [(1, 2.0, (NOW + 1) * 1000)]


def test_extreme_steps(bench):
    tracker = bench.start()
    tracker.log_metrics(
        [Metrics(time=NOW, step=s, values={"x": 1.0}) for s in (-(2**63), 2**63 - 1)]
    )
    assert [step for step, *_ in bench.points("x")] == [-(2**63), 2**63 - 1]


def test_repeated_points_stand_once_non_finite_ones_too(bench):
    tracker = bench.start()
    odd = [metrics(1, a=float("nan"), b=float("inf"), c=2**60, d=True)]
    for batch in (odd, odd * 2, [*odd, metrics(2, a=float("nan"))]):
        tracker.log_metrics(batch)
    assert [step for step, *_ in bench.points("a")] == [1, 2]
    assert [bench.points(key)[0][1] for key in "bcd"] == [LARGEST, 2.0**60, 1.0]
    assert all(len(bench.points(key)) == 1 for key in "bcd")


def test_asynchronous_logging_of_the_user_does_not_swallow_what_goes_wrong(bench, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    tracker = bench.start()
    MlflowClient(tracking_uri=bench.uri).delete_run(bench.attachment.id)
    for call in (
        lambda: tracker.log_metrics([metrics(1, loss=1.0)]),
        lambda: tracker.set_tags(Tags(time=NOW, values={"a": "b"})),
    ):
        assert isinstance(answer_of(call), Parked)


ODD = ["/a", "a//b", "a/", "/", ".", "..", "...", "../x", "a/./b", "a/..", "_x2f_", "a_x", "_/"]


def check_key(name):
    key = names.key(name)
    _validate_metric(key, 1.0, 1, 1)
    _validate_tag(key, "")
    assert unescape(key) == name


def check_path(name):
    path = names.path(name)
    assert all(part not in {"", ".", ".."} for part in path.split("/"))
    assert unescape(path) == name
    assert unescape(names.file_path(name)) == name
    assert unescape(names.image_key(name).replace("~", "/")) == name
    assert names.image_key(name).isascii()


@pytest.mark.parametrize("check", [check_key, check_path])
@pytest.mark.parametrize("name", ODD)
def test_odd_name_is_one_that_mlflow_takes_and_comes_back(check, name):
    check(name)


@pytest.mark.parametrize("check", [check_key, check_path])
@given(name=NAMES)
def test_every_name_is_one_that_mlflow_takes_and_comes_back(check, name):
    check(name)


# -- the run --------------------------------------------------------------------------------------


def test_run_says_where_it_comes_from(bench):
    tracker = bench.start(
        name="small net",
        notes="why",
        command=["/usr/bin/python3", "train.py", "--lr", "0.1"],
        git=Git(commit="0" * 40, branch="main"),
    )
    tracker.log_metrics([metrics(7, loss=1.0)])
    tracker.finish("finished")
    info, tags = bench.stored.info, bench.stored.data.tags
    assert (info.run_name, info.status) == ("small net", "FINISHED")
    assert (info.start_time, info.end_time) == (NOW * 1000, (NOW + 7) * 1000)
    assert tags == {
        "multitrack.run_id": bench.folder.run_id,
        "mlflow.note.content": "why",
        "mlflow.runName": "small net",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.commit": "0" * 40,
        "mlflow.source.name": "train.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": getpass.getuser(),
    }


def test_a_run_without_a_name_leaves_the_users_random_numbers_alone(bench):
    random.seed(42)
    before = random.getstate()
    bench.start()
    assert bench.stored.info.run_name == bench.folder.run_id
    assert random.getstate() == before
    assert mlflow.active_run() is None


def test_run_that_goes_on_is_running(bench):
    tracker = bench.start()
    tracker.finish("failed")
    assert bench.stored.info.status == "FAILED"
    first = bench.attachment
    tracker = bench.start(attachment=first, settings={"tags": {"team": "vision"}})
    assert (bench.attachment, bench.stored.info.status) == (first, "RUNNING")
    tracker.finish("interrupted")
    assert bench.stored.info.status == "KILLED"
    assert bench.stored.info.end_time > NOW * 1000, "now, as nothing was logged"


def test_a_run_whose_courier_died_at_once_is_found_again(bench):
    bench.start(project="p")
    first = bench.attachment
    bench.start(project="p")
    assert bench.attachment == first


@pytest.mark.parametrize(
    ("header", "settings", "expected"),
    [
        ({}, {}, "Default"),
        ({}, {"experiment_name": "set"}, "set"),
        ({"project": "given"}, {"experiment_name": "set"}, "set"),
        ({"project": "/Users/me/a?b"}, {}, "/Users/me/a?b"),
    ],
)
def test_experiment(bench, header, settings, expected):
    tracker = bench.start(**header, settings=settings)
    tracker.log_text(Text(time=NOW, step=1, key="t", text="x"))
    assert bench.stored.read().project == expected
    if expected != "Default":
        assert Path(bench.stored.info.artifact_uri).is_relative_to(bench.tmp_path / "mlruns")


def test_experiment_by_id(bench):
    chosen = MlflowClient(tracking_uri=bench.uri).create_experiment("chosen")
    bench.start(project="other", settings={"experiment_id": chosen})
    assert bench.stored.read().project == "chosen"


def test_what_another_call_exports_does_not_beat_what_the_run_says(bench):
    """``mlflow.set_experiment`` exports an id, perhaps of another store."""
    environ = {"MLFLOW_EXPERIMENT_ID": "999", "MLFLOW_EXPERIMENT_NAME": "variable"}
    bench.start(project="mine", environ=environ)
    assert bench.stored.read().project == "mine"


def test_an_experiments_name_in_code_beats_exported_ids(bench):
    bench.start(settings={"experiment_name": "said"}, environ={"MLFLOW_EXPERIMENT_ID": "999"})
    assert bench.stored.read().project == "said"


def test_run_of_the_users_choice_is_gone_on_with(bench):
    client = MlflowClient(tracking_uri=bench.uri)
    theirs = client.create_run("0", run_name="theirs").info.run_id
    client.log_param(theirs, "lr", "0.1")
    tracker = bench.start(project="ignored", settings={"run_id": theirs})
    tracker.log_params(params(lr=0.2))
    assert bench.attachment.id == theirs
    assert bench.stored.info.run_name == "theirs"
    assert bench.stored.data.params == {"lr": "0.1"}
    assert bench.stored.data.tags["params/lr"] == "0.2"


def test_nested_run_is_a_child(bench):
    parent = MlflowClient(tracking_uri=bench.uri).create_run("0").info.run_id
    bench.start(settings={"run_id": parent, "nested_run": True})
    assert bench.attachment.id != parent
    assert bench.stored.data.tags["mlflow.parentRunId"] == parent


def test_tags_of_the_environment(bench):
    bench.start(settings={"tags": {"team": "vision", "try": 3}})
    assert bench.stored.read().tags == {"team": "vision", "try": "3"}


@pytest.mark.parametrize("settings", [{"run_id": "0" * 32}, {"experiment_id": "77"}])
def test_what_is_not_there_waits_for_a_person(bench, settings):
    answer = answer_of(bench.start, settings=settings)
    assert isinstance(answer, Parked)
    assert "MLFLOW_TRACKING_URI" in answer.remedy


def test_a_deleted_run_waits_to_be_restored(bench):
    tracker = bench.start()
    MlflowClient(tracking_uri=bench.uri).delete_run(bench.attachment.id)
    for call in (
        lambda: tracker.log_metrics([metrics(1, loss=1.0)]),
        lambda: bench.start(attachment=bench.attachment),
    ):
        answer = answer_of(call)
        assert isinstance(answer, Parked)
        assert "mlflow runs restore" in answer.remedy


def test_a_deleted_experiment_waits_to_be_restored(bench):
    client = MlflowClient(tracking_uri=bench.uri)
    client.delete_experiment(client.create_experiment("gone"))
    answer = answer_of(bench.start, project="gone")
    assert isinstance(answer, Parked)
    assert "mlflow experiments restore" in answer.remedy


def test_fluent_calls_by_hand(bench, tmp_path):
    """A script's own mlflow.log_metric goes to the run, beside the courier's thread."""
    code = """
import sys
import mlflow
from multitrack import start_run
run = start_run(report_to="mlflow", dir=sys.argv[1], delivery="thread")
client, run_id = run.native("mlflow")
mlflow.set_tracking_uri(client.tracking_uri)
mlflow.log_metric("by_hand", 0.5, step=1, run_id=run_id)
run.log({"loss": 2.5}, step=3)
[report] = run.finish("failed", quiet=True, timeout=120)
assert report.delivered, report
print(run_id)
"""
    environ = {**os.environ, "MLFLOW_TRACKING_URI": bench.uri}
    command = [sys.executable, "-c", code, str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert not done.returncode, done.stderr
    stored = Reader(bench.uri, done.stdout.split()[-1]).read()
    points = {name: (found[0].step, found[0].value) for name, found in stored.metrics.items()}
    assert points == {"by_hand": (1, 0.5), "loss": (3, 2.5)}
    assert stored.status == "failed"
