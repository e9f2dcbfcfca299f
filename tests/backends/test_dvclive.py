"""DVCLive: the conformance suite, read back with DVCLive's and DVC's own readers."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest
from dvc.api import exp_show, metrics_show, params_show
from dvc.repo import Repo
from dvclive.serialize import load_yaml
from dvclive.utils import parse_json, parse_tsv

from multitrack import start_run
from multitrack.trackers.backends._dvclive import load, take_folder
from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance


def number(text):
    if text in {"True", "False"}:
        return text == "True"
    return int(text) if text.lstrip("-").isdigit() else float(text)


class Folder:
    """DVCLive's folder of one run."""

    def __init__(self, path):
        self.path = Path(path)
        self.kept = parse_json(self.path / "multitrack.json")

    def name(self, path):
        return self.kept["names"].get(path, unescape(path))

    def metrics(self):
        found = {}
        for file in sorted((self.path / "plots" / "metrics").rglob("*.tsv")):
            path = file.relative_to(self.path / "plots" / "metrics").with_suffix("").as_posix()
            name = self.name(path)
            found[name] = [
                Point(int(row["step"]), number(row[file.stem])) for row in parse_tsv(file)
            ]
        return found

    def media(self):
        found = {}
        for root in (self.path / "plots" / "images", self.path / "media"):
            files = sorted(path for path in root.rglob("*") if path.is_file())
            for file in sorted(files, key=lambda path: int(path.stem)):
                kind, *key = file.parent.relative_to(root).parts
                caption = self.kept["captions"].get(file.relative_to(self.path).as_posix())
                item = Item(int(file.stem), content(kind, file), caption)
                found.setdefault(kind, {}).setdefault(self.name("/".join(key)), []).append(item)
        return found

    def artifacts(self):
        found = {}
        for place in sorted(
            self.kept["artifacts"], key=lambda place: int(place.rpartition("/")[2])
        ):
            folder = self.path / place
            files = [path for path in folder.rglob("*") if path.is_file()]
            name = self.name(place.removeprefix("artifacts/").rpartition("/")[0])
            found[name] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
        return found


def content(kind, file):
    if kind == "text":
        return file.read_bytes().decode()
    if kind == "table":
        table = parse_json(file)
        return table["columns"], table["data"]
    if kind == "histogram":
        bins = parse_json(file)
        return bins["edges"], bins["counts"]
    return file.read_bytes()


class TestDVCLive(TrackerConformance):
    tracker = "dvclive"
    by_hand = "native.step = step; native.log_metric('by_hand', value)"
    time_resolution = None

    def environ(self, tmp_path):
        return {"DVCLIVE_DIR": str(tmp_path / "live"), "DVC_NO_ANALYTICS": "1"}

    def read(self, folder, state):
        stored = Folder(state.attachment.state["folder"])
        metrics = stored.metrics()
        epochs = {point.step: point.value for point in metrics.get("epoch", [])}
        probe = [p._replace(epoch=epochs[p.step]) for p in metrics.get("epoch/probe", [])]
        params = stored.path / "params.yaml"
        return StoredRun(
            name=stored.kept["run"].get("name"),
            project=stored.kept["run"].get("project"),
            notes=stored.kept["run"].get("notes"),
            status=stored.kept["status"],
            params=dict(flatten(load_yaml(params) if params.exists() else {})),
            metrics=metrics | ({"epoch/probe": probe} if probe else {}),
            tags=stored.kept["tags"],
            summary=parse_json(stored.path / "metrics.json").get("summary", {}),
            media=stored.media(),
            artifacts=stored.artifacts(),
        )

    def count_runs(self, folder, state):
        return len(list(Path(state.attachment.state["folder"]).parent.glob("live*/metrics.json")))


# -- what only DVCLive has -------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _outside_of_any_repository(tmp_path, monkeypatch):
    """DVC takes the repository that the working directory lies in, and Git's user from home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{level}", os.devnull)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


def git(*arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def dvc(_outside_of_any_repository):
    """A DVC repository in the working directory."""
    git("init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "begin")


def deliver(record, **options):
    with start_run(report_to="dvclive", dir="runs", **options) as run:
        record(run)
        [report] = run.finish(timeout=120, quiet=True)
    return run, report


def log_some(run):
    run.log_params({"optim": {"lr": 0.1}})
    for step in range(3):
        run.log({"train/loss": step / 4}, step=step)


def test_a_run_is_an_experiment(dvc):
    run, report = deliver(log_some, name="small net", notes="why")
    assert report.delivered, report
    assert params_show("dvclive/params.yaml") == {"optim": {"lr": 0.1}}
    assert metrics_show("dvclive/metrics.json")["train"] == {"loss": 0.5}
    [row] = [row for row in exp_show() if run.id in (row["Experiment"] or "")]
    assert row["Experiment"] == f"small_x20_net-{run.id}"
    assert float(row["train.loss"]) == 0.5
    assert float(row["optim.lr"]) == 0.1
    command = [sys.executable, "-m", "dvc", "plots", "diff", "--json"]
    plots = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "train/loss" in plots


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "mine", "settings": {"dvclive": {"exp_name": "told"}}}, "told"),
        ({"name": "mine"}, "mine-{id}"),
        ({}, "of-the-variable"),
    ],
    ids=["argument", "own", "variable"],
)
def test_what_names_an_experiment(dvc, monkeypatch, options, expected):
    monkeypatch.setenv("DVC_EXP_NAME", "of-the-variable")
    run, report = deliver(log_some, **options)
    assert report.delivered, report
    names = [row["Experiment"] for row in exp_show() if row["Experiment"]]
    assert names == [expected.format(id=run.id)]


def test_experiments_of_one_folder(dvc):
    """Once a run is an experiment, the next one may have its folder, as with Live itself."""
    first, _ = deliver(log_some, name="first")
    second, _ = deliver(lambda run: run.log({"train/loss": 9.0}, step=1), name="second")
    losses = {row["Experiment"]: row["train.loss"] for row in exp_show() if row["Experiment"]}
    assert {name: float(losses[name]) for name in losses} == {
        f"first-{first.id}": 0.5,
        f"second-{second.id}": 9.0,
    }
    assert not list(Path().glob("dvclive-*"))


def test_a_resumed_run_is_the_same_experiment(dvc):
    run, _ = deliver(log_some)
    deliver(lambda run: run.log({"train/loss": 9.0}, step=3), run_id=run.id)
    [row] = [row for row in exp_show() if row["Experiment"]]
    assert float(row["train.loss"]) == 9.0
    points = Folder("dvclive").metrics()["train/loss"]
    assert [(p.step, p.value) for p in points] == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 9.0)]


def test_artifacts_are_tracked(dvc):
    Path("model.bin").write_bytes(b"weights")

    def record(run):
        run.log_artifact("model.bin", name="net", kind="model", step=7, aliases=["best"])

    deliver(record)
    assert Path("dvclive/artifacts/net/7.dvc").is_file()
    with Repo() as repo:
        artifact = repo.artifacts.read()["dvc.yaml"]["net"]
    assert (artifact.type, artifact.labels) == ("model", ["best"])
    assert artifact.path == "dvclive/artifacts/net/7"


def test_another_dvc_command_is_waited_for(dvc):
    with Repo() as repo, ExitStack() as held:
        held.enter_context(repo.lock)
        with start_run(report_to="dvclive", dir="runs") as run:
            log_some(run)
            run.finish(wait=False)
            courier = run.folder.courier("dvclive")
            await_phase(courier, "retrying")
            assert "lock" in courier.read_state().message.lower()
            held.close()
            [report] = run.finish(timeout=60, quiet=True)
    assert report.delivered
    assert [row["Experiment"] for row in exp_show() if row["Experiment"]] == [f"run-{run.id}"]


def await_phase(courier, phase):
    for _ in range(600):
        if courier.read_state().phase == phase:
            return
        time.sleep(0.1)
    raise AssertionError(courier.read_state())


def test_runs_that_start_at_once_have_folders_of_their_own(tmp_path):
    for number in range(20):
        wanted, together = tmp_path / str(number) / "dvclive", Barrier(8)

        def take(run_id, wanted=wanted, together=together):
            together.wait()
            return take_folder(wanted, {"run_id": run_id})

        with ThreadPoolExecutor(8) as pool:
            folders = list(pool.map(take, "abcdefgh"))
        assert len(set(folders)) == 8
        assert wanted in folders
        assert [load(folder).run["run_id"] for folder in folders] == list("abcdefgh")


def test_git_is_left_alone_without_dvc():
    git("init", "--quiet")
    _, report = deliver(log_some)
    assert report.delivered
    assert not Path(".dvc").exists()
    assert not Path(".dvcignore").exists()


def test_foreign_files_are_left_alone():
    Path("dvclive").mkdir()
    Path("dvclive/metrics.json").write_text("{}")
    run, _ = deliver(log_some)
    assert [path.name for path in Path("dvclive").iterdir()] == ["metrics.json"]
    assert len(Folder(f"dvclive-{run.id}").metrics()["train/loss"]) == 3


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["step"], ["step/x"], ["summary"]])
def test_names_that_metrics_json_cannot_nest_keep_their_history(names):
    def record(run):
        for step in range(2):
            for value, name in enumerate(names):
                run.log({name: value}, step=step)
        run.summary({"best": 1})

    deliver(record)
    folder = Folder("dvclive")
    for value, name in enumerate(names):
        assert folder.metrics()[name] == [Point(0, value), Point(1, value)]
    latest = parse_json("dvclive/metrics.json")
    assert (latest["step"], latest["summary"]) == (1, {"best": 1})
    expected = {"a": {"a": 0}, "a/b": {"a": {"b": 0}}, "step": {"_x73_tep": 0}}
    first = {key: value for key, value in latest.items() if key not in {"step", "summary"}}
    assert first == expected.get(names[0], {})


def test_names_stay_in_the_folder():
    deliver(lambda run: run.log({"../../evil": 1.0, "/etc/evil": 2.0}, step=1))
    folder = Folder("dvclive")
    assert {name: points[0].value for name, points in folder.metrics().items()} == {
        "../../evil": 1.0,
        "/etc/evil": 2.0,
    }
    assert {path.name for path in Path().iterdir()} == {"dvclive", "runs"}


@pytest.mark.parametrize("torn", ["metrics.json", "params.yaml"])
def test_a_file_that_was_torn_is_made_anew(torn):
    run, _ = deliver(log_some)
    path = Path("dvclive", torn)
    path.write_text(path.read_text()[:-4] + ": {")
    _, report = deliver(lambda run: run.log({"eval/loss": 1.0}, step=3), run_id=run.id)
    assert report.delivered
    assert load_yaml("dvclive/params.yaml") == {"optim": {"lr": 0.1}}
    latest = parse_json("dvclive/metrics.json")
    assert (latest["train"], latest["eval"]) == ({"loss": 0.5}, {"loss": 1.0})


def test_a_long_run_does_not_slow_down():
    """Live.next_step would rewrite and read again what the run has so far: 48 ms at step 2,000."""
    began = time.monotonic()
    _, report = deliver(
        lambda run: [run.log(dict.fromkeys("abcde", step / 2), step=step) for step in range(5000)]
    )
    assert report.delivered
    assert len(Folder("dvclive").metrics()["a"]) == 5000
    assert time.monotonic() - began < 60
