"""Imports: whole or not at all, once, with what was logged and when; from tables of text."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migration import call, records

from multitrack.migrate import registry
from multitrack.migrate.importing import WORKSHOP, Importer
from multitrack.migrate.source import About, SourceError, SourceRun
from multitrack.migrate.spool import Spool, SpooledPoint
from multitrack.trackers.folder import RunFolder, find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import (
    Artifact,
    End,
    Metrics,
    Params,
    Summary,
    Tags,
)
from multitrack.trackers.staging import stage_path

START = 1_700_000_000.0


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The directory for runs, which the commands find by themselves."""
    monkeypatch.setenv("MULTITRACK_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path / "runs"


class Given(SourceRun):
    """A run whose records a test writes down."""

    label = "given"

    def __init__(self, *records, is_running=False, **about):
        self.given = records
        self.about = {"id": "g1", "time": START, "is_running": is_running} | about

    def describe(self):
        return About(**self.about)

    def records(self, run):
        for record in self.given:
            yield record(run) if callable(record) else record


def bring(directory, *given, **options):
    with Importer(directory, **options) as importer:
        return [importer.bring(run, "given", "here") for run in given]


# -- whole or not at all, and once ---------------------------------------------------------------


def test_secrets_stay_out_and_numbers_are_kept(runs, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    given = Given(
        Params(
            time=START, values={"lr": math.nan, "api_key": "s3cret", "imported_from": {"id": "old"}}
        ),
        Tags(time=START, values={"token": "s3cret"}),
        Metrics(time=START + 1, step=7, values={"loss": math.inf, "ok": True, "n": 2**40}),
        Summary(time=START + 2, values={"best": -math.inf, "password": "s3cret"}),
        lambda run: Artifact(
            time=START + 3,
            step=7,
            name="a",
            kind="file",
            files=stage_path(run, tmp_path / "a.bin"),
            metadata={"access_key": "s3cret"},
        ),
        End(time=START + 4, status="failed", error="postgres://me:s3cret@db failed"),
        notes="at postgres://me:s3cret@db/x",
        command=["train.py", "--api-key", "s3cret"],
        details={"parent": "g0"},
    )
    [outcome] = bring(runs, given)
    assert (outcome.word, outcome.records) == ("imported", 7), outcome
    [folder] = find_runs(runs)
    assert b"s3cret" not in folder.journal.read_bytes()
    header, _, _, metrics, summary, artifact, end = records(folder)
    assert header.config["imported_from"] == {
        "tracker": "given",
        "id": "g1",
        "location": "here",
        "parent": "g0",
    }
    assert (header.time, header.run_id) == (START, folder.run_id)
    assert read_history(folder).params["imported_from"]["earlier"] == {"id": "old"}
    assert (metrics.time, metrics.step) == (START + 1, 7)
    assert metrics.values == {"loss": math.inf, "ok": True, "n": 2**40}
    assert summary.values["best"] == -math.inf
    assert (folder.path / artifact.files[0].path).read_bytes() == b"abc"
    assert (end.time, end.status) == (START + 4, "failed")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.journal.stat().st_mode & 0o777 == 0o600


def test_a_second_import_adds_nothing(runs):
    """Even where the source tells another time of the start than before."""
    [first] = bring(runs, Given())
    before = next(find_runs(runs)[i].journal.read_bytes() for i in [0])
    [second] = bring(runs, Given(time=START + 100))
    assert (second.word, second.run_id) == ("present", first.run_id)
    assert [folder.journal.read_bytes() for folder in find_runs(runs)] == [before]
    [third] = bring(runs, Given(id="g2"))
    assert third.word == "imported"
    assert len(find_runs(runs)) == 2


def test_runs_without_an_id_that_begin_alike(runs):
    """Each that goes its own way is one; a copy, older or newer, of one is that one."""
    points = [Metrics(time=START + i, step=i, values={"loss": i / 4}) for i in range(4)]
    other = Metrics(time=START + 1, step=1, values={"loss": 9.0})
    first = Given(*points[:3], by_content=True)
    second = Given(points[0], other, by_content=True)
    assert [one.word for one in bring(runs, first, second)] == ["imported"] * 2
    for folder in find_runs(runs):
        assert read_history(folder).header.run_id == folder.run_id
    older, newer = Given(*points[:2], by_content=True), Given(*points, by_content=True)
    found = bring(runs, older, second, newer)
    assert [one.word for one in found] == ["present", "present", "updated"]
    assert len(find_runs(runs)) == 2


@given(
    values=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.5, math.nan, 1])), max_size=9),
    cut=st.integers(0, 9),
    is_running=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_came_since_is_appended_once(tmp_path, values, cut, is_running):
    """Wherever an import meets a run, the next has each value as often as the source."""
    rows = [Metrics(time=START, step=step, values={"a": value}) for step, value in values]
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        directory = Path(folder)
        bring(directory, Given(*rows[:cut], is_running=is_running))
        bring(directory, Given(*rows))
        [last] = bring(directory, Given(*rows))
        assert last.word == "present"
        [run] = find_runs(directory)
        found = [r for r in records(run) if isinstance(r, Metrics)]
        assert sorted(repr((r.step, r.values)) for r in found) == sorted(
            repr((r.step, r.values)) for r in rows
        )
        assert read_history(run).status == "finished"


def test_one_bad_run_does_not_stop_the_others(runs):
    def broken(run):
        raise ConnectionError("reset by peer")

    bad = Given(Metrics(time=START, step=0, values={"a": 1.0}), broken, id="bad")
    outcomes = bring(runs, bad, Given(id="good"))
    assert [outcome.word for outcome in outcomes] == ["failed", "imported"]
    assert "reset by peer" in outcomes[0].reason
    assert [folder.run_id for folder in find_runs(runs)] == [outcomes[1].run_id]
    assert [path.name for path in (runs / WORKSHOP).iterdir()] == ["lock"]


def test_runs_that_never_ended(runs):
    assert bring(runs, Given(is_running=True), only_ended=True)[0].word == "left out"
    assert bring(runs, Given(is_running=True))[0].word == "imported"
    history = read_history(find_runs(runs)[0])
    assert (history.status, history.error) == ("killed", "its source never heard of its end")


def test_a_run_that_goes_on_is_running_until_its_source_tells_its_end(runs):
    point = Metrics(time=time.time(), step=0, values={"a": 1})
    bring(runs, Given(point, is_running=True))
    [folder] = find_runs(runs)
    assert read_history(folder).status == "running"
    assert bring(runs, Given(point, is_running=True))[0].word == "present"
    assert bring(runs, Given(point, End(time=START, status="failed")))[0].word == "updated"
    assert read_history(folder).status == "failed"


def test_without_an_outcome_a_run_has_finished_when_it_last_said_something(runs):
    bring(runs, Given(Metrics(time=START + 9, step=0, values={"a": 1})), project="mine")
    history = read_history(find_runs(runs)[0])
    assert (history.status, history.updated) == ("finished", START + 9)
    assert history.header.project == "mine"


def test_a_killed_import_leaves_nothing_that_looks_whole(runs, tmp_path):
    source = tmp_path / "big.jsonl"
    source.write_text("".join(f'{{"step": {i}, "loss": 1.5}}\n' for i in range(100_000)))
    command = [sys.executable, "-m", "multitrack", "import", str(source)]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(runs.glob(f"{WORKSHOP}/*/*/journal.jsonl")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert find_runs(runs) == []
    assert list(runs.glob(f"{WORKSHOP}/*/*/journal.jsonl"))
    call("import", source)
    [folder] = find_runs(runs)
    assert read_history(folder).series["loss"].last == (99_999, 1.5)
    assert [path.name for path in (runs / WORKSHOP).iterdir()] == ["lock"]


def test_one_import_at_a_time(runs):
    with Importer(runs), pytest.raises(SourceError, match="another import"):
        bring(runs, Given())


# -- the command ---------------------------------------------------------------------------------


def test_what_is_told(runs, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text("step,loss\n1,0.5\n")
    (folder / "b.jsonl").write_text("not json\n")
    output = call("import", folder, code=1)
    assert "2 runs: 1 imported, 1 failed." in output
    assert "b.jsonl holds no row: line 1 is no JSON" in output
    output = call("import", folder / "a.csv")
    assert "1 run: 1 there already." in output
    assert read_history(find_runs(runs)[0]).header.name == "a"


def test_errors_say_what_would_help(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "there is nothing at nowhere" in call("import", "nowhere", code=2)
    assert f"known are {registry.names()[0]}, " in call(
        "import", tmp_path, "--from", "excel", code=2
    )
    assert "--from" in call("import", tmp_path / "empty", code=2)
    assert "nothing that table reads" in call(
        "import", tmp_path / "empty", "--from", "table", code=2
    )
    assert not find_runs(runs)


@pytest.mark.parametrize("name", registry.names())
def test_a_missing_client_is_named_with_its_command(name):
    source = registry.load(name)
    if not source.distributions:
        registry.require(source)
        return
    source.distributions = ("no-such-distribution",)
    with pytest.raises(ImportError, match=rf'pip install "multitrack\[{source.extra}\]"'):
        registry.require(source)


def test_naming_a_source_loads_no_client():
    code = """
import sys
import multitrack.cli
from multitrack.migrate import registry
for name in registry.names():
    registry.load(name)
print(*{name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    clients = {"mlflow", "wandb", "tensorboard", "neptune", "pyarrow", "numpy", "torch"}
    assert not clients & set(done.stdout.split())


# -- the spool -----------------------------------------------------------------------------------


def test_series_come_in_the_order_of_time(tmp_path):
    spool = Spool(tmp_path / "points")
    spool.add(SpooledPoint(START + i, i, "a", float(i)) for i in range(3))
    spool.add(SpooledPoint(START + i, i, "b", math.nan) for i in range(1, 3))
    spool.add([SpooledPoint(START + 1, 1, "a", 5.0), SpooledPoint(START + 0.5, 9, "c", math.inf)])
    found = [(r.time - START, r.step, repr(r.values)) for r in spool.records()]
    assert found == [
        (0, 0, "{'a': 0.0}"),
        (0.5, 9, "{'c': inf}"),
        (1, 1, "{'a': 1.0, 'b': nan}"),
        (1, 1, "{'a': 5.0}"),
        (2, 2, "{'a': 2.0, 'b': nan}"),
    ]


def test_find_runs_passes_over_the_workshop(runs):
    folder = RunFolder(runs / WORKSHOP / "x" / "run")
    folder.create()
    folder.journal.write_text("{}\n")
    assert find_runs(runs) == []
