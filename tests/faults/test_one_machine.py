"""What one machine does to a run: forks, clocks, two at once, torn and flipped bytes, many runs."""

import os
import signal
import subprocess
import sys
import time

import pytest
from harness import reader_of, wait_until

import multitrack
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import glance, read_history
from multitrack.trackers.journal import JournalReader
from multitrack.trackers.records import Codec, Metrics

STEPS = 200


def steps_of(run):
    reader, steps = JournalReader(run.folder.journal), []
    while entries := reader.read():
        steps += [entry.record.step for entry in entries if isinstance(entry.record, Metrics)]
    return steps


def stored_steps(folder):
    state = folder.courier("tensorboard").read_state()
    return [p.step for p in reader_of("tensorboard").read(folder, state).metrics["train/loss"]]


def log(run, first, last):
    for step in range(first, last):
        run.log({"train/loss": step / 7}, step=step)


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    return tmp_path / "board"


@pytest.fixture
def start(board, tmp_path):
    """Start runs that report to TensorBoard."""
    return lambda **options: multitrack.start_run(
        report_to="tensorboard", dir=tmp_path / "runs", **options
    )


def sync(run, *arguments):
    path = run.path if isinstance(run, RunFolder) else run
    command = [sys.executable, "-m", "multitrack", "sync", str(path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_fork_in_mid_run_harms_neither_the_run_nor_its_end(start):
    run = start()
    log(run, 0, 50)
    children = []
    for child in range(4):
        pid = os.fork()
        if not pid:
            log(run, 1000 * (child + 1), 1000 * (child + 1) + 20)
            run.finish("failed", quiet=True)
            os._exit(0)
        children.append(pid)
        log(run, 50 + 10 * child, 60 + 10 * child)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    log(run, 90, 100)
    [report] = run.finish(timeout=120, quiet=True)
    assert report.delivered, report
    expected = [*range(100), *(1000 * n + i for n in range(1, 5) for i in range(20))]
    assert sorted(steps_of(run)) == expected
    assert sorted(stored_steps(run.folder)) == expected
    assert read_history(run.folder).status == "finished"


def test_a_forked_child_that_outlives_the_trainer_holds_no_courier_back(training):
    script = (
        "import multitrack, os, sys, time\n"
        "run = multitrack.start_run(report_to='tensorboard', dir=sys.argv[1])\n"
        "run.log({'train/loss': 1.0}, step=0)\n"
        "if not os.fork():\n    time.sleep(300)\n    os._exit(0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(training.dir)]
    process = subprocess.Popen(command, cwd=training.cwd, start_new_session=True)
    try:
        assert process.wait(60) == -signal.SIGKILL
        assert training.wait_for_delivery("tensorboard").told == "killed"
        assert glance(training.run).status == "killed"
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_workers_of_a_data_loader(start):
    data = pytest.importorskip("torch.utils.data")
    run = start()
    loader = data.DataLoader(range(40), batch_size=4, num_workers=2, multiprocessing_context="fork")
    for step, batch in enumerate(loader):
        run.log({"train/loss": float(batch.sum())}, step=step)
    [report] = run.finish(timeout=120, quiet=True)
    assert report.delivered, report
    assert stored_steps(run.folder) == list(range(10))


def test_a_clock_that_is_set_back_costs_nothing(start, monkeypatch):
    run, real = start(), time.time
    log(run, 0, 50)
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    log(run, 50, 100)
    [report] = run.finish(timeout=120, quiet=True)
    assert report.delivered, report
    assert stored_steps(run.folder) == list(range(100))
    history = read_history(run.folder)
    assert (history.status, history.lag(0) <= 0) == ("finished", True)


def test_two_runs_in_one_process_do_not_mix(start):
    one, two = start(), start()
    for step in range(50):
        one.log({"train/loss": step}, step=step)
        two.log({"train/loss": step}, step=1000 + step)
    reports = [*one.finish("failed", timeout=120), *two.finish(timeout=120)]
    assert all(report.delivered for report in reports), reports
    assert stored_steps(one.folder) == list(range(50))
    assert stored_steps(two.folder) == list(range(1000, 1050))
    assert [read_history(run.folder).status for run in (one, two)] == ["failed", "finished"]


def test_a_flipped_byte_and_a_torn_tail_cost_their_own_lines(start):
    run = start(delivery="later")
    log(run, 0, STEPS)
    run.finish(quiet=True)
    content = bytearray(run.folder.journal.read_bytes())
    line = content.index(b'"step":77,')
    content[line] ^= 0xFF
    run.folder.journal.write_bytes(content + b'{"type":"metrics","time":1.0,"st')
    first = sync(run.folder)
    assert "delivered" in first.communicate(timeout=120)[0]
    assert stored_steps(run.folder) == [step for step in range(STEPS) if step != 77]
    state = run.folder.courier("tensorboard").read_state()
    assert (state.corrupt, state.phase, state.told) == (1, "done", "finished")


@pytest.mark.parametrize("fits_a_line", [False, True])
def test_a_cursor_behind_which_the_journal_was_lost_hides_nothing(start, fits_a_line):
    """A loss of power may take the journal's tail, and leave the cursor that was behind it."""
    run = start(delivery="later")
    log(run, 0, STEPS)
    run.finish(quiet=True)
    sync(run.folder).communicate(timeout=120)
    lines = run.folder.journal.read_bytes().splitlines(keepends=True)
    run.folder.journal.write_bytes(b"".join(lines[:-30]) + lines[-30][:20])
    again = start(delivery="later", run_id=run.id)
    log(again, 1000, 1030)
    again.log_text("long", "x" * 10_000)
    again.finish(quiet=True)
    if fits_a_line:
        content = run.folder.journal.read_bytes()
        cursor = run.folder.courier("tensorboard")
        state = cursor.read_state()
        state.offset = content.rindex(b"\n", 0, -1) + 1
        cursor.write_state(state)
    sync(run.folder).communicate(timeout=120)
    assert set(stored_steps(run.folder)) >= {*range(171), *range(1000, 1030)}
    assert run.folder.courier("tensorboard").read_state().phase == "done"


def test_two_syncs_at_once_bring_everything_once(start):
    run = start(delivery="later")
    log(run, 0, 5 * STEPS)
    run.finish(quiet=True)
    both = [sync(run.folder), sync(run.folder)]
    for one in both:
        one.communicate(timeout=120)
    assert sync(run.folder).communicate(timeout=120)[0] == "Everything is delivered.\n"
    assert stored_steps(run.folder) == list(range(5 * STEPS))


def test_watching_a_live_run_from_another_process(start):
    run = start(delivery="later")
    watcher = sync(run.folder.path.parent, "--watch")
    try:
        for chunk in range(3):
            log(run, 50 * chunk, 50 * (chunk + 1))
            size = run.folder.journal.stat().st_size
            courier = run.folder.courier("tensorboard")
            wait_until(lambda s=size, c=courier: c.read_state().offset >= s, 90, courier.log)
            assert stored_steps(run.folder) == list(range(50 * (chunk + 1)))
        run.finish(quiet=True)
        wait_until(lambda: courier.read_state().phase == "done", 90, courier.log)
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=60)
    assert watcher.returncode == 0
    assert courier.read_state().told == "finished"


def test_a_thousand_runs_are_listed_and_looked_through_quickly(start, tmp_path):
    run = start(delivery="later")
    log(run, 0, 20)
    run.finish(quiet=True)
    header, *rest = run.folder.journal.read_bytes().splitlines(keepends=True)
    for number in range(1000):
        folder = RunFolder(tmp_path / "many" / f"run-{number:04d}")
        folder.create()
        other = Codec.decode(header)
        folder.journal.write_bytes(header.replace(run.id.encode(), folder.run_id.encode()))
        with folder.journal.open("ab") as journal:
            journal.writelines(rest)
        state = folder.courier("tensorboard")
        state.create()
        size = folder.journal.stat().st_size
        state.state.write_text(f'{{"offset":{size},"phase":"done","updated":1}}')
        assert other.report_to == ["tensorboard"]
    started = time.monotonic()
    assert sync(tmp_path / "many").communicate(timeout=120)[0] == "Everything is delivered.\n"
    assert time.monotonic() - started < 20
