"""Runs in a directory of their own, and a backend that keeps them and gives trouble on orders."""

import json
import signal
import time
from contextlib import closing, contextmanager

import pytest
from multitrack_notebook import read_notebook

from multitrack import start_run
from multitrack.trackers.folder import replace_file
from multitrack.trackers.journal import Entry, JournalReader


@pytest.fixture
def alarm():
    """Fail what takes longer than so many seconds: ``with alarm(10):``."""

    def ring(*_):
        raise AssertionError("it hangs")

    @contextmanager
    def within(seconds):
        before = signal.signal(signal.SIGALRM, ring)
        signal.alarm(seconds)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return within


@pytest.fixture
def start(tmp_path):
    """Start a run that is recorded only, unless the options say more."""
    runs = []

    def start(**options):
        options = {"dir": tmp_path / "runs", "delivery": "later", "report_to": "none"} | options
        runs.append(start_run(**options))
        return runs[-1]

    yield start
    for run in runs:
        run.finish(timeout=0, quiet=True)


@pytest.fixture
def records():
    """Return the records of a run's journal, those of some types if types are given."""

    def read(run, *types):
        entries = []
        with closing(JournalReader(run.folder.journal)) as reader:
            while more := reader.read():
                entries += more
        assert all(isinstance(entry, Entry) for entry in entries), "a line cannot be read"
        found = [entry.record for entry in entries]
        return [record for record in found if isinstance(record, types or object)]

    return read


class Notebook:
    """The notebooks of this test, and the orders that the backend gets."""

    def __init__(self, tmp_path):
        self.dir = tmp_path / "notebooks"
        self.orders = tmp_path / "orders.json"

    def order(self, **orders):
        replace_file(self.orders, json.dumps(orders).encode())

    def lines(self, run, *kinds):
        found = read_notebook(self.dir, run.folder.run_id)
        return [line for line in found if not kinds or line["kind"] in kinds]

    def points(self, run, name="loss"):
        lines = self.lines(run, "metrics")
        return [(x["step"], x["values"][name]) for x in lines if name in x["values"]]

    def steps(self, run, name="loss"):
        return [step for step, _ in self.points(run, name)]

    def outcomes(self, run):
        return [line["status"] for line in self.lines(run, "finish")]


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    notebook = Notebook(tmp_path)
    monkeypatch.setenv("NOTEBOOK_DIR", str(notebook.dir))
    monkeypatch.setenv("NOTEBOOK_TROUBLE", str(notebook.orders))
    return notebook


@pytest.fixture
def wait_until():
    """Look until something is true."""

    def wait_until(condition, seconds=90, log=None):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            said = log.read_text()[-3000:] if log and log.exists() else ""
            assert time.monotonic() < deadline, f"not within {seconds} s\n{said}"
            time.sleep(0.02)
        return found

    return wait_until
