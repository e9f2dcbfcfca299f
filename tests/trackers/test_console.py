"""Console capture: the terminal gets what it always got, and the run a log of it."""
# ruff: noqa: T201 - printing is what is tested

import logging
import os
import subprocess
import sys

import pytest

from multitrack.trackers import console
from multitrack.trackers.records import Artifact, End


@pytest.fixture
def log(records):
    """Return the text of a run's last log."""

    def log(run):
        *_, artifact = records(run, Artifact)
        assert (artifact.name, artifact.kind) == ("console.log", "log")
        return (run.folder.path / artifact.files[0].path).read_text()

    return log


def test_log_holds_both_capsys_and_the_terminal_is_as_it_was(start, capsys, log, records):
    before = [(vars(s).copy(), s) for s in (sys.stdout, sys.stderr)]
    handler = logging.StreamHandler()  # holds stderr from before
    run = start(capture_console=True)
    print("hello", "wörld")
    handler.emit(logging.makeLogRecord({"msg": "a warning"}))
    sys.stdout.writelines(["one\n", "two"])
    assert sys.stdout.write("!\n") == 2
    run.finish(quiet=True)
    print("afterwards")
    assert log(run) == "hello wörld\na warning\none\ntwo!\n"
    assert capsys.readouterr() == ("hello wörld\none\ntwo!\nafterwards\n", "a warning\n")
    assert [(vars(s), s) for s in (sys.stdout, sys.stderr)] == before
    assert isinstance(records(run)[-1], End)


def test_progress_bars_leave_one_line(start, capsys, log):
    tqdm = pytest.importorskip("tqdm").tqdm
    run = start(capture_console=True)
    for _ in tqdm(range(3), desc="outer", mininterval=0, leave=True):
        for _ in tqdm(range(50), desc="inner", position=1, mininterval=0, leave=False):
            pass
    print("done")
    run.finish(quiet=True)
    lines = log(run).splitlines()
    assert len(lines) <= 4, lines
    assert lines[0].startswith("outer: 100%")
    assert lines[-1].endswith("done")
    assert capsys.readouterr().err.count("\r") > 100


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\rb\n", ["b"]),
        ("a\r\n", ["a"]),
        ("10%\r20%", ["20%"]),
        ("one\ntwo\n\x1b[2Auno\r\n", ["oneuno", "two"]),
        ("one\ntwo\n\x1b[2A\runo\n\n", ["uno", "two"]),
        ("\x1b[31mred\x1b[0m\n", ["red"]),
        ("\n\n", ["", ""]),
        ("".join(f"{i}\n" for i in range(100)), [str(i) for i in range(100)]),
        ("x" * (console.WIDTH + 3), ["x" * console.WIDTH, "xxx"]),
    ],
)
def test_screen(text, lines):
    for size in (1, len(text)):
        found = []
        screen = console.Screen(found.append)
        pieces = (
            [text] if "\x1b" in text else [text[i : i + size] for i in range(0, len(text), size)]
        )
        for piece in pieces:
            screen.write(piece)
        screen.settle_all()
        assert found == lines


def test_secrets_are_not_kept(start, capsys, log):
    run = start(capture_console=True)
    print("login with hf_abcdefghijklmnopqrstuvwxyz")
    run.finish(quiet=True)
    assert log(run) == "login with <redacted>\n"


def test_log_has_a_limit_and_keeps_beginning_and_end(start, capsys, log, monkeypatch):
    monkeypatch.setattr(console, "LIMIT", 100)
    monkeypatch.setattr(console, "TAIL", 50)
    run = start(capture_console=True)
    for i in range(1000):
        print("line", i)
    run.finish(quiet=True)
    lines = log(run).splitlines()
    assert (lines[0], lines[-1]) == ("line 0", "line 999")
    assert len(lines) < 30
    kept = sum(line.startswith("line") for line in lines)
    assert f"... {1000 - kept} lines are left out ..." in lines


def test_exception_that_ends_the_run_is_in_the_log(start, capsys, log):
    with pytest.raises(RuntimeError), start(capture_console=True) as run:  # noqa: PT012
        print("before")
        raise RuntimeError("out of memory")
    text = log(run)
    assert text.startswith("before\nTraceback")
    assert text.endswith("RuntimeError: out of memory\n")


def test_exception_that_ends_the_program_is_in_the_log(tmp_path):
    code = (
        "import multitrack; run = multitrack.start_run(report_to='none', run_id='r');"
        "print('at work'); raise ValueError('too late')"
    )
    environ = os.environ | {"MULTITRACK_CAPTURE_CONSOLE": "yes", "MULTITRACK_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    text = (tmp_path / "r" / "console.log").read_text()
    assert result.stdout == "at work\n"
    assert text.startswith("at work\nTraceback")
    assert "ValueError: too late" in text


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in (
    "import multitrack; print('before')",
    "run = multitrack.start_run(report_to='none', dir='runs', capture_console=True); print('one')",
    "print('two'); raise ValueError('of a cell')",
    "print('three')",
    "run.finish(); print('after')",
):
    shell.run_cell(cell, store_history=True)
"""


def test_each_cell_of_a_notebook_is_captured(tmp_path):
    pytest.importorskip("IPython")
    command = [sys.executable, "-c", NOTEBOOK]
    environ = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "NO_COLOR": "1"}
    subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, check=True)
    [path] = (tmp_path / "runs").glob("*/console.log")
    lines = path.read_text().splitlines()
    assert [line for line in lines if line in {"before", "one", "two", "three", "after"}] == [
        "one",
        "two",
        "three",
    ]
    assert "ValueError: of a cell" in lines


def test_two_runs_end_in_any_order(start, capsys, log):
    plain = [vars(s).copy() for s in (sys.stdout, sys.stderr)]
    first, second = start(capture_console=True), start(capture_console=True)
    print("both")
    first.finish(quiet=True)
    print("second")
    second.finish(quiet=True)
    assert (log(first), log(second)) == ("both\n", "both\nsecond\n")
    assert [vars(s) for s in (sys.stdout, sys.stderr)] == plain


def test_wrapper_of_another_stays(start, capsys, log):
    run = start(capture_console=True)
    inner = sys.stdout.write
    sys.stdout.write = lambda text: inner(text.upper())
    print("loud")
    run.finish(quiet=True)
    print("still loud")
    again = start(capture_console=True)
    print("once")
    again.finish(quiet=True)
    assert log(run) == "LOUD\n"
    assert log(again) == "ONCE\n"
    assert capsys.readouterr().out == "LOUD\nSTILL LOUD\nONCE\n"


def test_run_that_goes_on_has_a_log_of_all(start, capsys, log):
    run = start(capture_console=True)
    print("first")
    run.finish(wait=False)
    run.log({"loss": 1.0})
    print("second")
    run.finish(quiet=True)
    again = start(run_id=run.id, capture_console=True)
    print("third")
    again.finish(quiet=True)
    assert log(again) == "first\nsecond\nthird\n"


def test_forked_child_prints_to_the_terminal_only(start, capsys, log):
    run = start(capture_console=True)
    if (child := os.fork()) == 0:
        print("child")
        os._exit(0)
    os.waitpid(child, 0)
    print("parent")
    run.finish(quiet=True)
    assert log(run) == "parent\n"


def test_nothing_is_captured_unasked(start, capsys, records):
    run = start()
    print("hello")
    run.finish(quiet=True)
    assert not records(run, Artifact)
    assert "write" not in vars(sys.stdout)


def test_process_without_terminal(start, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    start(capture_console=True).finish(quiet=True)


def test_variable_is_read_strictly(start, monkeypatch):
    monkeypatch.setenv("MULTITRACK_CAPTURE_CONSOLE", "perhaps")
    with pytest.raises(ValueError, match="MULTITRACK_CAPTURE_CONSOLE is 'perhaps'; allowed: true"):
        start()
    with pytest.raises(ValueError, match="capture_console is 1"):
        start(capture_console=1)
