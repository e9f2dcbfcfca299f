"""The training of a test, stopped and cleared away behind it."""

import shutil

import pytest
from harness import INSTALLED, Training, reader_of


@pytest.fixture
def training(tmp_path):
    environ = {}
    for backend in INSTALLED:
        environ |= reader_of(backend).environ(tmp_path)
    one = Training(tmp_path, environ)
    yield one
    if one.process and one.process.poll() is None:
        one.process.kill()
    shutil.rmtree(tmp_path, ignore_errors=True)
