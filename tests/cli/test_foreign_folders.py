"""Looking at a run folder that somebody else wrote, and tidying it, changes nothing else."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_folders import folders, make_home, what_lies_in, write_folder
from typer.testing import CliRunner

from multitrack.cli import app

COMMANDS = [
    ("gc",),
    ("gc", "--dry-run"),
    ("runs",),
    ("runs", "--json"),
    ("show", "latest"),
    ("show", "latest", "--json", "--all"),
    ("export", "--format", "jsonl", "-o", "{home}/../tables"),
]


@pytest.fixture
def world(monkeypatch):
    """A home with things that matter, and a directory into which a run was unpacked."""
    root = Path(tempfile.mkdtemp())
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("MULTITRACK_DIR", str(root / "downloads"))
    yield root
    shutil.rmtree(root)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=folders(), command=st.sampled_from(COMMANDS), by_name=st.booleans())
def test_no_command_that_looks_or_tidies_touches_anything_else(world, made, command, by_name):
    home, folder = world / "home", world / "downloads" / "evil"
    make_home(home)
    shutil.rmtree(folder.parent, ignore_errors=True)
    write_folder(folder, home, *made)
    before = what_lies_in(home)
    words = [word.replace("{home}", str(home)) for word in command]
    if by_name and command[0] in {"gc", "runs"}:
        words.insert(1, str(folder if command[0] == "gc" else folder.parent))
    result = CliRunner().invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert what_lies_in(home) == before


def test_files_behind_a_link_are_kept(world, multitrack):
    home, folder = world / "home", world / "downloads" / "evil"
    make_home(home)
    records = [
        {
            "type": "run",
            "time": 0,
            "run_id": "evil",
            "host": {"hostname": "h", "pid": 1, "platform": "p", "python": "3"},
            "cwd": "/",
            "report_to": ["notebook"],
        },
        {"type": "end", "time": 1, "status": "finished"},
    ]
    write_folder(folder, home, records, {"phase": "done"}, {"files": str(home / "projects")})
    assert "is a link" in multitrack("gc").output
    assert (home / "projects" / "x").read_text() == "work\n"
    other = world / "downloads" / "moved"
    (folder / "files").unlink()
    write_folder(world / "elsewhere", home, records, {"phase": "done"}, {})
    other.symlink_to(world / "elsewhere")
    assert "is a link" in multitrack("gc", str(other)).output
    assert (world / "elsewhere" / "files" / "x").read_text() == "x"
