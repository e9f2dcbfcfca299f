"""Weights & Biases: what is stored when sessions come, go, die and come again."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import wandb
import wandb_files as files
from packaging.version import Version
from wandb_bench import STEP, Bench, helpers, losses, point, wait_for
from wandb_wire import WandbWire

from multitrack.trackers.backends import wandb as backend
from multitrack.trackers.protocol import Parked, Refused, Restart, Retry
from multitrack.trackers.records import Artifact, Image, Params, Summary, Table, Tags, Text

JOINS = Version(wandb.__version__) >= Version("0.29")


@pytest.fixture(autouse=True)
def _own_client(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield
    for helper in helpers():  # a server that is gone must not hold up the next test
        os.kill(helper, signal.SIGKILL)
    with suppress(OSError, SystemExit):
        wandb.teardown()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def wire(monkeypatch):
    with WandbWire() as wire:
        for name, value in wire.environ().items():
            monkeypatch.setenv(name, value)
        yield wire
    assert not wire.unknown


def sessions(bench):
    return files.sessions_of(bench.store, bench.header.run_id)


def test_two_hands_lose_nothing(bench):
    """The client drops rows whose number is not above the last: here all have one count."""
    tracker = bench.start()
    tracker.log_metrics([point(0, 0.0)])
    native = tracker.native()
    hand = threading.Thread(target=lambda: [native.log({"by_hand": i}) for i in range(100)])
    hand.start()
    for step in range(1, 100):
        tracker.log_metrics([point(step, step / 8)])
    hand.join()
    tracker.finish("finished")
    [session] = sessions(bench)
    assert [row["by_hand"] for row in session.rows if "by_hand" in row] == list(range(100))
    assert [(s, x) for _, s, x in losses(session.rows)] == [(s, s / 8) for s in range(100)]
    assert not [row for row in session.rows if "by_hand" in row and "loss" in row]


def answer(tracker, call, *arguments):
    """Return what a tracker says of the exception that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        call(*arguments)
    error = caught.value
    return error if isinstance(error, Retry | Refused | Parked) else tracker.classify(error)


def log_for_long(tracker):
    for step in range(100):
        tracker.log_metrics([point(step, 0.5)])
        time.sleep(0.05)


class TestRows:
    def test_steps_that_go_back_lose_nothing(self, bench):
        tracker = bench.start()
        tracker.log_metrics(
            [point(s, s / 8, time=2000 + i / 3) for i, s in enumerate([5, 6, 5, 5, 9])]
        )
        tracker.finish("finished")
        [session] = sessions(bench)
        assert losses(session.rows) == [
            (5, 5, 0.625),
            (6, 6, 0.75),
            (7, 5, 0.625),
            (8, 5, 0.625),
            (9, 9, 1.125),
        ]
        assert [row["_timestamp"] for row in session.rows] == [2000 + i / 3 for i in range(5)]

    def test_the_step_is_the_x_axis(self, bench):
        tracker = bench.start()
        tracker.log_metrics([point(1, 0.5)])
        tracker.finish("finished")
        [session] = sessions(bench)
        metrics = {m.name or m.glob_name: m.step_metric for m in session.of("metric")}
        assert metrics["*"] == STEP

    def test_reserved_names_are_set_aside_by_name(self, bench):
        tracker = bench.start()
        refusal = answer(tracker, tracker.log_metrics, [point(1, 0.5, _step=7.0), point(2, 0.25)])
        assert refusal.parts.keys() == {"_step"}
        text = Text(time=1, step=2, key="_runtime", text="x")
        assert answer(tracker, tracker.log_text, text).parts.keys() == {"_runtime"}
        tracker.finish("finished")
        assert losses(sessions(bench)[0].rows) == [(1, 1, 0.5), (2, 2, 0.25)]

    def test_long_tags_are_set_aside_by_name(self, bench):
        tracker = bench.start()
        tags = Tags(time=1, values={"x" * 65: "", "y" * 64: "", "team": "z" * 60, "kept": ""})
        assert answer(tracker, tracker.set_tags, tags).parts.keys() == {"x" * 65, "team"}
        tracker.finish("finished")
        assert list(sessions(bench)[0].tags) == ["y" * 64, "kept"]

    def test_single_values_that_are_not_finite_are_spelled(self, bench):
        tracker = bench.start()
        tracker.log_summary(
            Summary(time=1, values={"best": float("nan"), "n": 3, "inf": float("inf")})
        )
        tracker.finish("finished")
        summary = sessions(bench)[0].summary
        assert (summary["best"], summary["n"], summary["inf"]) == ("NaN", 3, "Infinity")

    def test_tables_have_a_limit(self, bench):
        tracker = bench.start()
        table = Table(
            time=1, step=1, key="t", columns=["a"], rows=200_001, file=bench.stage("t.json", b"{}")
        )
        assert isinstance(answer(tracker, tracker.log_table, table), Refused)

    def test_a_file_that_is_no_picture_is_refused(self, bench):
        tracker = bench.start()
        image = Image(time=1, step=1, key="i", file=bench.stage("i.png", b"no picture"))
        assert isinstance(answer(tracker, tracker.log_image, image), Refused)


class TestRun:
    def test_says_where_the_trainer_ran_and_not_the_courier(self, bench):
        tracker = bench.start()
        tracker.finish("finished")
        [session] = sessions(bench)
        run = session.of("run")[-1]
        assert (run.host, run.git.commit) == ("trainer-7", "c0ffee" * 6)
        about = session.config["multitrack"]
        assert about["command"] == ["train.py", "--lr", "0.1"]
        assert about["git"] == {"commit": "c0ffee" * 6, "branch": "main", "dirty": True}
        assert not session.of("environment")
        assert not [f for f in session.of("files") for f in f.files if "requirements" in f.path]

    def test_variables_of_the_client(self, bench, monkeypatch):
        values = {
            "PROJECT": "p1",
            "ENTITY": "e1",
            "NAME": "n1",
            "RUN_ID": "id1",
            "RUN_GROUP": "g1",
            "JOB_TYPE": "j1",
            "TAGS": "a,b",
            "NOTES": "words",
        }
        for name, value in values.items():
            monkeypatch.setenv(f"WANDB_{name}", value)
        tracker = bench.start()
        tracker.set_tags(Tags(time=1, values={"c": ""}))
        tracker.finish("finished")
        [session] = files.sessions_of(bench.store, "id1")
        run = session.of("run")[-1]
        names = ("project", "entity", "display_name", "run_id", "run_group", "job_type", "notes")
        assert [getattr(run, name) for name in names] == [
            "p1",
            "e1",
            "n1",
            "id1",
            "g1",
            "j1",
            "words",
        ]
        assert list(run.tags) == ["a", "b", "c"]
        assert bench.attachment.id == "id1"

    def test_what_the_run_says_wins(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_PROJECT", "p1")
        monkeypatch.setenv("WANDB_NAME", "n1")
        bench = Bench(tmp_path, project="p2", name="n2", notes="mine")
        bench.start().finish("finished")
        [session] = sessions(bench)
        assert (session.project, session.display_name, session.notes) == ("p2", "n2", "mine")

    def test_lies_where_the_trainer_ran(self, bench):
        bench.start().finish("finished")
        assert bench.store == bench.folder / "wandb"
        command = "wandb sync" if JOINS else "wandb beta sync"
        assert bench.attachment.url == f"{command} {bench.store}/offline-run-*-bench-1*"

    def test_stays_apart_from_native_runs_and_other_runs(self, tmp_path):
        native = wandb.init(project="own", settings=wandb.Settings(root_dir=str(tmp_path)))
        benches = [Bench(tmp_path, run_id=f"bench-{i}") for i in range(3)]
        trackers = [bench.start() for bench in benches]
        assert wandb.run is native
        trackers[0].abandon()
        for i in (1, 2):
            trackers[i].log_metrics([point(1, float(i))])
            trackers[i].finish("finished")
        assert wandb.run is native
        native.log({"alive": 1})
        native.finish()
        for i in (1, 2):
            assert losses(sessions(benches[i])[0].rows) == [(1, 1, float(i))]
        [session] = files.sessions_of(tmp_path / "wandb", native.id)
        assert [row["alive"] for row in session.rows] == [1]

    def test_does_not_share_a_trainers_helper(self, bench, monkeypatch):
        monkeypatch.setenv("WANDB_SERVICE", f"3-{os.getppid()}-unix-/nowhere")
        bench.start().finish("finished")
        assert len(helpers()) == 1

    def test_artifact_refers_to_the_staged_file(self, bench):
        tracker = bench.start()
        file = bench.stage("weights.bin", b"weights")
        tracker.log_artifact(
            Artifact(
                time=1,
                step=7,
                epoch=0.5,
                name="nets/small one",
                kind="model",
                files=[file],
                aliases=["best/yet"],
                metadata={"loss": 0.5},
            )
        )
        tracker.finish("finished")
        [(artifact, found)] = sessions(bench)[0].artifacts()
        assert found == {"weights.bin": b"weights"}
        assert artifact.manifest.contents[0].local_path == str(bench.folder / file.path)
        assert (artifact.name, artifact.type) == ("nets_x2f_small_x20_one", "model")
        assert sorted(artifact.aliases) == ["best_x2f_yet", "latest"]
        assert '"step":7' in artifact.metadata.replace(" ", "")

    def test_waits_for_a_person_when_disabled(self, bench, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "disabled")
        tracker = bench.tracker()
        assert isinstance(answer(tracker, bench.start), Parked)


class TestOfflineSessions:
    def test_one_that_was_not_acknowledged_is_replaced(self, bench):
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(5)])
        assert tracker.flush() is False
        tracker.abandon()
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(8)])
        tracker.finish("failed")
        [session] = sessions(bench)
        assert losses(session.rows) == [(s, s, s / 8) for s in range(8)]
        assert session.exit_code == 1

    def test_one_whose_helper_died_is_replaced(self, bench):
        tracker = bench.start()
        tracker.log_metrics([point(0, 0.0)])
        os.kill(helpers()[0], signal.SIGKILL)
        told = answer(tracker, log_for_long, tracker)
        assert isinstance(told, Restart), told.reason
        assert isinstance(answer(tracker, tracker.finish, "finished"), Restart)
        tracker.abandon()
        tracker = bench.start()
        tracker.log_metrics([point(0, 0.0), point(1, 0.5)])
        tracker.finish("finished")
        [session] = sessions(bench)
        assert losses(session.rows) == [(0, 0, 0.0), (1, 1, 0.5)]

    def test_acknowledged_rows_that_come_again_stand_once(self, bench):
        points = [point(s, s / 8) for s in (0, 1, 2, 1, 2)]
        tracker = bench.start()
        tracker.log_metrics(points)
        tracker.finish("finished")
        tracker = bench.start()
        tracker.log_metrics([*points[3:], point(3, 0.375)])
        tracker.finish("finished")
        first, second = sessions(bench)
        assert losses(first.rows) == [
            (0, 0, 0.0),
            (1, 1, 0.125),
            (2, 2, 0.25),
            (3, 1, 0.125),
            (4, 2, 0.25),
        ]
        assert losses(second.rows) == [(5, 3, 0.375)]

    def test_a_resumed_run_keeps_what_is_nested_and_tagged(self, bench):
        tracker = bench.start()
        tracker.log_params(Params(time=1, values={"net": {"width": 8, "depth": 2}, "seed": 1}))
        tracker.set_tags(Tags(time=1, values={"a": "", "team": "x"}))
        tracker.finish("finished")
        tracker = bench.start()
        tracker.log_params(Params(time=2, values={"net": {"width": 16}}))
        tracker.set_tags(Tags(time=2, values={"team": "y"}))
        tracker.finish("finished")
        last = sessions(bench)[-1]
        assert last.config["net"] == {"width": 16, "depth": 2}
        assert list(last.tags) == ["a", "team=y"]

    def test_wandb_sync_joins_the_sessions(self, bench, wire, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "offline")
        tracker = bench.start()
        tracker.log_params(Params(time=1, values={"seed": 1}))
        tracker.log_summary(Summary(time=1, values={"best": 0.5, "worst": 0.25}))
        tracker.log_metrics([point(s, s / 8) for s in range(6)])
        tracker.finish("failed")
        tracker = bench.start()
        tracker.log_params(Params(time=1, values={"more": 2}))
        tracker.log_summary(Summary(time=1, values={"best": 0.75}))
        tracker.log_metrics([point(s, 1.0, time=3000 + s) for s in (4, 5, 6)])
        tracker.finish("finished")
        command = bench.attachment.url
        monkeypatch.setenv("WANDB_MODE", "online")
        path = f"{Path(wandb.__file__).parents[4] / 'bin'}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path})
        run = wire.runs[bench.header.run_id]
        assert losses(run.rows) == [
            *[(s, s, s / 8) for s in range(6)],
            *[(6, 4, 1.0), (7, 5, 1.0), (8, 6, 1.0)],
        ]
        assert run.exit_code == 0
        assert (run.config["seed"], run.config["more"]) == (1, 2)
        assert (run.summary["best"], run.summary["worst"]) == (0.75, 0.25)


class TestOnlineSessions:
    def test_a_run_that_goes_on(self, bench, wire):
        tracker = bench.start()
        tracker.log_params(Params(time=1, values={"net": {"width": 8, "depth": 2}}))
        tracker.set_tags(Tags(time=1, values={"a": "", "team": "x"}))
        tracker.log_metrics([point(s, s / 8) for s in range(4)])
        tracker.finish("interrupted")
        run = wire.runs["bench-1"]
        assert (run.exit_code, run.state) == (255, "failed")
        tracker = bench.start()
        assert run.state == "running"
        assert bench.attachment.url == f"{wire.url}/team/uncategorized/runs/bench-1"
        tracker.log_params(Params(time=2, values={"net": {"width": 16}}))
        tracker.set_tags(Tags(time=2, values={"team": "y"}))
        tracker.log_metrics([point(2, 1.0, time=3000), point(4, 0.5)])
        tracker.finish("finished")
        assert losses(run.rows) == [*[(s, s, s / 8) for s in range(4)], (4, 2, 1.0), (5, 4, 0.5)]
        assert run.config["net"] == {"width": 16, "depth": 2}
        assert run.tags == ["a", "team=y"]
        assert (run.exit_code, run.host, run.last("commit")) == (0, "trainer-7", "c0ffee" * 6)

    def test_a_dead_session_that_comes_again_stands_once(self, bench, wire):
        points = [point(s, s / 8, time=2000 + i) for i, s in enumerate([3, 4, 3, 4, 5])]
        tracker = bench.start()
        tracker.log_metrics(points[:2])
        tracker.finish("finished")
        tracker = bench.start()
        tracker.log_metrics(points[2:])
        run = wire.runs["bench-1"]
        wait_for(lambda: len(run.rows) == 5, timeout=60)
        os.kill(helpers()[0], signal.SIGKILL)
        tracker.abandon()
        tracker = bench.start()
        tracker.log_metrics([*points[2:], point(6, 0.75)])
        tracker.finish("finished")
        numbers = [3, 4, 5, 6, 7, 8]
        steps = [3, 4, 3, 4, 5, 6]
        assert losses(run.rows) == [(n, s, s / 8) for n, s in zip(numbers, steps, strict=True)]

    def test_a_dead_session_with_rows_by_hand_loses_nothing_when_it_comes_again(self, bench, wire):
        """Which of our rows the server has cannot be told then: some stand twice."""
        tracker = bench.start()
        tracker.native().log({"by_hand": 0})
        tracker.native().log({"by_hand": 1})
        tracker.log_metrics([point(s, s / 8) for s in range(3)])
        run = wire.runs["bench-1"]
        wait_for(lambda: len(run.rows) == 5, timeout=60)
        os.kill(helpers()[0], signal.SIGKILL)
        tracker.abandon()
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(4)])
        tracker.finish("finished")
        assert [row["by_hand"] for row in run.rows if "by_hand" in row] == [0, 1]
        twice = [(2, 0, 0), (3, 1, 1 / 8), (4, 2, 2 / 8)]
        assert losses(run.rows) == [*twice, (5, 0, 0), (6, 1, 1 / 8), (7, 2, 2 / 8), (8, 3, 3 / 8)]

    def test_artifacts_are_stored_when_the_call_returns(self, bench, wire):
        tracker = bench.start()
        file = bench.stage("weights.bin", b"weights")
        tracker.log_artifact(Artifact(time=1, step=1, name="m", kind="model", files=[file]))
        [artifact] = wire.artifacts
        assert artifact.committed
        assert artifact.files == {"weights.bin": b"weights"}

    @pytest.mark.skipif(not JOINS, reason="earlier clients ask for many minutes, refused or not")
    def test_an_artifact_may_be_refused(self, bench, wire):
        tracker = bench.start()
        wire.refuse = 403
        file = bench.stage("weights.bin", b"weights")
        refused = Artifact(time=2, step=2, name="m2", kind="model", files=[file])
        assert isinstance(answer(tracker, tracker.log_artifact, refused), Refused)

    def test_an_upload_that_was_refused_is_not_acknowledged(self, bench, wire, monkeypatch):
        monkeypatch.setattr(backend, "CONFIRM_TIMEOUT", 2.0)
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(3)])
        wire.refuse = 403
        assert isinstance(answer(tracker, tracker.finish, "finished"), Restart)
        tracker.abandon()
        tracker = bench.tracker()
        assert isinstance(answer(tracker, bench.start), Parked)
        tracker.abandon()
        wire.refuse = None
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(3)])
        tracker.finish("finished")
        run = wire.runs["bench-1"]
        assert losses(run.rows) == [(s, s, s / 8) for s in range(3)]
        assert run.exit_code == 0

    def test_a_server_that_falls_silent_holds_nobody(self, bench, wire, monkeypatch):
        monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "2")
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(3)])
        wire.refuse = 503
        began = time.monotonic()
        assert isinstance(answer(tracker, tracker.finish, "finished"), Restart)
        tracker.abandon()
        assert time.monotonic() - began < 60
        wire.refuse = None
        tracker = bench.start()
        tracker.log_metrics([point(s, s / 8) for s in range(3)])
        tracker.finish("finished")
        assert losses(wire.runs["bench-1"].rows) == [(s, s, s / 8) for s in range(3)]

    def test_abandoned_while_the_server_is_silent(self, bench, wire):
        tracker = bench.start()
        tracker.log_metrics([point(1, 0.5)])
        wire.refuse = 503
        began = time.monotonic()
        tracker.abandon()
        assert time.monotonic() - began < 15


class TestStarting:
    def test_nobody_there_is_told_in_time_and_tried_again(self, bench, monkeypatch):
        with WandbWire() as wire:
            port = wire.port
        for name, value in wire.environ().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
        began = time.monotonic()
        for _ in range(2):
            tracker = bench.tracker()
            told = answer(tracker, bench.start)
            assert isinstance(told, Retry), told.reason
            tracker.abandon()
        assert time.monotonic() - began < 90
        with WandbWire(port) as wire:
            tracker = bench.start()
            tracker.log_metrics([point(1, 0.5)])
            tracker.finish("finished")
            assert losses(wire.runs["bench-1"].rows) == [(1, 1, 0.5)]

    @pytest.mark.parametrize(
        ("status", "expected"),
        [(401, Parked), (403, Parked), (404, Parked), (429, Retry), (503, Retry)],
    )
    def test_answers_of_a_server(self, bench, wire, monkeypatch, status, expected):
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
        wire.refuse = status
        tracker = bench.tracker()
        told = answer(tracker, bench.start)
        assert isinstance(told, expected), told.reason
        tracker.abandon()

    def test_no_key_waits_for_a_person(self, bench, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "online")
        told = answer(bench.tracker(), bench.start)
        assert isinstance(told, Parked)
        assert "wandb login" in told.remedy

    def test_no_key_asks_nobody_at_a_terminal(self, bench, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.delenv("WANDB_SILENT")
        _, terminal = os.openpty()
        for stream, mode in (("stdin", "r"), ("stderr", "w")):
            monkeypatch.setattr(sys, stream, os.fdopen(terminal, mode, closefd=False))
        told = answer(bench.tracker(), bench.start)
        assert isinstance(told, Parked)
        assert "wandb login" in told.remedy

    @pytest.mark.parametrize("has_terminal", [False, True])
    def test_a_key_of_wandb_login_is_found(self, bench, wire, monkeypatch, tmp_path, has_terminal):
        monkeypatch.delenv("WANDB_API_KEY")
        host = wire.url.removeprefix("http://")
        (tmp_path / "netrc").write_text(f"machine {host} login user password {'ab' * 20}")
        (tmp_path / "netrc").chmod(0o600)
        if has_terminal:
            _, terminal = os.openpty()
            monkeypatch.setattr(sys, "stdin", os.fdopen(terminal))
        bench.start().finish("finished")
        assert wire.runs["bench-1"].exit_code == 0

    @pytest.mark.parametrize(
        ("name", "value"), [("PROJECT", "a/b"), ("RUN_ID", "a:b"), ("BASE_URL", "nonsense")]
    )
    def test_what_the_client_does_not_take_waits_for_a_person(
        self, bench, monkeypatch, name, value
    ):
        monkeypatch.setenv(f"WANDB_{name}", value)
        assert isinstance(answer(bench.tracker(), bench.start), Parked)
