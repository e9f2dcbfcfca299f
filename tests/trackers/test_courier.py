"""The loop that takes a journal to a backend, by hand and with a backend that gives trouble."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from multitrack_notebook import NotebookTracker

from multitrack.trackers import courier as module
from multitrack.trackers.courier import Courier, read_header
from multitrack.trackers.folder import Attempt
from multitrack.trackers.journal import JournalReader
from multitrack.trackers.kept import kept_settings
from multitrack.trackers.locks import FileLock
from multitrack.trackers.protocol import Refused, Retry
from multitrack.trackers.testing import samples


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "_back_off", lambda failures: 0.01 * failures)


@pytest.fixture
def run(start, notebook):
    return start(report_to="notebook", config={"lr": 0.1}, tags="baseline", name="a run")


@pytest.fixture
def ended(run):
    """A run of ten steps that failed."""
    log(run, 10)
    run.finish("failed", quiet=True)
    return run


def log(run, count, first=0):
    for step in range(first, first + count):
        run.log({"loss": step / 8}, step=step)


def make(run, **options):
    settings = kept_settings(run.folder, run.folder.run_id, "notebook")
    return Courier(run.folder, "notebook", settings, **options)


def deliver(run, **options):
    """Take everything to the backend after the trainer is gone."""
    run._session.close()
    gone = threading.Event()
    gone.set()
    courier = make(run, **{"linger": 60.0, **options})
    courier.run(gone)
    return state_of(run)


def state_of(run):
    return run.folder.courier("notebook").read_state()


def refusals(run):
    return [(r.record, r.key, r.reason) for r in run.folder.courier("notebook").read_refused()]


class Live:
    """A courier in a thread, while the run goes on."""

    def __init__(self, run, **options):
        self.gone = threading.Event()
        self.courier = make(run, **options)
        self.thread = threading.Thread(target=self.courier.run, args=[self.gone], daemon=True)
        self.thread.start()

    def end(self):
        self.gone.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


# -- delivery ------------------------------------------------------------------------------------


def test_everything_arrives_in_order_with_the_outcome(ended, notebook):
    ended.log_text("late", "x")
    ended.summary({"best": 0.5})
    ended.finish("failed", quiet=True)
    state = deliver(ended)
    kinds = [line["kind"] for line in notebook.lines(ended)]
    assert kinds == ["start", "params", "tags", *["metrics"] * 10, "text", "summary", "finish"]
    assert notebook.steps(ended) == list(range(10))
    assert notebook.outcomes(ended) == ["failed"]
    assert (state.phase, state.told, state.refused) == ("done", "failed", 0)
    assert state.offset == ended.folder.journal.stat().st_size
    assert state.attachment.url.endswith("page.jsonl")


def sizes_of_calls(monkeypatch):
    sizes, log_metrics = [], NotebookTracker.log_metrics

    def spy(self, points):
        sizes.append(len(points))
        log_metrics(self, points)

    monkeypatch.setattr(NotebookTracker, "log_metrics", spy)
    return sizes


def test_metrics_come_in_batches_and_nothing_is_mixed_up(run, notebook, monkeypatch):
    sizes = sizes_of_calls(monkeypatch)
    log(run, 250)
    run.log_text("text", "x")
    log(run, 30, first=250)
    deliver(run)
    assert sizes == [100, 100, 50, 30]
    assert notebook.steps(run) == list(range(280))


def test_second_delivery_brings_nothing_twice(ended, notebook):
    deliver(ended)
    before = notebook.lines(ended)
    deliver(ended)
    assert notebook.lines(ended) == before


def test_outcome_is_told_though_the_courier_died_before_it(ended, notebook):
    courier = make(ended)
    assert courier.deliver_next()
    assert not courier.deliver_next()
    assert notebook.outcomes(ended) == []
    deliver(ended)
    assert notebook.outcomes(ended) == ["failed"]
    assert notebook.steps(ended) == list(range(10))


def test_run_that_was_never_ended_was_killed(run, notebook):
    log(run, 3)
    assert deliver(run).told == "killed"
    assert notebook.outcomes(run) == ["killed"]


def test_run_that_another_session_goes_on_with_was_not_killed(run, notebook):
    log(run, 3)
    run._session.close()
    with FileLock(run.folder.writer_lock):
        state = deliver(run)
    assert notebook.steps(run) == [0, 1, 2]
    assert (notebook.outcomes(run), state.phase) == ([], "waiting")


def test_more_after_the_end_is_the_same_run_going_on(ended, notebook, start):
    first = deliver(ended)
    log(ended, 2, first=10)
    ended.finish("finished", quiet=True)
    second = deliver(ended)
    kinds = [line["kind"] for line in notebook.lines(ended)]
    assert kinds[-5:] == ["finish", "start", "metrics", "metrics", "finish"]
    assert notebook.outcomes(ended) == ["failed", "finished"]
    assert second.attachment == first.attachment


def test_end_is_told_while_the_trainer_lives_on_after_a_grace(
    run, notebook, monkeypatch, wait_until
):
    monkeypatch.setattr(module, "END_GRACE", 0.3)
    live = Live(run)
    log(run, 1)
    run.finish("failed", wait=False)
    wait_until(lambda: notebook.steps(run) == [0])
    assert not notebook.outcomes(run), "more may still come: evaluation after training"
    wait_until(lambda: notebook.outcomes(run) == ["failed"])
    log(run, 1, first=1)
    wait_until(lambda: notebook.steps(run) == [0, 1])
    run.finish("finished", wait=False)
    live.end()
    assert notebook.outcomes(run) == ["failed", "finished"]


def test_run_that_goes_on_is_followed(run, notebook, wait_until):
    live = Live(run)
    for step in range(3):
        log(run, 1, first=step)
        wait_until(lambda step=step: notebook.steps(run) == list(range(step + 1)))
        wait_until(lambda: state_of(run).phase == "waiting")
    run._session.close()
    live.end()
    assert notebook.outcomes(run) == ["killed"]


def test_once_brings_all_that_is_there_of_a_run_that_goes_on(run, notebook, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 10)
    log(run, 95)
    courier = make(run)
    courier.once = True
    courier.run(threading.Event())
    assert notebook.steps(run) == list(range(95))
    assert (notebook.outcomes(run), state_of(run).phase) == ([], "waiting")
    assert state_of(run).offset == run.folder.journal.stat().st_size


def test_cursor_is_never_ahead_of_the_backend(run, notebook, monkeypatch, wait_until):
    monkeypatch.setattr(module, "BATCH", 7)
    notebook.order(slow=0.001)
    log(run, 300)
    with_cursor = JournalReader(run.folder.journal)
    ends = {entry.record.step: entry.end for entry in with_cursor.read()[1:]}
    with_cursor.close()
    live = Live(run)
    seen = set()
    while len(seen) < 300 and live.thread.is_alive():
        offset = state_of(run).offset
        stored = set(notebook.steps(run))
        missing = [step for step, end in ends.items() if end <= offset and step not in stored]
        assert not missing, f"the cursor is past step {missing[0]}, which is not stored"
        seen |= stored
    live.end()


def test_delivered_counts_records(ended):
    assert deliver(ended).delivered == 12  # header, ten rows, end


def test_nothing_is_left_open(ended):
    deliver(ended)
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        deliver(ended)
    assert len(list(Path("/dev/fd").iterdir())) == before


# -- what the backend refuses --------------------------------------------------------------------


def test_refused_names_are_set_aside_and_the_rest_is_stored(run, notebook, caplog):
    notebook.order(refuse=["bad", "lr"])
    for step in range(3):
        run.log({"loss": step / 8, "bad": 1.0}, step=step)
    run.log_text("bad", "x")
    run.log_text("good", "x")
    state = deliver(run)
    assert notebook.points(run) == [(step, step / 8) for step in range(3)]
    assert [line["key"] for line in notebook.lines(run, "text")] == ["good"]
    assert refusals(run) == [
        ("params", "lr", "no lr here"),
        ("metrics", "bad", "no bad here"),
        ("text", "bad", "no bad here"),
    ]
    assert (state.refused, state.phase) == (3, "done")
    warnings = [r for r in caplog.records if r.levelname == "WARNING"]
    assert [w.getMessage() for w in warnings] == ["notebook refused lr: no lr here"]


def test_refused_batch_is_offered_one_by_one(run, notebook):
    notebook.order(refuse_call=["bad"])
    for step in range(10):
        run.log({"bad" if step in {4, 7} else "loss": step / 8}, step=step)
    state = deliver(run)
    assert notebook.steps(run) == [0, 1, 2, 3, 5, 6, 8, 9]
    assert refusals(run) == [("metrics", None, "nothing with bad")] * 2
    assert (state.refused, state.phase, state.delivered) == (2, "done", 11)


def test_failure_among_the_ones_repeats_nothing(run, notebook, monkeypatch):
    """A batch is refused, its records are offered one by one, and then the network fails."""
    notebook.order(refuse_call=["bad"])
    for step in range(10):
        run.log({"bad" if step == 2 else "loss": step / 8}, step=step)
    log_metrics, failures = NotebookTracker.log_metrics, iter([True])

    def fail_once(self, points):
        if [point.step for point in points] == [7] and next(failures, False):
            raise Retry("no network")
        log_metrics(self, points)

    monkeypatch.setattr(NotebookTracker, "log_metrics", fail_once)
    deliver(run)
    assert notebook.steps(run) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert len(refusals(run)) == 1


def test_refused_config_does_not_cost_the_tags(run, notebook):
    notebook.order(refuse_call=["lr"])
    deliver(run)
    assert [line["values"] for line in notebook.lines(run, "tags")] == [{"baseline": ""}]
    assert refusals(run) == [("params", None, "nothing with lr")]


@pytest.mark.parametrize("method", ["flush", "finish"])
def test_refusal_at_the_end_of_a_batch_or_run_stops_nothing(ended, notebook, monkeypatch, method):
    def refuse(*_):
        raise Refused("never", {"a": "no a"} if method == "flush" else None)

    monkeypatch.setattr(NotebookTracker, method, refuse)
    state = deliver(ended)
    assert (state.phase, state.refused) == ("done", 1)
    expected = ("batch", "a", "no a") if method == "flush" else ("end", None, "never")
    assert refusals(ended) == [expected]
    assert notebook.steps(ended) == list(range(10))


def test_repeated_batch_is_refused_once(ended, notebook):
    notebook.order(refuse=["loss"])
    assert deliver(ended).refused == 1
    folder = ended.folder.courier("notebook")
    state = folder.read_state()
    state.offset, state.refused = 0, 0
    folder.write_state(state)
    assert deliver(ended).refused == 1
    assert len(refusals(ended)) == 1


def test_unreadable_lines_are_skipped_and_reported(run, notebook):
    log(run, 2)
    with run.folder.journal.open("ab") as journal:
        journal.write(b"garbage\n\n")
    log(run, 2, first=2)
    state = deliver(run)
    assert notebook.steps(run) == [0, 1, 2, 3]
    assert (state.corrupt, state.refused) == (2, 2)
    assert [(kind, reason[:9]) for kind, _, reason in refusals(run)] == [("line", "no record")] * 2


def test_journal_without_a_header(run):
    run.folder.journal.write_bytes(b"garbage\n")
    with pytest.raises(ValueError, match="does not begin with a run's header"):
        read_header(run.folder)


def test_artifact_is_withheld_from_those_that_shall_not_get_it(run, notebook, tmp_path):
    for name, withheld in {"ours": ["other"], "theirs": "notebook", "all": ()}.items():
        (tmp_path / name).write_text(name)
        run.log_artifact(tmp_path / name, withhold_from=withheld)
    state = deliver(run)
    assert [line["key"] for line in notebook.lines(run, "artifact")] == ["ours", "all"]
    assert (state.phase, state.refused) == ("done", 0)


def test_changed_and_missing_files_are_refused(run, notebook, tmp_path, monkeypatch):
    monkeypatch.setattr("multitrack.trackers.staging.COPY_LIMIT", 0)
    monkeypatch.setattr("multitrack.trackers.staging._clone", lambda *_: False)
    for name in ("fine", "changed", "gone"):
        (tmp_path / name).write_text(name)
        run.log_artifact(tmp_path / name)
    (tmp_path / "changed").write_text("something else")
    os.utime(tmp_path / "changed", ns=(0, 1))
    (gone,) = run.folder.files.rglob("gone")
    gone.unlink()
    state = deliver(run)
    assert [line["key"] for line in notebook.lines(run, "artifact")] == ["fine"]
    reasons = {key: reason for _, key, reason in refusals(run)}
    assert reasons["changed"].startswith("changed was overwritten in place after it was logged")
    assert reasons["gone"] == "gone is gone from the run's folder"
    assert state.phase == "done"


@pytest.mark.parametrize(
    ("error", "phase", "told"),
    [("ZeroDivisionError", "done", "failed"), ("ConnectionError", "retrying", "running")],
)
def test_error_of_the_client_is_classified(ended, notebook, error, phase, told):
    notebook.order(**{"raise": error, "at": ["log_metrics"]})
    state = deliver(ended, linger=0.1)
    assert (state.phase, state.told) == (phase, told)
    if phase == "done":
        assert refusals(ended) == [("metrics", None, f"{error}: the ink is dry")] * 10
    else:
        assert state.message == f"{error}: the ink is dry"


# -- what may pass -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["start", "log_params", "log_metrics", "flush", "finish"])
def test_failure_that_passes_costs_nothing(ended, notebook, method):
    notebook.order(retry=3, at=[method])
    state = deliver(ended)
    assert (state.phase, state.failures, state.message) == ("done", 0, None)
    assert notebook.steps(ended) == list(range(10))
    assert notebook.outcomes(ended) == ["failed"]


def test_client_that_is_gone_is_started_anew_and_given_all_again(run, notebook):
    notebook.order(session_ack=True)
    log(run, 3)
    gone = threading.Event()
    courier = make(run)
    courier.deliver_next()
    assert state_of(run).offset == 0, "nothing is acknowledged before the end"
    assert not notebook.lines(run)
    log(run, 3, first=3)
    notebook.order(session_ack=True, restart=1, at=["log_metrics"])
    run._session.close()
    gone.set()
    courier.run(gone)
    assert notebook.steps(run) == list(range(6))
    assert state_of(run).phase == "done"


@pytest.mark.parametrize("writer", ["write_state", "set_aside"])
def test_full_disk_is_waited_for_and_is_no_crash_of_a_record(ended, notebook, monkeypatch, writer):
    notebook.order(refuse=["loss"])
    courier = make(ended, linger=5.0)
    real, left = getattr(courier.folder, writer), [3]

    def write(content):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(content)

    monkeypatch.setattr(courier.folder, writer, write)
    gone = threading.Event()
    gone.set()
    courier.run(gone)
    state = state_of(ended)
    assert (state.phase, state.told, state.message, left) == ("done", "failed", None, [0])
    assert state.refused == 1, "once a batch"
    assert refusals(ended) == [("metrics", "loss", "no loss here")]


def test_waits_as_long_as_the_backend_asks(ended, notebook):
    notebook.order(retry=2, after=0.3, at=["log_metrics"])
    started = time.monotonic()
    deliver(ended)
    assert 0.6 < time.monotonic() - started < 5


def test_waits_longer_after_each_failure():
    waits = [module.__dict__["_back_off"](n) for n in (1, 2, 3)]
    assert waits == sorted(waits)


def test_flush_that_failed_is_tried_again_though_nothing_new_comes(run, notebook, wait_until):
    notebook.order(retry=2, at=["flush"])
    live = Live(run)
    log(run, 3)
    size = run.folder.journal.stat().st_size
    wait_until(lambda: state_of(run).offset == size)
    live.end()


def test_gives_up_after_its_time_and_says_why(ended, notebook):
    notebook.order(retry=10**6)
    started = time.monotonic()
    state = deliver(ended, linger=0.3)
    assert time.monotonic() - started < 5
    assert (state.phase, state.message, state.offset) == ("retrying", "the pen is empty", 0)
    assert state.failures > 2
    notebook.orders.unlink()
    assert deliver(ended).phase == "done"
    assert notebook.steps(ended) == list(range(10))


@pytest.mark.parametrize("orders", [{"retry": 10**6, "after": 60}, {"park": True}])
def test_stops_at_once_when_told_to(ended, notebook, orders, wait_until):
    notebook.order(**orders)
    live = Live(ended)
    wait_until(lambda: state_of(ended).phase in {"retrying", "parked"})
    live.courier.stop = True
    live.thread.join(5)
    assert not live.thread.is_alive()
    assert state_of(ended).phase in {"retrying", "parked"}


# -- what waits for a person ---------------------------------------------------------------------


@pytest.mark.parametrize("at", ["start", "log_metrics"])
def test_parked_backend_says_what_to_do(ended, notebook, at):
    notebook.order(park=True, at=[at])
    state = deliver(ended)
    assert state.phase == "parked"
    assert (state.message, state.remedy) == ("the notebook is locked", "unlock the notebook")
    assert state.offset == 0
    notebook.orders.unlink()
    state = deliver(ended)
    assert (state.phase, state.message, state.remedy) == ("done", None, None)


def test_parked_backend_is_tried_again_and_at_the_end_once_more(
    run, notebook, monkeypatch, wait_until
):
    monkeypatch.setattr(module, "PARKED_RETRY", 0.05)
    notebook.order(park=True)
    live = Live(run)
    log(run, 1)
    wait_until(lambda: state_of(run).failures > 2)
    notebook.orders.unlink()
    wait_until(lambda: notebook.steps(run) == [0])
    monkeypatch.setattr(module, "PARKED_RETRY", 300.0)
    notebook.order(park=True)
    log(run, 1, first=1)
    wait_until(lambda: state_of(run).phase == "parked")
    notebook.orders.unlink()
    run.finish(wait=False)
    live.end()
    assert notebook.steps(run) == [0, 1]
    assert state_of(run).phase == "done"


def test_trainer_that_ends_between_a_failure_and_the_wait_is_noticed(ended, notebook, alarm):
    notebook.order(park=True)
    courier, gone = make(ended), threading.Event()
    note = courier._note

    def end_here(phase):
        note(phase)
        gone.set()

    courier._note = end_here
    with alarm(20):
        courier.run(gone)
    assert state_of(ended).phase == "parked"


def test_refused_start_waits_for_a_person(ended, notebook):
    notebook.order(**{"raise": "ZeroDivisionError", "at": ["start"]})
    state = deliver(ended)
    assert (state.phase, state.remedy) == ("parked", "multitrack doctor")
    notebook.order(**{"raise": "ImportError", "at": ["start"]})
    assert deliver(ended).remedy == "pip install multitrack-notebook"


# -- crashes -------------------------------------------------------------------------------------


def crash(run, start, end, tries):
    """Leave behind what a courier leaves that died while it delivered."""
    folder = run.folder.courier("notebook")
    state = folder.read_state()
    state.attempt = Attempt(start, end, tries)
    folder.write_state(state)


def test_batch_that_crashed_its_courier_is_offered_record_by_record(ended, notebook, monkeypatch):
    with_cursor = JournalReader(ended.folder.journal)
    entries = with_cursor.read()
    with_cursor.close()
    crash(ended, entries[3].start, entries[6].end, 1)
    sizes = sizes_of_calls(monkeypatch)
    assert deliver(ended).attempt is None
    assert sizes == [2, 1, 1, 1, 1, 4]
    assert notebook.steps(ended) == list(range(10))


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_record_that_crashes_three_times_is_set_aside(ended, notebook, tries):
    with_cursor = JournalReader(ended.folder.journal)
    entry = with_cursor.read()[4]
    with_cursor.close()
    crash(ended, entry.start, entry.end, tries)
    state = deliver(ended)
    if tries < 3:
        assert notebook.steps(ended) == list(range(10))
        assert not refusals(ended)
    else:
        assert notebook.steps(ended) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert refusals(ended) == [("metrics", None, "its delivery crashed the courier 3 times")]
    assert state.phase == "done"


def test_media_arrive_as_files(run, notebook):
    run.log_image("image", samples.png(), step=1)
    deliver(run)
    (line,) = notebook.lines(run, "image")
    ((_, place),) = line["files"].items()
    assert (notebook.dir / run.id / place).read_bytes() == samples.png()
