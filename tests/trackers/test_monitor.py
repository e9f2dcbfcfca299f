"""System metrics: measured beside training, at its last step, and no longer than the run."""

import os
import threading

import pytest

from multitrack import TrackingCallback
from multitrack.trackers import monitor, observers
from multitrack.trackers.records import End, Metrics

psutil = pytest.importorskip("psutil")


@pytest.fixture
def measured(records):
    def measured(run):
        found = records(run, Metrics)
        return [m for m in found if any(name.startswith("system/") for name in m.values)]

    return measured


def threads():
    return [t for t in threading.enumerate() if t.name == "multitrack-system"]


def test_machine_is_measured_at_the_last_step(start, measured, records, wait_until):
    run = start(system_metrics=0.1)
    run.log({"loss": 1.0}, step=7)
    before = len(measured(run))
    wait_until(lambda: len(measured(run)) > before + 1)
    run.log({"loss": 0.5})
    run.finish(quiet=True)
    assert [m.step for m in records(run, Metrics) if "loss" in m.values] == [7, 8]
    *_, last = measured(run)
    assert last.step == 8
    values = last.values
    assert values["system/process_memory_gib"] == pytest.approx(
        psutil.Process().memory_info().rss / 2**30, rel=0.5
    )
    assert 0 <= values["system/memory_percent"] <= 100
    assert 0 <= values["system/disk_percent"] <= 100
    assert values["system/process_threads"] >= 2
    assert {"system/cpu_percent", "system/process_cpu_percent"} <= values.keys()
    assert isinstance(records(run)[-1], End)
    assert not threads()


def test_short_run_is_measured_once(start, measured):
    run = start(system_metrics=True)
    run.finish(quiet=True)
    assert len(measured(run)) == 1


def test_run_that_goes_on_is_measured_again(start, measured):
    run = start(system_metrics=True)
    run.finish(wait=False)
    assert not threads()
    run.log({"loss": 1.0})
    assert len(threads()) == 1
    run.finish(quiet=True)
    again = start(run_id=run.id, system_metrics=True)
    again.finish(quiet=True)
    assert len(measured(again)) == 3


def test_forked_child_measures_nothing(start, measured):
    run = start(system_metrics=True)
    if (child := os.fork()) == 0:
        run.finish(timeout=5, quiet=True)
        os._exit(len(threads()))
    assert os.waitpid(child, 0)[1] == 0
    run.finish(quiet=True)
    assert len(measured(run)) == 1


def test_reader_that_fails_is_left_out():
    readers = [lambda: {"a": 1}, lambda: 1 / 0, lambda: {"b": 2.5}]
    assert monitor.read_all(readers) == {"system/a": 1.0, "system/b": 2.5}
    assert len(readers) == 2


def test_counters_are_read_as_rates(monkeypatch):
    seconds = iter([0.0, 2.0])
    monkeypatch.setattr(monitor.time, "monotonic", lambda: next(seconds))
    counters = iter([complex(2**20), complex(5 * 2**20)])
    rates = monitor.Rates(lambda: next(counters), {"sent_mib_s": "real"})
    assert rates() == {}
    assert rates() == {"sent_mib_s": 2.0}


@pytest.mark.parametrize(
    ("given", "variable", "interval"),
    [
        (None, None, None),
        (None, "true", 15.0),
        (None, "1", 15.0),
        (None, "30", 30.0),
        (None, "off", None),
        (False, "true", None),
        (2, None, 2.0),
    ],
)
def test_interval(monkeypatch, given, variable, interval):
    if variable:
        monkeypatch.setenv("MULTITRACK_SYSTEM_METRICS", variable)
    assert observers.choose(given).system_metrics == interval


@pytest.mark.parametrize("word", ["often", "0.01", "-1", "nan", "inf"])
def test_variable_is_read_strictly(start, monkeypatch, word):
    monkeypatch.setenv("MULTITRACK_SYSTEM_METRICS", word)
    with pytest.raises(ValueError, match=f"MULTITRACK_SYSTEM_METRICS is '{word}'; allowed: true"):
        start()


def test_callback_finds_mistakes_before_training(monkeypatch):
    with pytest.raises(ValueError, match="system_metrics is 'often'"):
        TrackingCallback("none", system_metrics="often")


def test_missing_package_is_named(start, monkeypatch):
    monkeypatch.setattr(observers, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match='pip install "multitrack\\[system\\]"'):
        start(system_metrics=True)
