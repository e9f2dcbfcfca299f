"""What holds for all tests."""

import signal


def pytest_configure():
    """Let Ctrl-C reach the processes that tests start, though a background job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
