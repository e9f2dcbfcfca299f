"""`multitrack trust`, and what `sync` says and asks of a folder that somebody else wrote."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from multitrack.trackers.kept import StoredSettings, sign_settings

ADDRESS = "http://127.0.0.1:9"


@pytest.fixture
def sent(make_run, monkeypatch, tmp_path):
    """A run that somebody else recorded, for a server of theirs."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = make_run("a", report_to=["mlflow"])
    folder.courier("mlflow").create()
    stored = StoredSettings(arguments={"tracking_uri": ADDRESS})
    sign_settings(folder, "a", "mlflow", stored)
    monkeypatch.setenv("MULTITRACK_KEY", "mine")
    return folder


def test_places_are_added_listed_and_removed(multitrack, sent, tmp_path):
    assert "Nothing is trusted" in multitrack("trust").output
    multitrack("trust", "https://shelf.example/api", "trackio:me/board", str(tmp_path))
    assert multitrack("trust").output.split() == [
        "https://shelf.example",
        "trackio:me/board",
        str(tmp_path),
    ]
    multitrack("trust", "--remove", "https://shelf.example", str(tmp_path))
    assert multitrack("trust").output == "trackio:me/board\n"
    assert "is not trusted" in multitrack("trust", "--remove", "x:y", code=2).stderr


def test_sync_refuses_and_says_what_to_type(multitrack, sent):
    output = multitrack("sync", code=1).output
    assert f"names {ADDRESS} for mlflow" in output
    assert f"multitrack trust {ADDRESS}" in output
    assert f"multitrack trust {sent.path}" in output


def test_a_folder_is_made_ones_own_and_given_up(multitrack, sent):
    output = multitrack("trust", str(sent.path)).output
    assert f"{sent.path} is yours." in output
    assert f"mlflow: {ADDRESS}" in output
    multitrack("trust", "--remove", str(sent.path))
    assert "which nothing here does" in multitrack("sync", code=1).output


def test_a_third_partys_backend_is_run_only_by_name(multitrack, make_run, monkeypatch, notebooks):
    folder = make_run("a", report_to=["notebook"])
    monkeypatch.setenv("MULTITRACK_KEY", "mine")
    output = multitrack("sync", code=1).output
    assert f"multitrack sync {folder.path} --to notebook" in output
    assert not notebooks.exists()
    multitrack("sync", "--to", "notebook")
    assert notebooks.exists()


@pytest.mark.parametrize("answer", ["n", ""])
def test_a_person_is_asked_and_no_is_no(sent, tmp_path, answer):
    master, slave = pty.openpty()
    program = [sys.executable, "-m", "multitrack", "sync", str(sent.path)]
    process = subprocess.Popen(program, stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path)
    os.close(slave)
    os.write(master, f"{answer}\n".encode())
    said = b""
    while b"multitrack trust" not in said:
        said += os.read(master, 65536)
    assert process.wait(60) == 1
    os.close(master)
    assert b"Deliver there? [y/N]" in said
    assert ADDRESS.encode() in said
    assert not list(tmp_path.glob("*.db"))
