"""Sources: trackers that measure in the trainer's process and hand records to the others."""

import os
import threading
import time
from types import SimpleNamespace

import pytest
from multitrack_notebook import NotebookTracker

from multitrack.trackers import delivery, registry
from multitrack.trackers.courier import Courier
from multitrack.trackers.protocol import Attachment, Gap, unsupported
from multitrack.trackers.records import End, Metrics, Summary


class Thermometer(NotebookTracker):
    """Measure 20 degrees at the start, and 30 at the end."""

    name = "thermometer"
    placement = "source"
    log_params = log_metrics = log_text = unsupported(Gap.NEVER, "it stores nothing")
    threads = []
    last_words = staticmethod(lambda: None)

    def start(self, run):
        self._emit = run.emit
        if self._emit:
            self._emit(Metrics, {"temperature": 20.0})
            self.threads.append(threading.current_thread().name)
        return Attachment(id=run.run_id)

    def flush(self):
        return True

    def abandon(self):
        self.last_words()
        if self._emit:
            self._emit(Metrics, {"temperature": 30.0})
            self._emit(Summary, {"hottest": 30.0})

    def finish(self, status):
        """Nothing is left to do."""


@pytest.fixture(autouse=True)
def thermometer(monkeypatch):
    points = [
        SimpleNamespace(name=kind.name, load=lambda kind=kind: kind)
        for kind in (Thermometer, NotebookTracker)
    ]
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    monkeypatch.setattr(Thermometer, "threads", [])
    return Thermometer


@pytest.fixture
def begin(start, wait_until):
    """Start a run, and wait until the source measures."""

    def begin(**options):
        before = len(Thermometer.threads)
        run = start(**{"report_to": ["thermometer", "notebook"]} | options)
        wait_until(lambda: len(Thermometer.threads) > before)
        return run

    return begin


@pytest.mark.parametrize("mode", delivery.MODES)
def test_what_is_measured_comes_before_the_outcome(begin, notebook, records, mode):
    run = begin(delivery=mode)
    run.log({"loss": 1.0}, step=5)
    run.log_text("note", "words")
    found = {one.backend: one for one in run.finish(timeout=60, quiet=True)}
    assert (found["thermometer"].delivered, found["thermometer"].refused) == (True, 0)
    *_, point, summary, end = records(run)
    assert isinstance(end, End)
    assert (point.step, point.values, summary.values) == (
        5,
        {"temperature": 30.0},
        {"hottest": 30.0},
    )
    assert Thermometer.threads == ["multitrack-thermometer"]
    if mode != "later":
        assert [value for _, value in notebook.points(run, "temperature")] == [20.0, 30.0]
        assert notebook.outcomes(run) == ["finished"]


def test_the_first_step_is_still_the_runs_own(begin, records):
    run = begin()
    run.log({"loss": 1.0})
    assert [(p.step, list(p.values)) for p in records(run, Metrics)] == [
        (0, ["temperature"]),
        (0, ["loss"]),
    ]


def test_measuring_ends_with_the_outcome_even_if_delivery_is_not_waited_for(begin, records):
    run = begin()
    run.finish(wait=False)
    assert isinstance(records(run)[-1], End)
    assert records(run, Summary)
    before = len(records(run))
    run.finish(timeout=60, quiet=True)
    assert len(records(run)) == before


def test_run_that_goes_on_is_measured_again(begin, wait_until, records):
    run = begin()
    run.finish(timeout=60, quiet=True)
    run.log({"loss": 1.0}, step=9)
    wait_until(lambda: len(Thermometer.threads) == 2)
    run.finish(timeout=60, quiet=True)
    found = [p.values["temperature"] for p in records(run, Metrics) if "temperature" in p.values]
    assert found == [20.0, 30.0, 20.0, 30.0]
    assert [type(record).__name__ for record in records(run)[-2:]] == ["Summary", "End"]


def test_training_again_is_measured_again(begin, wait_until, records):
    run = begin()
    run.finish(wait=False)
    run.log({"loss": 1.0}, step=9)
    wait_until(lambda: len(Thermometer.threads) == 2)
    [report, _] = run.finish(timeout=60, quiet=True)
    assert report.delivered
    names = [type(record).__name__ for record in records(run)]
    assert names[-3:] == ["Metrics", "Summary", "End"]
    assert (names.count("Summary"), names.count("End")) == (2, 2)


def test_source_that_hangs_holds_up_the_end_to_its_limit(begin, monkeypatch, records):
    monkeypatch.setattr(delivery, "SOURCE_PATIENCE", 0.3)
    is_over = threading.Event()
    monkeypatch.setattr(Thermometer, "last_words", staticmethod(lambda: is_over.wait(60)))
    run = begin()
    started = time.monotonic()
    run.finish(wait=False)
    assert 0.3 <= time.monotonic() - started < 5
    is_over.set()
    [report, _] = run.finish(timeout=60, quiet=True)
    assert report.delivered
    assert isinstance(records(run)[-1], End), "what came too late is left out"


def test_source_that_hangs_is_within_the_time_that_the_user_gives(begin, monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(Thermometer, "last_words", staticmethod(lambda: is_over.wait(60)))
    run = begin()
    started = time.monotonic()
    run.finish(timeout=0.5, quiet=True)
    assert time.monotonic() - started < 4
    is_over.set()


def test_source_that_fails_harms_nothing(begin, notebook, monkeypatch, caplog):
    monkeypatch.setattr(Thermometer, "last_words", staticmethod(lambda: 1 / 0))
    run = begin(delivery="thread")
    run.log({"loss": 1.0}, step=1)
    run.finish(timeout=60, quiet=True)
    assert notebook.outcomes(run) == ["finished"]
    assert "the thermometer courier stopped" in caplog.text


def test_source_hands_out_nothing(begin):
    with pytest.raises(RuntimeError, match="thermometer measures the run"):
        begin(delivery="thread").native("thermometer")


def test_sync_measures_nothing(notebook, start, records):
    run = start(report_to="none")
    run.log({"loss": 1.0}, step=1)
    run.finish(quiet=True)
    before = records(run)
    courier = Courier(run.folder, "thermometer", Thermometer.settings_type())
    gone = threading.Event()
    gone.set()
    courier.run(gone)
    assert (courier.state.phase, courier.state.refused) == ("done", 0)
    assert (records(run), Thermometer.threads) == (before, [])


def test_forked_child_measures_nothing(begin, records):
    run = begin()
    if (child := os.fork()) == 0:
        run.finish(timeout=5, quiet=True)
        os._exit(0)
    os.waitpid(child, 0)
    run.finish(timeout=60, quiet=True)
    assert len(records(run, Summary)) == len(records(run, End)) == 1
