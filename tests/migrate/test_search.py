"""A whole project in one import: what is found, what is passed by, and that nothing is changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migration import bring_damaged, call, damages, state_of

from multitrack.migrate.reach import OutOfReachError, Reach
from multitrack.migrate.reading import SourceError, opened_database, read_lines, read_whole
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.start import start_run

RUN = "abcdefabcdefabcdefabcdefabcdef0"
SCHEMA = """
create table experiments(experiment_id integer, name text, artifact_location text,
    lifecycle_stage text);
create table runs(run_uuid text, name text, status text, start_time int, end_time int,
    lifecycle_stage text, experiment_id int, artifact_uri text);
create table metrics(key text, value float, timestamp int, run_uuid text, step int, is_nan int);
create table params(key text, value text, run_uuid text);
create table tags(key text, value text, run_uuid text);
insert into experiments values(1, 'e', '/nowhere', 'active');
"""


def database(path, *, uri="mlflow-artifacts:/1/{}/artifacts", points=3):
    """Make what any release of MLflow has in common, with one run."""
    run_id = f"{RUN}1"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    uri = uri.format(run_id)
    connection.execute(
        "insert into runs values(?, 'n', 'FINISHED', 1700000000000, 1700000009000, 'active', 1, ?)",
        (run_id, uri),
    )
    rows = [("loss", i / 4, 1_700_000_000_000 + i, run_id, i, 0) for i in range(points)]
    connection.executemany("insert into metrics values(?, ?, ?, ?, ?, ?)", rows)
    connection.execute("insert into params values('lr', '0.5', ?)", (run_id,))
    connection.commit()
    return connection


def project(root):
    """Make a project as people have them, with logs of two kinds, links and what is no log."""
    (root / "deep" / "er" / "logs").mkdir(parents=True)
    (root / "deep" / "er" / "logs" / "train.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    (root / "other.csv").write_text("step,loss\n1,0.5\n2,0.125\n")
    database(root / "deep" / "mlflow.db").close()
    artifacts = root / "deep" / "mlartifacts" / "1" / f"{RUN}1" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "table.csv").write_text("step,a\n1,2\n")
    (root / ".git").mkdir()
    (root / ".git" / "x.csv").write_text("step,loss\n1,0.5\n")
    (root / "deep" / "circle").symlink_to(root)
    (root / "broken.csv").symlink_to(root / "gone.csv")
    os.mkfifo(root / "pipe.csv")


def test_all_that_a_project_holds(tmp_path):
    project(tmp_path / "p")
    before = state_of(tmp_path / "p")
    output = call("import", tmp_path / "p", "--dir", tmp_path / "runs")
    assert "3 runs: 3 imported, 1 passed by." in output
    assert "broken.csv: a link to what is not there" in output
    assert state_of(tmp_path / "p") == before
    found = [read_history(folder) for folder in find_runs(tmp_path / "runs")]
    origins = {one.params["imported_from"]["tracker"] for one in found}
    assert origins == {"mlflow", "table"}
    [mlflow] = [one for one in found if one.params["imported_from"]["tracker"] == "mlflow"]
    assert [artifact.name for artifact in mlflow.artifacts] == ["table.csv"]
    again = call("import", tmp_path / "p", "--dir", tmp_path / "runs")
    assert "3 runs: 3 there already, 1 passed by." in again


def test_runs_of_ours_are_no_source(tmp_path):
    with start_run(dir=tmp_path / "multitrack", delivery="later") as run:
        run.log({"loss": 1.0})
    (tmp_path / "a.csv").write_text("step,loss\n1,0.5\n")
    assert "1 run: 1 imported." in call("import", tmp_path, "--dir", tmp_path / "multitrack")
    assert "multitrack sync" in call("import", run.folder.path, "--dir", tmp_path / "r", code=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.csv").write_text("step,loss\n1,0.5\n")
    output = call("import", tmp_path, "--dir", tmp_path / "runs", code=1)
    assert "make it readable" in output
    assert "1 imported" in output


# -- MLflow without its client -------------------------------------------------------------------


def test_a_database_in_use_is_read_whole_and_left_alone(tmp_path):
    """With all that is in its log, and no file made or changed beside it."""
    path = tmp_path / "db" / "mlflow.db"
    path.parent.mkdir()
    connection = database(path)
    connection.execute("pragma journal_mode = wal")
    connection.execute("insert into params values('late', '1', ?)", (f"{RUN}1",))
    connection.commit()
    before = state_of(path.parent)
    assert {"mlflow.db", "mlflow.db-shm", "mlflow.db-wal"} <= before.keys()
    call("import", path.parent, "--dir", tmp_path / "runs")
    assert state_of(path.parent) == before
    history = read_history(find_runs(tmp_path / "runs")[0])
    assert (history.params["late"], history.status) == (1, "finished")
    connection.close()


def test_a_run_that_grew_is_appended_to(tmp_path):
    database(tmp_path / "a.db", points=3).close()
    call("import", tmp_path / "a.db", "--dir", tmp_path / "runs")
    (tmp_path / "a.db").unlink()
    database(tmp_path / "moved.db", points=5).close()
    output = call("import", tmp_path / "moved.db", "--dir", tmp_path / "runs")
    assert "1 run: 1 brought up to date." in output
    [folder] = find_runs(tmp_path / "runs")
    history = read_history(folder)
    assert list(history.series["loss"].steps) == [0, 1, 2, 3, 4]
    assert history.status == "finished"


@pytest.mark.parametrize(
    "uri", ["/etc", "file:///etc", "file://{secret}", "{secret}", "s3://bucket/x", "../secret"]
)
def test_artifacts_that_lie_elsewhere_are_not_read(tmp_path, uri):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("s3cret")
    (tmp_path / "db").mkdir()
    place = uri.replace("{secret}", str(tmp_path / "secret"))
    database(tmp_path / "db" / "mlflow.db", uri=place).close()
    call("import", tmp_path / "db", "--dir", tmp_path / "runs")
    history = read_history(find_runs(tmp_path / "runs")[0])
    assert not history.artifacts
    assert "--also" in history.refused["artifacts"]
    if "{secret}" in uri:
        more = ("--also", tmp_path / "secret")
        call("import", tmp_path / "db", "--dir", tmp_path / "runs", *more)
        [artifact] = read_history(find_runs(tmp_path / "runs")[0]).artifacts
        assert artifact.name == "key.txt"


def test_a_link_in_place_of_artifacts_is_not_followed(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("s3cret")
    home = tmp_path / "db" / "mlartifacts" / "1" / f"{RUN}1"
    home.mkdir(parents=True)
    (home / "artifacts").symlink_to(tmp_path / "secret")
    database(tmp_path / "db" / "mlflow.db").close()
    call("import", tmp_path / "db" / "mlflow.db", "--dir", tmp_path / "runs")
    assert not read_history(find_runs(tmp_path / "runs")[0]).artifacts


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=damages())
def test_however_a_database_is_damaged(damage, tmp_path):
    whole = tmp_path / "whole"
    if not whole.exists():
        whole.mkdir()
        database(whole / "a.db").close()
        (whole / "b.csv").write_text("step,loss\n1,0.5\n")
    found, _ = bring_damaged(whole, "a.db", damage, tmp_path / "damaged")
    assert "table" in {one.params["imported_from"]["tracker"] for one in found}


# -- where may be read, and how much -------------------------------------------------------------


@given(parts=st.lists(st.sampled_from(["..", "a", "out", "in", ".", "/", "b.txt"]), max_size=6))
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_nothing_out_of_reach_is_read(tmp_path, parts):
    inside = tmp_path / "inside"
    if not inside.exists():
        (inside / "a").mkdir(parents=True)
        (tmp_path / "b.txt").write_text("s3cret")
        (inside / "a" / "b.txt").write_text("fine")
        (inside / "out").symlink_to(tmp_path)
        (inside / "in").symlink_to(inside / "a")
    try:
        content = Reach([inside]).file(os.path.join(inside, *parts)).read_text()  # noqa: PTH118
    except (OutOfReachError, OSError):
        return
    assert content == "fine"


def test_files_of_any_size(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"a\n" + b"b" * 100 + b"\nc")
    assert len([*read_lines(path, 101)]) == 3
    with pytest.raises(SourceError, match="line 2 of"):
        list(read_lines(path, 100))
    with pytest.raises(SourceError, match="longer than"):
        read_whole(path, 100)


def test_what_a_crash_left_of_a_database_is_taken_back_in_the_copy(tmp_path):
    path = tmp_path / "a.db"
    program = f"""
import os, sqlite3
c = sqlite3.connect({str(path)!r}); c.execute("create table t(x)"); c.commit()
c.execute("pragma cache_size = 1"); c.execute("begin")
c.executemany("insert into t values(?)", [("y" * 5000,)] * 100)
os._exit(1)
"""
    subprocess.run(["python3", "-c", program], check=False)
    before = state_of(tmp_path)
    with opened_database(path) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (0,)
    assert state_of(tmp_path) == before
