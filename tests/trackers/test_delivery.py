"""Delivery from the trainer's side: where couriers work, what they survive, what is reported."""

import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from multitrack_notebook import NotebookTracker

from multitrack.trackers import delivery, registry, unfinished
from multitrack.trackers.delivery import MODES, Report, Restarts, report
from multitrack.trackers.folder import CourierState
from multitrack.trackers.locks import FileLock

BEHIND = ["process", "thread"]
"""The modes in which the training waits for nobody."""


@pytest.fixture
def quick(monkeypatch):
    """See soon that a courier died, and start it again soon."""
    monkeypatch.setattr(delivery, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(delivery, "MAX_RESTART_DELAY", 0.1)


@pytest.fixture
def by_hand(monkeypatch):
    """Let the notebook's adapter hand out its folder; return what it is for a run."""
    monkeypatch.setattr(NotebookTracker, "native", lambda tracker: tracker._folder)
    return lambda run: Path(os.environ["NOTEBOOK_DIR"]) / run.id


def log(run, count, first=0):
    for step in range(first, first + count):
        run.log({"loss": step / 8}, step=step)


def state_of(run):
    return run.folder.courier("notebook").read_state()


# -- the modes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*BEHIND, "inline"])
def test_everything_arrives(start, notebook, capsys, mode):
    run = start(report_to="notebook", delivery=mode, config={"lr": 0.1})
    log(run, 10)
    run.finish("failed", timeout=60)
    assert (notebook.steps(run), notebook.outcomes(run)) == (list(range(10)), ["failed"])
    pids = {line["pid"] for line in notebook.lines(run, "start")}
    assert (pids == {os.getpid()}) == (mode != "process")
    url = state_of(run).attachment.url
    assert capsys.readouterr().err == f"multitrack: notebook: delivered: {url}\n"


def test_later_delivers_nothing_and_says_how(start, notebook, capsys):
    run = start(report_to="notebook", delivery="later")
    log(run, 3)
    (found,) = run.finish()
    assert not notebook.lines(run)
    assert (found.delivered, found.pending, found.url) == (False, 5, None)
    assert found.command == f"multitrack sync {run.folder.path} --to notebook"
    said = f"multitrack: notebook: 5 records pending; deliver with: {found.command}\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("mode", MODES)
def test_run_that_goes_on_is_delivered_on(start, notebook, mode):
    run = start(report_to="notebook", delivery=mode)
    log(run, 2)
    run.finish(timeout=60, quiet=True)
    log(run, 2, first=2)
    run.finish("failed", timeout=60, quiet=True)
    if mode == "later":
        return
    assert (notebook.steps(run), notebook.outcomes(run)) == ([0, 1, 2, 3], ["finished", "failed"])


def test_client_that_must_live_with_the_trainer_does(start, notebook, monkeypatch):
    monkeypatch.setattr(NotebookTracker, "placement", "trainer")
    run = start(report_to="notebook", delivery="process")
    run.finish(timeout=60, quiet=True)
    assert [line["pid"] for line in notebook.lines(run, "start")] == [os.getpid()]


def test_wait_comes_at_the_end_if_not_before(start, notebook, wait_until):
    run = start(report_to="notebook", delivery="thread")
    log(run, 1)
    assert run.finish(wait=False) == []
    log(run, 1, first=1)
    wait_until(lambda: notebook.steps(run) == [0, 1])
    assert notebook.outcomes(run) == []
    (found,) = run.finish("failed", timeout=60, quiet=True)
    assert found.delivered
    assert notebook.outcomes(run) == ["failed"]


# -- a backend that does not answer ----------------------------------------------------------------


@pytest.mark.parametrize("mode", BEHIND)
def test_hanging_backend_holds_up_nothing(start, notebook, mode):
    notebook.order(hang=30)
    run = start(report_to="notebook", delivery=mode)
    started = time.monotonic()
    log(run, 2000)
    assert time.monotonic() - started < 2
    started = time.monotonic()
    (found,) = run.finish(timeout=0.5, quiet=True)
    assert 0.5 <= time.monotonic() - started < 3
    assert (found.delivered, found.pending) == (False, 2002)
    if mode == "process":
        os.kill(run._session._delivery._workers["notebook"].pid, signal.SIGKILL)


def test_time_to_wait_is_the_runs_own_if_none_is_given(start, notebook):
    notebook.order(hang=30)
    run = start(report_to="notebook", delivery="thread", finish_timeout=0.2)
    started = time.monotonic()
    run.finish(quiet=True)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("mode", BEHIND)
def test_parked_backend_is_not_waited_for(start, notebook, mode, capsys):
    notebook.order(park=True)
    run = start(report_to="notebook", delivery=mode)
    started = time.monotonic()
    (found,) = run.finish(timeout=60)
    assert time.monotonic() - started < 20
    assert found.message == "the notebook is locked; unlock the notebook"
    assert "2 records pending (the notebook is locked; unlock the" in capsys.readouterr().err


@pytest.mark.parametrize("mode", BEHIND)
def test_what_was_parked_once_is_not_taken_for_parked(start, notebook, mode):
    notebook.order(park=True)
    run = start(report_to="notebook", delivery=mode)
    run.finish(timeout=60, quiet=True)
    notebook.orders.unlink()
    log(run, 1)
    (found,) = run.finish(timeout=60, quiet=True)
    assert found.delivered


def test_one_backend_harms_no_other(start, notebook, monkeypatch):
    broken = type("Broken", (NotebookTracker,), {"name": "broken", "start": lambda *_: 1 / 0})
    points = [Named("broken", broken), Named("notebook", NotebookTracker)]
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    run = start(report_to=["broken", "notebook"], delivery="thread")
    log(run, 5)
    found = {one.backend: one.delivered for one in run.finish(timeout=60, quiet=True)}
    assert found == {"broken": False, "notebook": True}
    assert notebook.steps(run) == list(range(5))


class Named:
    def __init__(self, name, target):
        self.name = name
        self.load = lambda: target


def test_inline_backend_that_fails_is_tried_again_at_the_next_call(start, notebook, caplog):
    run = start(report_to="notebook", delivery="inline")
    notebook.order(retry=2, at=["log_metrics"])
    log(run, 2)
    assert notebook.steps(run) == []
    assert caplog.text.count("notebook: the pen is empty") == 1
    log(run, 1, first=2)
    assert notebook.steps(run) == [0, 1, 2]


def test_inline_error_that_nobody_expected_does_not_reach_the_training(
    start, notebook, monkeypatch
):
    run = start(report_to="notebook", delivery="inline")
    monkeypatch.setattr(NotebookTracker, "classify", lambda *_: 1 / 0)
    notebook.order(**{"raise": "OSError"})
    log(run, 2)
    (found,) = run.finish(quiet=True)
    assert not found.delivered


@pytest.mark.parametrize(("error", "word"), [("SystemExit", "sys.exit"), ("MemoryError", "ink")])
def test_inline_client_that_exits_or_has_no_memory_costs_nothing(
    start, notebook, caplog, error, word
):
    run = start(report_to="notebook", delivery="inline")
    notebook.order(**{"raise": error})
    log(run, 2)
    assert word in caplog.text
    notebook.orders.unlink()
    log(run, 1, first=2)
    assert notebook.steps(run) == [0, 1, 2]


def test_inline_trouble_is_told_to_those_who_look(start, notebook):
    run = start(report_to="notebook", delivery="inline")
    notebook.order(retry=9)
    log(run, 1)
    state = run.folder.courier("notebook").read_state()
    assert (state.phase, state.message) == ("retrying", "the pen is empty")


def test_inline_call_in_a_call(start, notebook, monkeypatch):
    """A signal handler that logs while the backend is at work."""
    run = start(report_to="notebook", delivery="inline")
    log_text = NotebookTracker.log_text

    def interrupted(self, text):
        if text.text == "outer":
            run.log_text("key", "inner")
        log_text(self, text)

    monkeypatch.setattr(NotebookTracker, "log_text", interrupted)
    run.log_text("key", "outer")
    assert [line["content"] for line in notebook.lines(run, "text")] == ["outer", "inner"]


@pytest.mark.parametrize("mode", ["inline", "thread"])
def test_another_courier_at_work(start, notebook, tmp_path, mode, caplog):
    run = start(report_to="notebook", run_id="a-run")
    run.finish(quiet=True)
    with FileLock(run.folder.courier("notebook").lock):
        run = start(report_to="notebook", run_id="a-run", delivery=mode)
        log(run, 1)
        (found,) = run.finish(timeout=0.3, quiet=True)
        assert not found.delivered
        assert ("another courier delivers" in caplog.text) == (mode == "inline")


def test_inline_run_may_end_on_another_thread(start, notebook):
    run = start(report_to="notebook", delivery="inline")
    thread = threading.Thread(target=run.finish, kwargs={"quiet": True})
    thread.start()
    thread.join()
    log(run, 1)
    run.finish(quiet=True)
    assert notebook.steps(run) == [0]


# -- couriers that die -----------------------------------------------------------------------------


def test_killed_courier_is_started_again(start, notebook, quick, wait_until):
    run = start(report_to="notebook", delivery="process")
    log(run, 5)
    wait_until(lambda: notebook.steps(run) == list(range(5)))
    first = state_of(run).pid
    os.kill(first, signal.SIGKILL)
    log(run, 5, first=5)
    wait_until(lambda: state_of(run).pid != first and 9 in notebook.steps(run))
    (found,) = run.finish(timeout=60, quiet=True)
    assert found.delivered
    assert sorted(set(notebook.steps(run))) == list(range(10))


def test_record_that_crashes_its_courier_is_set_aside(start, notebook, quick, wait_until):
    notebook.order(crash_on="poison")
    run = start(report_to="notebook", delivery="process")
    run.log({"poison": 1.0}, step=0)
    log(run, 3, first=1)
    wait_until(lambda: notebook.steps(run) == [1, 2, 3], 60)
    (found,) = run.finish(timeout=60, quiet=True)
    assert (found.delivered, found.refused) == (True, 1)
    assert ", 1 refused" in str(found)


def test_thread_that_dies_is_started_again(start, notebook, quick, monkeypatch, wait_until, caplog):
    monkeypatch.setattr(NotebookTracker, "classify", lambda *_: 1 / 0)
    notebook.order(**{"raise": "OSError"})
    run = start(report_to="notebook", delivery="thread")
    log(run, 2)
    wait_until(lambda: caplog.text.count("the notebook courier stopped") > 1)
    notebook.orders.unlink()
    (found,) = (
        run.finish(timeout=60, quiet=True) if wait_until(lambda: notebook.steps(run)) else [0]
    )
    assert found.delivered


def test_restarts_come_ever_later(monkeypatch):
    now = 0.0
    monkeypatch.setattr(delivery.time, "monotonic", lambda: now)
    restarts, times = Restarts(), []
    while len(times) < 9:
        now += 0.5
        if restarts.is_due():
            times.append(now)
    waits = [round(b - a) for a, b in itertools.pairwise(times)]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_end_while_a_courier_is_started_again(start, notebook, quick, monkeypatch):
    spawn, is_starting = delivery.spawn, threading.Event()

    def slowly(*args, **kwargs):
        is_starting.set()
        time.sleep(0.5)
        return spawn(*args, **kwargs)

    run = start(report_to="notebook", delivery="process")
    monkeypatch.setattr(delivery, "spawn", slowly)
    log(run, 1)
    os.kill(run._session._delivery._workers["notebook"].pid, signal.SIGKILL)
    assert is_starting.wait(20)
    (found,) = run.finish(timeout=60, quiet=True)
    assert found.delivered, "the courier was forgotten"


def test_courier_that_cannot_be_started_leaves_the_run_free(start, notebook, monkeypatch):
    def fail(*_, **__):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(delivery, "spawn", fail)
    with pytest.raises(BlockingIOError):
        start(report_to="notebook", run_id="a-run", delivery="process")
    run = start(report_to="notebook", run_id="a-run")
    log(run, 1)


# -- forks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*BEHIND, "inline"])
def test_forked_child_neither_delivers_nor_keeps_couriers_waiting(start, notebook, mode):
    run = start(report_to="notebook", delivery=mode)
    log(run, 1)
    is_logged, parent_is_done = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        log(run, 1, first=1)
        os.write(is_logged[1], b"x")
        os.close(parent_is_done[1])
        os.read(parent_is_done[0], 1)
        log(run, 1, first=2)  # too late: the run has its outcome
        os._exit(0)
    os.read(is_logged[0], 1)
    (found,) = run.finish(timeout=30, quiet=True)
    os.close(parent_is_done[1])
    os.waitpid(child, 0)
    for descriptor in (*is_logged, parent_is_done[0]):
        os.close(descriptor)
    assert found.delivered
    assert (notebook.steps(run), notebook.outcomes(run)) == ([0, 1], ["finished"])
    assert report(run.folder, "notebook").delivered, "something was logged after the end"


# -- reports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"delivered": True}, "x: delivered: http://x"),
        ({"delivered": True, "url": None, "refused": 2000}, "x: delivered, 2,000 refused"),
        (
            {"pending": 1234, "message": "down"},
            "x: 1,234 records pending (down); deliver with: sync",
        ),
        ({"pending": 0, "refused": 1}, "x: outcome pending, 1 refused; deliver with: sync"),
    ],
)
def test_report(fields, said):
    known = {"backend": "x", "delivered": False, "pending": 0, "refused": 0, "url": "http://x"}
    assert str(Report(**known | {"message": None, "command": "sync"} | fields)) == said


def test_report_of_what_was_delivered_before_more_was_logged(start, notebook):
    run = start(report_to="notebook")
    folder = run.folder.courier("notebook")
    folder.write_state(CourierState(offset=run.folder.journal.stat().st_size, phase="done"))
    assert report(run.folder, "notebook").delivered
    log(run, 1)
    found = report(run.folder, "notebook")
    assert (found.delivered, found.pending) == (False, 1)


def test_nothing_is_left_open(start, notebook):
    def open_files():
        return len(list(Path("/dev/fd").iterdir()))

    def run_in_each_mode():
        for mode in (*BEHIND, "inline"):
            run = start(report_to="notebook", delivery=mode)
            run.finish(timeout=60, quiet=True)
            assert run not in unfinished._unfinished

    run_in_each_mode()
    before = open_files()
    run_in_each_mode()
    assert open_files() == before


# -- what is handed out for logging by hand --------------------------------------------------------


@pytest.mark.parametrize("mode", ["thread", "inline"])
def test_native_is_there_as_soon_as_the_client_has_started(start, notebook, by_hand, mode):
    run = start(report_to="notebook", delivery=mode)
    assert run.native("notebook", timeout=60) == by_hand(run)
    run.log({"loss": 0.0}, step=0)
    run.finish(timeout=60, quiet=True)
    with pytest.raises(RuntimeError, match="has ended, and its clients with it"):
        run.native("notebook")
    run.log({"loss": 1.0}, step=1)
    assert run.native("notebook", timeout=60) == by_hand(run)


def test_native_of_a_run_whose_wait_comes_later(start, notebook, by_hand):
    run = start(report_to="notebook", delivery="thread")
    run.finish(wait=False)
    with pytest.raises(RuntimeError, match="has ended"):
        run.native("notebook")
    run.log({"loss": 0.0}, step=0)
    assert run.native("notebook", timeout=60) == by_hand(run)


@pytest.mark.parametrize("mode", ["process", "later"])
def test_native_is_nowhere_else(start, notebook, by_hand, mode):
    run = start(report_to="notebook", delivery=mode)
    with pytest.raises(RuntimeError, match="delivery='thread', or set MULTITRACK_DELIVERY=thread"):
        run.native("notebook")


def test_native_of_a_client_that_always_lives_with_the_trainer(
    start, notebook, by_hand, monkeypatch
):
    monkeypatch.setattr(NotebookTracker, "placement", "trainer")
    run = start(report_to="notebook", delivery="process")
    assert run.native("notebook", timeout=60) == by_hand(run)


def test_native_of_another_backend(start, notebook):
    run = start(report_to="notebook", delivery="thread")
    with pytest.raises(ValueError, match="'wandb' is none of the backends of this run: notebook"):
        run.native("wandb")


def test_native_that_an_adapter_does_not_have(start, notebook):
    run = start(report_to="notebook", delivery="thread")
    with pytest.raises(NotImplementedError, match="notebook hands out no object of its client"):
        run.native("notebook", timeout=60)


@pytest.mark.parametrize("mode", ["thread", "inline"])
def test_native_of_a_parked_backend(start, notebook, by_hand, mode):
    notebook.order(park=True)
    run = start(report_to="notebook", delivery=mode)
    with pytest.raises(RuntimeError, match="the notebook is locked; unlock the notebook"):
        run.native("notebook", timeout=60)


def test_native_of_a_backend_that_does_not_answer(start, notebook, by_hand):
    notebook.order(retry=9)
    run = start(report_to="notebook", delivery="thread")
    with pytest.raises(TimeoutError, match=r"within 0.5 seconds: (it is still|the pen is empty)"):
        run.native("notebook", timeout=0.5)


def test_native_in_a_forked_child(start, notebook, by_hand):
    run = start(report_to="notebook", delivery="thread")
    run.native("notebook", timeout=60)
    if (child := os.fork()) == 0:
        try:
            run.native("notebook", timeout=1)
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
