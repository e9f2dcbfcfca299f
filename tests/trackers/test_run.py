"""What users do with a run ends in its journal, and nothing they do wrong stops them."""

import copy
import errno
import io
import json
import logging
import math
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitrack import start_run
from multitrack.trackers.history import read_history
from multitrack.trackers.locks import is_locked
from multitrack.trackers.records import (
    END_STATUSES,
    Artifact,
    Audio,
    End,
    Figure,
    Header,
    Histogram,
    Image,
    Metrics,
    Params,
    Refused,
    Resumed,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.testing import samples


def steps(records, run):
    return [record.step for record in records(run, Metrics)]


# -- metrics -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([None, None, None], [0, 1, 2]),
        ([5, None, None], [5, 6, 7]),
        ([0, None], [0, 1]),
        ([3, 3, None], [3, 3, 4]),
        ([9, 4, None], [9, 4, 5]),
        ([-2, None], [-2, -1]),
        ([2.0, 2**53, 2**63 - 1], [2, 2**53, 2**63 - 1]),
    ],
)
def test_steps(start, records, given, expected):
    run = start()
    for step in given:
        run.log({"loss": 0.5}, step=step)
    assert steps(records, run) == expected


def test_everything_else_belongs_to_the_last_step(start, records, tmp_path):
    (tmp_path / "file").write_text("x")
    run = start()
    run.log_text("before", "x")
    run.log({"loss": 1.0})
    run.log({"loss": 1.0}, step=10)
    run.log_text("after", "x")
    run.log_artifact(tmp_path / "file")
    run.log({"loss": 1.0})
    run.log_text("given", "x", step=20)
    run.log({"loss": 1.0})
    run.log_artifact(tmp_path / "file", step=30)
    run.log({"loss": 1.0})
    assert [r.step for r in records(run, Text, Artifact)] == [0, 10, 10, 20, 30]
    assert steps(records, run) == [0, 10, 11, 21, 31]


def test_values_names_and_epoch(start, records):
    run = start()
    run.log({"a": math.nan, "b": -math.inf, "c": {"d": True, "é/😀": 2**63 - 1}}, epoch=0.25)
    (record,) = records(run, Metrics)
    assert record.epoch == 0.25
    assert math.isnan(record.values.pop("a"))
    assert record.values == {"b": -math.inf, "c/d": True, "c/é/😀": 2**63 - 1}


def test_time_is_that_of_the_call(start, records, monkeypatch):
    run = start()
    monkeypatch.setattr("time.time", lambda: 123.5)
    run.log({"loss": 1.0})
    assert records(run, Metrics)[0].time == 123.5


def test_bad_value_is_refused_by_name_once_and_counted(start, records, caplog):
    run = start()
    for step in range(3):
        run.log({"good": 1.0, "bad": "words", "eval": {"none": None}}, step=step)
    assert [record.values for record in records(run, Metrics)] == [{"good": 1.0}] * 3
    assert caplog.text.count("not logged: bad: str is not one number; use log_text()") == 1
    assert caplog.text.count("not logged: eval/none") == 1
    assert [record.key for record in records(run, Refused)] == ["bad", "eval/none"]
    run.finish(quiet=True)
    (end,) = records(run, End)
    assert end.refused == {"bad": 3, "eval/none": 3}


def test_two_values_of_one_name_are_not_merged(start, records, caplog):
    run = start()
    run.log({"a/b": 1.0, "a": {"b": 2.0}})
    assert records(run, Metrics)[0].values == {"a/b": 1.0}
    assert "not logged: a/b: the same call has another value of this name" in caplog.text


def test_nothing_to_log_is_no_record(start, records):
    run = start()
    run.log({})
    run.summary({})
    run.log({"bad": None})
    run.summary({"bad": None})
    assert not records(run, Metrics, Summary)
    run.log({"loss": 1.0})
    assert steps(records, run) == [0]


# -- everything else -----------------------------------------------------------------------------


def test_params_tags_and_summary(start, records):
    run = start()
    run.log_params({"lr": 0.1, "hub_token": "abc", "nested": {"x": [1, None]}})
    run.set_tags(["baseline"])
    run.set_tags({"team": "vision", "token": "abc"})
    run.summary({"best": 0.5, "n": 3, "why": "patience", "nan": math.nan, "x": {"y": 1}})
    assert records(run, Params)[0].values == {
        "lr": 0.1,
        "hub_token": "<redacted>",
        "nested": {"x": [1, None]},
    }
    assert [r.values for r in records(run, Tags)] == [
        {"baseline": ""},
        {"team": "vision", "token": "<redacted>"},
    ]
    values = records(run, Summary)[0].values
    assert math.isnan(values.pop("nan"))
    assert values == {"best": 0.5, "n": 3, "why": "patience", "x/y": 1}


def test_media(start, records):
    run = start()
    run.log_image("a/image", samples.png(), caption="é")
    run.log_figure("figure", samples.PlotlyLike(), step=2)
    run.log_audio("audio", samples.wav(), sample_rate=8000.0)
    run.log_video("video/", samples.gif())
    run.log_table("table", [["x", 1], ["y", None]], columns=["a", "b"])
    run.log_histogram("histogram", ([1, 2], [0, 1, 2]))
    image, figure, audio, video, table, histogram = records(run)[1:]
    kinds = [Image, Figure, Audio, Video, Table, Histogram]
    assert [type(r) for r in (image, figure, audio, video, table, histogram)] == kinds
    assert (image.key, image.caption, image.file.name) == ("a/image", "é", "image.png")
    assert figure.file.name == "figure.html"
    assert (audio.sample_rate, audio.file.name) == (8000, "audio.wav")
    assert video.file.name == "file.gif"
    assert (table.columns, table.rows) == (["a", "b"], 2)
    stored = json.loads((run.folder.path / table.file.path).read_bytes())
    assert stored == {"columns": ["a", "b"], "data": [["x", 1], ["y", None]]}
    assert (histogram.edges, histogram.counts) == ([0, 1, 2], [1, 2])
    for record, content in ((image, samples.png()), (audio, samples.wav()), (video, samples.gif())):
        assert (run.folder.path / record.file.path).read_bytes() == content


def test_artifact(start, records, tmp_path):
    folder = tmp_path / "checkpoint-3"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights").write_text("w")
    run = start()
    run.log_artifact(folder, kind="checkpoint", aliases=["best"], metadata={"x": {"token": "t"}})
    run.log_artifact(str(folder / "deep" / "weights"), name="../up/../w", aliases="latest")
    whole, file = records(run, Artifact)
    assert (whole.name, whole.kind, whole.folder) == ("checkpoint-3", "checkpoint", True)
    assert (whole.aliases, whole.metadata) == (["best"], {"x": {"token": "<redacted>"}})
    assert [f.name for f in whole.files] == ["deep/weights"]
    assert (file.name, file.folder, file.aliases) == ("up/w-a5331d8e", False, ["latest"])


class Rude:
    """An object that does everything wrong."""

    def __getattr__(self, name):
        raise ZeroDivisionError(name)

    def __str__(self):
        raise ZeroDivisionError("no words")

    __repr__ = __iter__ = __float__ = __len__ = __str__


class RudeError(Exception):
    __str__ = Rude.__str__


class Raises(dict):
    def items(self):
        raise RudeError


GARBAGE = [
    None,
    5,
    -0.5,
    "text",
    b"\xff",
    [],
    [None],
    {},
    {None: None},
    {"x": object()},
    {"\udcff": 1.0},
    object(),
    Rude(),
    Raises(x=1),
    {Rude(): Rude()},
    len,
    type,
    10**400,
    math.nan,
    SimpleNamespace(shape=(1,), dtype="float", savefig=5, to_html=3, save=1, convert=2),
]
CALLS = {
    "log": {"metrics": {"loss": 0.5}, "step": 1, "epoch": 0.5},
    "log_params": {"params": {"lr": 0.1}},
    "set_tags": {"tags": ["baseline"]},
    "summary": {"results": {"best": 0.5}},
    "log_text": {"key": "key", "text": "text", "step": 1},
    "log_image": {"key": "key", "image": samples.png(), "step": 1, "caption": "caption"},
    "log_figure": {"key": "key", "figure": samples.PlotlyLike(), "step": 1, "caption": "caption"},
    "log_histogram": {"key": "key", "data": ([1], [0, 1]), "step": 1, "bins": 64},
    "log_table": {"key": "key", "data": [[1]], "columns": ["a"], "step": 1},
    "log_audio": {"key": "key", "audio": samples.wav(), "sample_rate": 8000, "caption": "caption"},
    "log_video": {"key": "key", "video": samples.gif(), "fps": 4, "step": 1, "caption": "caption"},
    "log_artifact": {
        "path": __file__,
        "name": "name",
        "kind": "file",
        "step": 1,
        "aliases": ["best"],
        "metadata": {"x": 1},
    },
}
"""What each method takes."""


@pytest.mark.parametrize("method", CALLS)
def test_no_argument_whatever_raises(start, records, method, caplog):
    run, good = start(), CALLS[method]
    call = getattr(run, method)
    call(**good)
    assert len(records(run)) == 2
    for name in good:
        for garbage in GARBAGE:
            call(**good | {name: garbage})
    call(*[Rude()] * len(good))
    assert "not logged" in caplog.text
    run.log({"loss": 0.5}, step=1)
    assert records(run)[-1].values == {"loss": 0.5}  # and every line can be read


def test_tree_that_holds_itself(start, records, alarm):
    tree = {"loss": 0.5}
    tree["self"] = tree["again"] = tree
    run = start()
    with alarm(20):
        run.log(tree)
        run.log_params(tree)
        run.summary(tree)
    run.log({"loss": 0.25})
    assert records(run)[-1].values == {"loss": 0.25}


def test_record_that_is_too_long_is_refused(start, records, monkeypatch, caplog):
    run = start()
    monkeypatch.setattr("multitrack.trackers.journal.MAX_LINE", 1000)
    run.log_text("long", "x" * 1000)
    run.log_text("short", "x")
    assert [record.key for record in records(run, Text)] == ["short"]
    assert "not logged: long: ValueError: a record of" in caplog.text


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (None, "finished", None),
        (ValueError("one\ntwo"), "failed", "ValueError: one"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt: "),
        (SystemExit(), "finished", None),
        (SystemExit(0), "finished", None),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (SystemExit("no data"), "failed", "SystemExit: no data"),
        (GeneratorExit(), "failed", "GeneratorExit: "),
        (RudeError(), "failed", "RudeError, whose message cannot be shown"),
        (OSError("https://me:pw@host"), "failed", "OSError: https://<redacted>@host"),
    ],
    ids=lambda value: repr(value) if not isinstance(value, RudeError) else "rude",
)
def test_block_gives_the_run_its_status(start, records, error, status, said):
    run = start()
    with suppress(*([type(error)] if error is not None else [])), run:
        run.log({"loss": 0.5})
        if error is not None:
            raise error
    assert run.status == status
    (end,) = records(run, End)
    assert (end.status, end.error) == (status, said)


def test_status_is_one_of_four(start, records):
    run = start()
    with pytest.raises(
        ValueError, match="status is 'done'; allowed: finished, failed, interrupted, killed"
    ):
        run.finish("done")
    assert run.status == "running"
    assert not records(run, End)


def test_finish_takes_an_exception(start, records):
    run = start()
    run.finish("failed", error=ValueError("hf_" + "x" * 30), quiet=True)
    assert records(run, End)[0].error == "<redacted>"


def test_second_finish_changes_nothing(start, records):
    run = start()
    run.finish("failed", "first")
    assert run.finish() == []
    assert run.finish("failed", "second") == []
    assert [(end.status, end.error) for end in records(run, End)] == [("failed", "first")]


@given(
    st.lists(st.tuples(st.sampled_from([None, *END_STATUSES]), st.booleans(), st.booleans())),
)
def test_what_was_said_last_counts(tmp_path_factory, said):
    """Whether it was waited for or not, and whether the run went on in between."""
    run = start_run(dir=tmp_path_factory.mktemp("runs"), report_to="none", delivery="later")
    expected, is_open = "running", True
    for status, wait, goes_on in [*said, (None, True, False)]:
        if goes_on:
            run.log({"loss": 0.5})
            is_open = True
        run.finish(status, wait=wait, quiet=True)
        expected = status or ("finished" if is_open else expected)
        is_open = False
        assert run.status == read_history(run.folder).status == expected


def test_outcome_now_and_more_afterwards(start, records):
    run = start()
    assert run.finish(wait=False) == []
    assert run.status == "finished"
    assert is_locked(run.folder.writer_lock)
    run.log({"eval/loss": 0.5}, step=3)
    assert run.status == "running"
    run.finish("failed", quiet=True)
    assert run.status == "failed"
    kinds = [type(record) for record in records(run)]
    assert kinds == [Header, End, Metrics, End]
    assert not is_locked(run.folder.writer_lock)


def test_logging_after_the_end_goes_on_with_the_run(start, records):
    run = start()
    run.log({"loss": 0.5}, step=7)
    run.log({"bad": None})
    run.finish(quiet=True)
    run.log({"loss": 0.25})
    run.log({"bad": None})
    assert run.status == "running"
    assert is_locked(run.folder.writer_lock)
    run.finish(quiet=True)
    kinds = [type(record) for record in records(run)]
    assert kinds == [Header, Metrics, Refused, End, Resumed, Metrics, End]
    assert steps(records, run) == [7, 8]
    assert records(run, End)[-1].refused == {"bad": 2}


def test_closed_standard_error_is_no_error(start, notebook, monkeypatch):
    run = start(report_to="notebook")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    sys.stderr.close()
    assert run.finish()[0].pending


# -- going on ------------------------------------------------------------------------------------


def test_run_goes_on_by_its_id(start, records, tmp_path):
    first = start(run_id="a-run", config={"lr": 0.1}, tags="one")
    first.log({"loss": 1.0}, step=41)
    first.finish("failed", quiet=True)
    second = start(run_id="a-run", config={"lr": 0.2}, tags="two")
    second.log({"loss": 0.5})
    second.finish(quiet=True)
    assert second.folder.path == first.folder.path
    kinds = [type(record) for record in records(second)]
    assert kinds == [Header, Metrics, End, Resumed, Params, Tags, Metrics, End]
    assert steps(records, second) == [41, 42]
    assert records(second, Resumed)[0].host.pid == os.getpid()


def test_run_that_was_killed_goes_on_after_its_last_whole_record(start, records, tmp_path):
    run = start(run_id="a-run")
    run.log({"loss": 1.0}, step=5)
    run.finish(quiet=True)
    content = run.folder.journal.read_bytes().splitlines(keepends=True)
    run.folder.journal.write_bytes(b"".join(content[:-1]) + content[-1][:10])
    run = start(run_id="a-run")
    run.log({"loss": 0.5})
    assert steps(records, run) == [5, 6]


def test_run_reports_to_what_it_reported_to_last(start, records, notebook):
    start(run_id="a-run").finish(quiet=True)
    start(run_id="a-run", report_to="notebook").finish(quiet=True)
    run = start(run_id="a-run", report_to=None)
    assert [record.report_to for record in records(run, Resumed)] == [["notebook"], ["notebook"]]


def test_run_that_is_going_on_here_is_handed_over(start, records):
    first = start(run_id="a-run")
    first.log({"loss": 0.5})
    second = start(run_id="a-run")
    second.log({"loss": 0.25})
    first.log({"loss": 0.125})  # has no place any more, and does no harm
    kinds = [type(record) for record in records(second)]
    assert kinds == [Header, Metrics, End, Resumed, Metrics]


def test_run_that_has_its_outcome_is_handed_over(start, records):
    first = start(run_id="a-run")
    first.finish(wait=False)
    second = start(run_id="a-run")
    second.log({"loss": 0.5})
    assert [type(record) for record in records(second)] == [Header, End, Resumed, Metrics]


SECOND = """
import sys
from multitrack import start_run
start_run(dir=sys.argv[1], run_id="a-run", report_to="notebook", delivery="later",
          settings={"notebook": {"paper": "squared"}})
"""


def test_second_process_is_refused_and_changes_nothing(start, records, notebook, tmp_path):
    run = start(run_id="a-run", report_to="notebook")
    before = {p: p.read_bytes() for p in run.folder.path.rglob("*") if p.is_file()}
    command = [sys.executable, "-c", SECOND, str(tmp_path / "runs")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "RuntimeError: run a-run is being written by another process" in result.stderr
    assert {p: p.read_bytes() for p in run.folder.path.rglob("*") if p.is_file()} == before


# -- processes, threads and signals --------------------------------------------------------------


def test_forked_child_may_log_but_not_end_the_run(start, records):
    run = start()
    run.log({"loss": 0.0}, step=0)
    holding, held = threading.Event(), threading.Event()

    def hold():  # another thread of the parent may hold the locks for ever
        with run._lock:
            held.set()
            holding.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    if (child := os.fork()) == 0:
        signal.alarm(20)
        run.log({"loss": 1.0}, step=1)
        run.finish("failed")
        run.log({"loss": 2.0}, step=2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    holding.set()
    thread.join()
    run.log({"loss": 3.0}, step=3)
    assert is_locked(run.folder.writer_lock)
    run.finish(quiet=True)
    assert steps(records, run) == [0, 1, 2, 3]
    assert [end.status for end in records(run, End)] == ["finished"]


def test_many_threads(start, records):
    run = start()

    def work(number):
        for step in range(100):
            run.log({f"loss/{number}": step / 8}, step=step)
            run.log_text("text", "x" * 99)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        name = f"loss/{number}"
        rows = [r for r in records(run, Metrics) if name in r.values]
        assert [(r.step, r.values[name]) for r in rows] == [(s, s / 8) for s in range(100)]
    assert len(records(run, Text)) == 400


def test_thread_that_logs_while_the_run_ends(start, records, caplog):
    run, stop = start(), threading.Event()

    def work():
        while not stop.is_set():
            run.log({"loss": 0.5})

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        run.finish(quiet=True)
        with Path(os.devnull).open("rb"):  # takes the number of a descriptor that was closed
            run.log({"loss": 1.0})
    stop.set()
    thread.join()
    found = steps(records, run)
    assert found == list(range(len(found)))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_signal_handler_logs_and_ends_the_run(start, records, alarm):
    run = start()

    def handle(*_):
        run.log({"signals": 1.0})

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with alarm(60):
            sender = subprocess.Popen(
                [sys.executable, "-c", SENDER, str(os.getpid())], stdout=subprocess.PIPE
            )
            count = 0
            while sender.poll() is None:
                run.log({"loss": count / 8})
                count += 1
    finally:
        signal.signal(signal.SIGUSR1, before)
        sender.stdout.close()
    values = [record.values for record in records(run, Metrics)]
    assert [v["loss"] for v in values if "loss" in v] == [n / 8 for n in range(count)]
    assert 1 <= len([v for v in values if "signals" in v]) <= 300


SENDER = """
import os, signal, sys, time
for _ in range(300):
    os.kill(int(sys.argv[1]), signal.SIGUSR1)
    time.sleep(0.002)
"""


def test_signal_handler_that_interrupts_a_call_may_finish(start, records, alarm):
    run = start()
    with alarm(20), run._lock, run._session._writer._lock:  # where the handler interrupts
        run.finish("interrupted", quiet=True)
    assert records(run, End)[0].status == "interrupted"


# -- the folder ----------------------------------------------------------------------------------


def test_everything_is_for_the_owner_alone(start, notebook, tmp_path):
    (tmp_path / "file").write_text("x")
    before = os.umask(0)
    try:
        run = start(report_to="notebook", delivery="inline")
        run.log_artifact(tmp_path / "file")
        run.log_image("image", samples.png())
        run.finish(quiet=True)
    finally:
        os.umask(before)
    paths = [run.folder.path, *run.folder.path.rglob("*")]
    assert len(paths) > 10
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_dir()} == {0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_file()} == {0o600}


def test_two_runs_in_one_process(start, records):
    one, other = start(), start()
    one.log({"loss": 1.0}, step=1)
    other.log({"loss": 2.0}, step=2)
    one.finish("failed", quiet=True)
    other.log({"loss": 3.0})
    assert (one.status, other.status) == ("failed", "running")
    assert (steps(records, one), steps(records, other)) == ([1], [2, 3])


def test_random_generators_of_the_user_stay_untouched(notebook, tmp_path):
    import random

    random.seed(5)
    expected = random.Random(5).random()
    run = start_run(dir=tmp_path, report_to="notebook", delivery="inline")
    run.log({"loss": 0.5})
    run.finish(quiet=True)
    assert random.random() == expected


@pytest.mark.parametrize("send", [pickle.dumps, copy.deepcopy, ForkingPickler.dumps])
def test_run_that_is_sent_elsewhere_says_what_to_do(start, send):
    run = start()
    with pytest.raises(TypeError, match=r"Return values to that process .+start_run"):
        send({"callbacks": [run]})


def test_disk_that_takes_nothing_at_the_end_is_told_by_number(start, notebook, monkeypatch, caplog):
    run = start(report_to="notebook")
    run.log({"loss": 0.5})
    writer = run._session._writer
    monkeypatch.setattr(writer, "_write_pending", lambda: None)
    monkeypatch.setattr(writer._pen, "write", lambda *_: 0)
    for _ in range(4):
        run.log({"loss": 0.5})
    (report,) = run.finish(timeout=0.2, quiet=True)
    assert (report.lost, report.delivered) == (5, False)
    assert "2 records pending, 5 records lost, as the disk took nothing more" in str(report)
    assert "the last 5 records are lost" in caplog.text


def test_disk_that_comes_back_at_the_end_gets_all_in_order(start, records, monkeypatch):
    run = start()
    writer, back = run._session._writer, time.monotonic() + 0.3
    write = writer._pen.write

    def refuse(*line):
        if time.monotonic() < back:
            raise OSError(errno.EROFS, "read-only")
        return write(*line)

    monkeypatch.setattr(writer._pen, "write", refuse)
    monkeypatch.setattr(writer, "_write_pending", lambda: back < time.monotonic() and give(writer))
    give = type(writer)._write_pending
    for step in range(4):
        run.log({"loss": 0.5}, step=step)
    run.finish(timeout=60, quiet=True)
    assert steps(records, run) == [0, 1, 2, 3]
    assert len(records(run, End)) == 1
