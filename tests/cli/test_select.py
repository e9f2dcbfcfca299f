"""Naming a run."""

from __future__ import annotations

import pytest

from multitrack.cli._select import NoSuchRunError, find_run, find_targets


@pytest.fixture
def runs(make_run):
    ids = ("20231114-221320-000-abc123", "20231114-221321-000-abd124", "mine")
    return {run_id: make_run(run_id).path for run_id in ids}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20231114-221320-000-abc123", "20231114-221320-000-abc123"),
        ("20231114-221321", "20231114-221321-000-abd124"),
        ("c123", "20231114-221320-000-abc123"),
        ("mi", "mine"),
        ("latest", "mine"),
    ],
)
def test_an_id_its_start_its_end_and_latest_name_a_run(runs, text, expected):
    assert find_run(text).path == runs[expected]


def test_a_path_names_a_run_and_a_directory_its_latest(runs, directory, monkeypatch):
    assert find_run(str(runs["mine"])).path == runs["mine"]
    assert find_run(str(directory)).path == runs["mine"]
    monkeypatch.chdir(directory)
    assert find_run("mine").path == runs["mine"]


def test_several_matches_are_listed(runs):
    with pytest.raises(NoSuchRunError, match="2 runs match '20231114', give more of the id"):
        find_run("20231114")


def test_no_match_says_where_was_looked(runs, directory):
    with pytest.raises(NoSuchRunError, match=f"no run in {directory} .* 'zzz'; list them with"):
        find_run("zzz")


def test_an_empty_directory_is_said(directory):
    with pytest.raises(NoSuchRunError, match=f"there is no run in {directory}"):
        find_run("latest")


def test_targets_are_all_runs_or_one(runs, directory):
    assert [run.path for run in find_targets(None)] == list(runs.values())
    assert [run.path for run in find_targets(str(directory))] == list(runs.values())
    assert [run.path for run in find_targets("mine")] == [runs["mine"]]


@pytest.mark.parametrize("command", ["show", "sync"])
def test_the_command_line_says_it_in_one_line(multitrack, directory, command):
    result = multitrack(command, "nothing", code=2)
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"Error: there is no run in {directory}")
