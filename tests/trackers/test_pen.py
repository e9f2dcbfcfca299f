from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from multitrack.trackers.pen import WHILE, Pen

LINE = b'{"type": "metrics"}\n'
MORE_THAN_A_PIPE_HOLDS = bytes(1024 * 1024)
READS_LATE = "import sys, time; time.sleep(0.1); sys.stdin.buffer.read()"


@contextmanager
def late_reader():
    """Yield a pipe that another process reads, but not at once."""
    with subprocess.Popen([sys.executable, "-c", READS_LATE], stdin=subprocess.PIPE) as process:
        yield process.stdin.fileno()
        process.stdin.close()


@pytest.fixture
def usual_writes(monkeypatch):
    """Count the writes that let go of the interpreter."""
    lines, write = [], os.write

    def counting(descriptor, line):
        lines.append(line)
        return write(descriptor, line)

    monkeypatch.setattr(os, "write", counting)
    return lines


@pytest.fixture
def journal(tmp_path):
    descriptor = os.open(tmp_path / "journal", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def holding():
    """A pen that has just waited for a write."""
    pen = Pen()
    with late_reader() as pipe:
        assert pen.write(pipe, MORE_THAN_A_PIPE_HOLDS) == len(MORE_THAN_A_PIPE_HOLDS)
    return pen


def test_it_writes_as_everybody_does(journal, usual_writes):
    pen = Pen()
    assert pen.write(journal, LINE) == len(LINE)
    assert usual_writes == [LINE]


def test_after_a_slow_write_it_keeps_the_interpreter_for_a_while(holding, journal, usual_writes):
    for _ in range(WHILE):
        assert holding.write(journal, LINE) == len(LINE)
    assert len(usual_writes) < WHILE  # a loaded machine may have made it let go again
    assert os.pread(journal, WHILE * len(LINE) + 1, 0) == WHILE * LINE


def test_where_the_disk_is_slow_others_run_meanwhile(holding, journal, usual_writes):
    with late_reader() as pipe:
        assert holding.write(pipe, MORE_THAN_A_PIPE_HOLDS) == len(MORE_THAN_A_PIPE_HOLDS)
    assert usual_writes == []
    holding.write(journal, LINE)
    assert usual_writes == [LINE]


def test_an_error_is_named_whatever_the_way(holding):
    for pen in (Pen(), holding):
        with pytest.raises(OSError, match="Bad file descriptor"):
            pen.write(-1, LINE)


def test_a_thread_that_computes_holds_nothing_up(journal):
    """The lines arrive whole and in order, with a busy thread beside the writer."""
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            sum(range(500))

    thread = threading.Thread(target=compute)
    thread.start()
    pen = Pen()
    lines = [b"%d\n" % n for n in range(20_000)]
    try:
        assert [pen.write(journal, line) for line in lines] == [len(line) for line in lines]
    finally:
        stop.set()
        thread.join()
    assert os.pread(journal, 10**6, 0) == b"".join(lines)
