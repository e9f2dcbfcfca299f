"""What all tests share: an environment without the developer's own settings."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "multitrack",
    deadline=None,
    max_examples=60,
    derandomize="EXPLORE" not in os.environ,  # a check of one commit says the same each time
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("multitrack")


def pytest_configure():
    """Let Ctrl-C reach the processes that tests start, though a background job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["MULTITRACK_KEY"] = "that of the tests"  # no test makes a file in the user's home


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("MULTITRACK_", "NOTEBOOK_")) and not name.startswith(
            ("MULTITRACK_FAULT_", "MULTITRACK_KEY")
        ):
            monkeypatch.delenv(name)
