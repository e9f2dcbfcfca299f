"""What all tests share: an environment without the developer's own settings."""

import os
import signal

import pytest


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
