"""The journal keeps what was appended, whatever happens to the bytes around it."""

import itertools
import math
import os
import resource
import signal
import threading
from contextlib import closing, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitrack.trackers import journal
from multitrack.trackers.journal import Corrupt, Entry, JournalReader, JournalWriter
from multitrack.trackers.records import End, Histogram, Metrics, Params, Text

TEXTS = st.lists(st.text(max_size=20), min_size=1, max_size=12)


@pytest.fixture
def path(tmp_path):
    numbers = itertools.count()  # hypothesis runs many examples in one test
    return lambda: tmp_path / f"{next(numbers)}.jsonl"


def text(content, step=0):
    return Text(time=1.0, step=step, key="k", text=content)


def write(path, texts):
    with closing(JournalWriter(path)) as writer:
        for step, content in enumerate(texts):
            writer.append(text(content, step))


def read(path, offset=0, batch=1000):
    with closing(JournalReader(path, offset)) as reader:
        entries = []
        while more := reader.read(batch):
            assert len(more) <= batch
            entries += more
    return entries


def texts_of(entries):
    return [entry.record.text for entry in entries if isinstance(entry, Entry)]


@given(TEXTS, st.integers(1, 15))
def test_reads_from_any_cursor_in_any_batch_size(path, texts, batch):
    where = path()
    write(where, texts)
    entries = read(where, batch=batch)
    assert texts_of(entries) == texts
    assert [entry.start for entry in entries] == [0, *(entry.end for entry in entries[:-1])]
    for number, entry in enumerate(entries, start=1):
        assert texts_of(read(where, entry.end, batch)) == texts[number:]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=15))
def test_reads_while_it_grows(path, turns):
    where, found, numbers = path(), [], itertools.count()
    with closing(JournalWriter(where)) as writer, closing(JournalReader(where)) as reader:
        for appended, batch in turns:
            for _ in range(appended):
                writer.append(text("", next(numbers)))
            found += [entry.record.step for entry in reader.read(batch)]
        found += [entry.record.step for entry in reader.read()]
    assert found == list(range(next(numbers)))


@given(TEXTS, st.data())
def test_torn_tail_is_not_read_and_then_cut(path, texts, data):
    where = path()
    write(where, texts)
    ends = [entry.end for entry in read(where)]
    size = data.draw(st.integers(0, ends[-1]))
    os.truncate(where, size)
    whole = [content for content, end in zip(texts, ends, strict=True) if end <= size]
    assert texts_of(read(where)) == whole
    write(where, ["after"])
    assert texts_of(read(where)) == [*whole, "after"]
    assert not any(isinstance(entry, Corrupt) for entry in read(where))


@given(TEXTS, st.data())
def test_damaged_byte_costs_its_own_line_only(path, texts, data):
    where = path()
    write(where, texts)
    entries = read(where)
    hit = data.draw(st.sampled_from(entries))
    position = data.draw(st.integers(hit.start, hit.end - 2))  # its newline would cost two
    content = bytearray(where.read_bytes())
    content[position] = data.draw(st.integers(0, 255))
    where.write_bytes(content)
    rest = [entry.record for entry in entries if entry is not hit]
    found = [entry.record for entry in read(where) if isinstance(entry, Entry)]
    assert [record for record in found if record in rest] == rest


@given(TEXTS, st.binary(min_size=1), st.data())
def test_garbage_between_lines_is_skipped(path, texts, garbage, data):
    where = path()
    write(where, texts)
    records = [entry.record for entry in read(where)]
    lines = where.read_bytes().splitlines(keepends=True)
    lines.insert(data.draw(st.integers(0, len(lines))), garbage + b"\n")
    where.write_bytes(b"".join(lines))
    entries = read(where)
    assert [entry.record for entry in entries if isinstance(entry, Entry)] == records
    assert all(entry.reason for entry in entries if isinstance(entry, Corrupt))
    assert entries[-1].end == where.stat().st_size


@pytest.mark.parametrize("content", ["\udcff", "a\ud800b", "\x00\x1f\x7f", "\u2028", "\r\n", "😀"])
def test_any_text_can_be_written(path, content):
    where = path()
    write(where, ["before", content, "after"])
    before, found, after = texts_of(read(where))
    assert (before, after) == ("before", "after")
    assert found == content.encode("utf-8", "backslashreplace").decode()


def test_lone_surrogate_in_a_name_and_deep_in_a_tree(path):
    where = path()
    with closing(JournalWriter(where)) as writer:
        writer.append(Metrics(time=0.0, step=0, values={"a\udcff": "NaN", "b": 2**63 - 1}))
        writer.append(Params(time=0.0, values={"x": [{"\udcff": ["\udcff", None, True]}]}))
    metrics, params = (entry.record for entry in read(where))
    assert list(metrics.values) == ["a\\udcff", "b"]
    assert metrics.values["b"] == 2**63 - 1
    assert params.values == {"x": [{"\\udcff": ["\\udcff", None, True]}]}


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize("end", ["", "\udcff"])
def test_what_derives_from_a_type_of_json_is_written_as_that_type(path, end):
    where = path()
    with closing(JournalWriter(where)) as writer:
        writer.append(Text(time=1.0, step=0, key=Word("k"), text=Word("x" + end)))
        writer.append(Params(time=0.0, values={Word("a"): [Word("b"), end]}))
    found, params = (entry.record for entry in read(where))
    assert (found.key, found.text[0]) == ("k", "x")
    assert params.values["a"][0] == "b"


def test_is_readable_by_its_owner_alone(path):
    where = path()
    write(where, ["x"])
    assert where.stat().st_mode & 0o777 == 0o600


def test_too_long_record_is_refused(path, monkeypatch):
    monkeypatch.setattr(journal, "MAX_LINE", 1000)
    where = path()
    with closing(JournalWriter(where)) as writer:
        with pytest.raises(ValueError, match="longer than 1000 bytes"):
            writer.append(text("x" * 1000))
        writer.append(text("short"))
    assert texts_of(read(where)) == ["short"]


def test_line_longer_than_a_chunk_is_read_and_one_longer_than_any_is_skipped(path, monkeypatch):
    where = path()
    write(where, ["first", "x" * 500, "y" * 5000, "last"])
    monkeypatch.setattr(journal, "CHUNK", 64)
    monkeypatch.setattr(journal, "MAX_LINE", 1000)
    entries = read(where)
    assert texts_of(entries) == ["first", "x" * 500, "last"]
    (skipped,) = (entry for entry in entries if isinstance(entry, Corrupt))
    assert skipped.reason.startswith("a line of 5")


@contextmanager
def full_disk(at_size):
    """Let this process write no file beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 10, 100])
def test_full_disk_loses_nothing_once_there_is_room_again(path, room):
    where = path()
    write(where, ["before"])
    with closing(JournalWriter(where)) as writer:
        with full_disk(where.stat().st_size + room):
            for step in range(5):
                writer.append(text("x" * 50, step))
        writer.append(text("after"))
    assert texts_of(read(where)) == ["before", *["x" * 50] * 5, "after"]


def test_full_disk_and_full_memory_say_what_is_lost(path, monkeypatch, caplog):
    monkeypatch.setattr(journal, "MAX_PENDING", 300)
    where = path()
    with closing(JournalWriter(where)) as writer:
        with full_disk(0):
            for step in range(20):
                writer.append(text("x" * 50, step))
        writer.append(text("after", 20))
    kept = [entry.record.step for entry in read(where)]
    assert kept == [0, 1, 20]
    assert "18 records were lost" in caplog.text


def test_reaches_the_disk_in_groups(path, monkeypatch):
    synced, fdatasync = threading.Semaphore(0), os.fdatasync
    monkeypatch.setattr(journal, "SYNC_INTERVAL", 0.05)
    monkeypatch.setattr(journal, "_fdatasync", lambda fd: (fdatasync(fd), synced.release()))
    with closing(JournalWriter(path())) as writer:
        for _ in range(2):
            for _ in range(100):
                writer.append(text("x"))
            assert synced.acquire(timeout=10)
        assert not synced.acquire(timeout=0.2), "synced though nothing was written"


@pytest.mark.parametrize(
    "record",
    [
        text(object()),
        text(5),
        text(None),
        text("x", step=None),
        Histogram(time=0, step=0, key="k", edges=[0, 1], counts=[1], total=1, squares=math.inf),
        Params(time=0, values=[1]),
        End(time=0, status="splendid"),
    ],
    ids=repr,
)
def test_what_could_not_be_read_back_is_not_written(path, record):
    where = path()
    with closing(JournalWriter(where)) as writer:
        with pytest.raises(TypeError):
            writer.append(record)
        writer.append(text("fine"))
    assert texts_of(read(where)) == ["fine"]


def test_writes_in_a_forked_child(path):
    where = path()
    with closing(JournalWriter(where)) as writer:
        with writer._lock, writer._wake._cond:  # as a thread of the parent may hold them
            if (child := os.fork()) == 0:
                signal.alarm(10)
                writer.reset_after_fork()
                writer.append(text("child"))
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        writer.append(text("parent"))
    assert texts_of(read(where)) == ["child", "parent"]


def test_can_be_closed_by_a_signal_handler_that_interrupts_a_write(path, alarm):
    where = path()
    writer = JournalWriter(where)
    with writer._lock, alarm(10):
        writer.close()
    writer.append(text("too late"))
    assert texts_of(read(where)) == []
