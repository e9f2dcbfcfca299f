"""A run that is finished and delivered keeps no thread, process or descriptor, and may go on."""

import os
import threading
from pathlib import Path

import pytest

from multitrack.trackers import courier, delivery, unfinished
from multitrack.trackers.delivery import Report
from multitrack.trackers.locks import is_locked

DELIVERED = Report("notebook", True, 0, 0, None, None, "")


def log(run, step):
    run.log({"loss": step / 8}, step=step)


@pytest.fixture(autouse=True)
def retired():
    """Say nothing at exit of the runs of these tests."""
    unfinished._retired.clear()
    yield
    unfinished._retired.clear()


@pytest.fixture
def no_grace(monkeypatch):
    """Tell the outcome as soon as all is delivered."""
    monkeypatch.setattr(courier, "END_GRACE", 0)
    monkeypatch.setattr(delivery, "END_GRACE", 0)


def remains():
    """Return our threads, child processes and open files."""
    threads = [t for t in threading.enumerate() if t.name.startswith("multitrack")]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return len(threads), len(children), len(list(Path("/dev/fd").iterdir()))


def is_clean(before):
    """Tell whether there is no more than before; runs of other tests may leave meanwhile."""
    return all(now <= then for now, then in zip(remains(), before, strict=True))


@pytest.mark.parametrize("mode", ["thread", "inline", "later"])
def test_run_that_is_delivered_leaves_nothing_behind(start, notebook, no_grace, mode, wait_until):
    before = remains()
    runs = [start(report_to="notebook", delivery=mode) for _ in range(3)]
    for run in runs:
        log(run, 0)
        run.finish(wait=False, quiet=True)
    wait_until(lambda: is_clean(before))
    assert all(not is_locked(run.folder.writer_lock) for run in runs)
    for run in runs:
        log(run, 1)
        run.finish("failed", wait=False)
    wait_until(lambda: is_clean(before))
    if mode != "later":
        assert [notebook.steps(run) for run in runs] == [[0, 1]] * 3
        assert [notebook.outcomes(run) for run in runs] == [["finished", "failed"]] * 3


def test_courier_process_of_a_run_that_is_delivered_leaves(start, notebook, monkeypatch):
    """Its own grace is over: the folder says so."""
    before = remains()
    run = start(report_to="notebook", delivery="process")
    assert run.finish(timeout=60, quiet=True)[0].delivered
    run = start(report_to="notebook", delivery="process")
    monkeypatch.setattr(delivery, "report", lambda run, backend: DELIVERED)
    monkeypatch.setattr(delivery, "END_GRACE", 0)
    session = run._session
    run.finish(wait=False)
    session._delivery._watcher.join(60)
    assert is_clean(before)
    assert unfinished._retired[run.folder.path] == [DELIVERED]


def test_run_that_is_delivered_is_told_of_at_exit(start, notebook, no_grace, wait_until, capsys):
    run = start(report_to="notebook", delivery="thread")
    run.finish(wait=False)
    wait_until(lambda: run._session.is_closed)
    assert capsys.readouterr().err == ""
    assert run.folder.path in unfinished._retired
    unfinished._finish_at_exit()
    assert "multitrack: notebook: delivered: " in capsys.readouterr().err
    log(run, 1)
    assert run.folder.path not in unfinished._retired


def test_run_that_goes_on_is_not_let_go_of(start, notebook, no_grace, monkeypatch):
    run = start(report_to="notebook", delivery="thread")
    run.finish(wait=False)
    log(run, 1)
    assert not run._retire(run._session)
    assert run.status == "running"


def test_what_is_not_delivered_is_kept_at_work(start, notebook, no_grace, wait_until):
    notebook.order(**{"raise": "ConnectionError"})
    run = start(report_to="notebook", delivery="thread")
    run.finish(wait=False)
    wait_until(lambda: run.folder.courier("notebook").read_state().phase == "retrying")
    assert not run._session.is_closed
    notebook.orders.unlink()
    run.folder.courier("notebook").ring()
    wait_until(lambda: run._session.is_closed)
    assert notebook.outcomes(run) == ["finished"]


def test_finish_waits_for_the_last_try_in_this_process(start, notebook, wait_until, monkeypatch):
    """A program that ends during that try can be aborted by its client's thread."""
    notebook.order(park=True)
    run = start(report_to="notebook", delivery="thread")
    wait_until(lambda: run.folder.courier("notebook").read_state().phase == "parked")
    notebook.order(hang=0.3)
    (found,) = run.finish(timeout=60, quiet=True)
    assert found.delivered
