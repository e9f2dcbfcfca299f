"""What all tests share: an environment without the developer's own settings."""

import os

import pytest


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("MULTITRACK_", "NOTEBOOK_")) and name != "MULTITRACK_FAULT_TRIES":
            monkeypatch.delenv(name)
