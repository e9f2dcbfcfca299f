"""A server that asks to be left alone is left alone, whatever its client makes of the answer."""

import threading
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitrack.trackers import courier, registry
from multitrack.trackers.courier import Courier
from multitrack.trackers.retry_after import LONGEST, asked_wait
from multitrack.trackers.settings import load


class Response:
    def __init__(self, **headers):
        self.status_code = 429
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class AnswerError(Exception):
    def __init__(self, response=None):
        super().__init__("429")
        self.response = response


def raised_where_it_is_at_hand(value):
    r = Response(retry_after=value)
    raise ConnectionError(f"the server said {r.status_code}")


def raised_from_another(value):
    try:
        raised_where_it_is_at_hand(value)
    except ConnectionError:
        raise RuntimeError("could not connect") from None


def raised_with_it(value):
    raise AnswerError(Response(Retry_After=value))


def raised_around_it(value):
    error = AnswerError()
    error.exc = AnswerError(Response(RETRY_AFTER=value))
    raise error


SHAPES = [raised_with_it, raised_around_it, raised_from_another, raised_where_it_is_at_hand]


def wish_of(shape, value):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each shape has its own
        shape(value)
    return asked_wait(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
@given(st.integers(0, 10**9))
def test_seconds(shape, seconds):
    assert wish_of(shape, str(seconds)) == seconds


@pytest.mark.parametrize("shape", SHAPES)
def test_date(shape):
    assert wish_of(shape, formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=5)
    assert wish_of(shape, formatdate(0, usegmt=True)) == 0


@given(st.text() | st.none() | st.integers() | st.binary())
def test_nonsense_is_no_wish(value):
    wish = wish_of(raised_with_it, value)
    assert wish is None or wish >= 0


@pytest.fixture
def tries(notebook, monkeypatch):
    """Let the notebook's server ask for time; return when it was asked for what."""
    tracker, times = registry.load("notebook"), []

    def log_metrics(*_):
        times.append(time.monotonic())
        raise AnswerError(Response(retry_after=tries.wish))

    def tries():
        return len(times)

    monkeypatch.setattr(tracker, "log_metrics", log_metrics)
    monkeypatch.setattr(tracker, "classify", lambda _, error: courier.Retry(str(error)))
    return tries


def courier_of(run, **options):
    settings = load(registry.load("notebook").settings_type)
    return Courier(run.folder, "notebook", settings, **options)


def test_no_courier_asks_before(start, tries, wait_until):
    """Not when the trainer goes, nor the next courier; a person who rings has one try."""
    tries.wish = "3600"
    run = start(report_to="notebook", delivery="thread")
    run.log({"loss": 0.5}, step=0)
    folder = run.folder.courier("notebook")
    wait_until(lambda: folder.read_state().failures)
    rings = folder.ring()
    wait_until(lambda: folder.read_state().rings == rings)
    assert tries() == 2
    (report,) = run.finish(timeout=60, quiet=True)
    wish = "429; 2 attempts failed; the server asked to be left alone for 3,"
    assert report.message.startswith(wish)
    gone = threading.Event()
    gone.set()
    courier_of(run).run(gone)
    once = courier_of(run)
    once.once = True
    once.run(threading.Event())
    assert tries() == 2
    assert folder.read_state().phase == "retrying"


def test_what_is_asked_for_is_waited_for(start, tries, monkeypatch):
    tries.wish = "1"
    monkeypatch.setattr(courier, "_back_off", lambda _: 0.01)
    run = start(report_to="notebook", delivery="later")
    run.log({"loss": 0.5}, step=0)
    run.finish(quiet=True)
    gone = threading.Event()
    gone.set()
    started = time.monotonic()
    courier_of(run, linger=1.5).run(gone)
    again = tries() - 1
    assert again >= 1
    assert time.monotonic() - started >= 0.9 * again, "not each hundredth of a second"


def test_inline_run_does_not_ask_before(start, tries):
    tries.wish = "3600"
    run = start(report_to="notebook", delivery="inline")
    for step in range(5):
        run.log({"loss": 0.5}, step=step)
    run.finish(quiet=True)
    assert tries() == 1


@pytest.mark.parametrize("wish", ["1000000000", "3600"])
def test_wish_has_a_bound_and_a_clock_may_be_set_back(start, tries, monkeypatch, wish):
    tries.wish = wish
    run = start(report_to="notebook", delivery="inline")
    run.log({"loss": 0.5}, step=0)
    worker = courier_of(run)
    assert 0 < worker.asked_wait <= LONGEST
    monkeypatch.setattr(courier.time, "time", lambda: 0.0)
    assert worker.asked_wait == LONGEST
