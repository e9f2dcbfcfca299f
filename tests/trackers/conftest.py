"""What the tests of recording and delivery share."""

import signal
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "multitrack",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("multitrack")


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
