"""What a user may have got wrong is found before anything is written."""

import argparse
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from multitrack import start_run
from multitrack.trackers import surroundings
from multitrack.trackers.records import Header, Params, Tags
from multitrack.trackers.settings import SettingsError


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    hub_token: str = "abc"


def test_header_says_what_the_run_is(start, records, notebook, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key", "xyz", "--lr", "0.1"])
    monkeypatch.setattr(sys, "orig_argv", ["python", *sys.argv])
    run = start(
        project="digits",
        name="first try",
        report_to=["notebook"],
        config=Config(),
        tags={"team": "vision", "token": "xyz"},
        notes="see https://me:pw@host",
    )
    (header,) = records(run)
    assert (header.run_id, header.project, header.name) == (run.id, "digits", "first try")
    assert header.notes == "see https://<redacted>@host"
    assert header.config == {"lr": 0.1, "hub_token": "<redacted>"}
    assert header.tags == {"team": "vision", "token": "<redacted>"}
    assert header.report_to == ["notebook"]
    assert header.command[-4:] == ["--api-key", "<redacted>", "--lr", "0.1"]
    assert (header.cwd, header.host.pid) == (str(Path.cwd()), os.getpid())
    assert {"multitrack", "python"} <= header.versions.keys()
    assert "xyz" not in run.folder.journal.read_text()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"report_to": "noteboook"}, ValueError, "'noteboook' is no known backend"),
        ({"report_to": ["all", "notebook"]}, ValueError, "stands alone"),
        ({"report_to": 5}, ValueError, "report_to takes names of backends, not 5"),
        (
            {"delivery": "soon"},
            ValueError,
            "delivery is 'soon'; allowed: process, thread, inline, ",
        ),
        ({"run_id": "../x"}, ValueError, r"run_id is '../x'; allowed: up to 128 letters"),
        ({"run_id": ""}, ValueError, "run_id is ''"),
        ({"run_id": ".hidden"}, ValueError, "run_id is '.hidden'"),
        ({"run_id": "x" * 129}, ValueError, "run_id is"),
        ({"run_id": 5}, ValueError, "run_id is 5"),
        ({"config": [1, 2]}, TypeError, "config must have named values"),
        ({"tags": 5}, TypeError, "tags must be a name, a list of names, or a mapping, not int"),
        ({"project": 5}, TypeError, "project must be text, not int"),
        ({"name": ["x"]}, TypeError, "name must be text, not list"),
        ({"notes": b"x"}, TypeError, "notes must be text, not bytes"),
        (
            {"finish_timeout": "soon"},
            ValueError,
            "finish_timeout is 'soon'; allowed: a number of s",
        ),
        ({"settings": {"wandb": {}}}, ValueError, "settings are given for wandb, but the run rep"),
        ({"settings": {"notebook": {"papr": 1}}}, SettingsError, "has no setting 'papr'; it has "),
        ({"settings": {"notebook": {"paper": "blue"}}}, SettingsError, "Invalid enum value 'blue'"),
        ({"settings": {"notebook": 5}}, TypeError, "settings must be a mapping from backend to"),
        ({"settings": ["notebook"]}, TypeError, "settings must be a mapping from backend to"),
        ({"dir": 5}, TypeError, "int"),
    ],
)
def test_wrong_argument(tmp_path, notebook, options, error, message):
    options = {"dir": tmp_path / "runs", "report_to": "notebook"} | options
    with pytest.raises(error, match=message):
        start_run(**options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MULTITRACK_REPORT_TO", "noteboook", "'noteboook' is no known backend"),
        ("MULTITRACK_DELIVERY", "soon", "MULTITRACK_DELIVERY is 'soon'; allowed: process, thread"),
        ("MULTITRACK_FINISH_TIMEOUT", "soon", "MULTITRACK_FINISH_TIMEOUT is 'soon'"),
        ("NOTEBOOK_PAPER", "blue", "NOTEBOOK_PAPER holds 'blue'; allowed: plain, squared"),
        ("MULTITRACK_PYTHON_NOTEBOOK", "/no/python", "MULTITRACK_PYTHON_NOTEBOOK holds '/no/pyth"),
    ],
)
def test_wrong_variable(tmp_path, notebook, monkeypatch, variable, value, message):
    monkeypatch.setenv("MULTITRACK_REPORT_TO", "notebook")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=message):
        start_run(dir=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        start_run(dir=tmp_path / "file", report_to="none")


def test_settings_from_the_environment(tmp_path, notebook, monkeypatch):
    for name, value in {
        "DIR": str(tmp_path / "elsewhere"),
        "REPORT_TO": "notebook",
        "DELIVERY": "inline",
        "FINISH_TIMEOUT": "5",
    }.items():
        monkeypatch.setenv(f"MULTITRACK_{name}", value)
    run = start_run()
    run.log({"loss": 0.5})
    assert run.folder.path.parent == tmp_path / "elsewhere"
    assert run._finish_timeout == 5
    assert notebook.steps(run) == [0]
    run.finish(quiet=True)


def test_variables_stand_in_for_arguments(start, records, monkeypatch):
    monkeypatch.setenv("MULTITRACK_PROJECT", "digits")
    monkeypatch.setenv("MULTITRACK_RUN_NAME", "first")
    monkeypatch.setenv("MULTITRACK_TAGS", "baseline, team=vision ,, url=a=b")
    tags = {"baseline": "", "team": "vision", "url": "a=b"}
    (header,) = records(start(), Header)
    assert (header.project, header.name, header.tags) == ("digits", "first", tags)
    (header,) = records(start(project="mine", name="second", tags={"team": "speech"}), Header)
    tags["team"] = "speech"
    assert (header.project, header.name, header.tags) == ("mine", "second", tags)


def test_disabled_backend_is_left_out(start, records, notebook, monkeypatch, caplog):
    monkeypatch.setenv("NOTEBOOK_DISABLED", "TRUE")
    (header,) = records(start(report_to="notebook"), Header)
    assert header.report_to == []
    assert caplog.messages == ["notebook is left out: its settings disable it"]


def test_going_on_adds_what_is_new(start, records):
    start(run_id="a-run", config={"lr": 0.1}, tags="one").finish(quiet=True)
    run = start(run_id="a-run", config={"lr": 0.2}, tags="two")
    (header,) = records(run, Header)
    assert (header.config, header.tags) == ({"lr": 0.1}, {"one": ""})
    assert [r.values for r in records(run, Params, Tags)] == [{"lr": 0.2}, {"two": ""}]


def test_going_on_with_what_is_no_run(tmp_path):
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "journal.jsonl").write_text("garbage\n")
    with pytest.raises(ValueError, match="does not begin with a run's header"):
        start_run(dir=tmp_path, run_id="a-run", report_to="none")


def test_config_is_left_as_it_was(start):
    config = {"a": {"token": "x"}, "b": argparse.Namespace(c=[1])}
    run = start(config=config)
    run.log_params(config)
    assert config["a"] == {"token": "x"}
    assert config["b"].c == [1]


# -- surroundings --------------------------------------------------------------------------------


def git(folder, *arguments):
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    git(tmp_path, "init", "--initial-branch", "main")
    (tmp_path / "file").write_text("x")
    git(tmp_path, "add", "file")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("names", ["core.fsmonitor", "filter.f.clean", "filter.f.process", "hook"])
def test_no_program_runs_that_a_repository_names(repository, tmp_path, names):
    git(repository, "commit", "--message", "first")
    program = tmp_path / ".git" / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o700)
    if names == "hook":
        program.rename(tmp_path / ".git" / "hooks" / "post-index-change")
    else:
        git(repository, "config", names, str(program))
        (tmp_path / ".git" / "info" / "attributes").write_text("* filter=f\n")
    (repository / "file").write_text("y")  # as long as before, so that it is looked into
    assert surroundings.describe_git().dirty
    assert not (tmp_path / "ran").exists()


def test_repository(repository):
    assert surroundings.describe_git() is None, "there is no commit yet"
    git(repository, "commit", "--message", "first")
    commit = git(repository, "rev-parse", "HEAD")
    found = surroundings.describe_git()
    assert (found.commit, found.branch, found.dirty) == (commit, "main", False)
    (repository / "untracked").write_text("x")
    assert not surroundings.describe_git().dirty
    (repository / "file").write_text("y")
    assert surroundings.describe_git().dirty
    git(repository, "checkout", "--detach")
    assert surroundings.describe_git().branch is None


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert surroundings.describe_git() is None
    monkeypatch.setenv("PATH", "")
    assert surroundings.describe_git() is None


def test_slow_git_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(surroundings, "GIT_TIMEOUT", 0.2)
    assert surroundings.describe_git() is None


def test_versions_are_of_what_is_in_use(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(surroundings, "NOTED_PACKAGES", ("pytest", "torch", "not-there"))
    versions = surroundings.describe_versions()
    assert versions["pytest"] == pytest.__version__
    assert "not-there" not in versions


def test_working_directory_that_was_removed(start, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert start(project="digits").folder.path.is_dir()
