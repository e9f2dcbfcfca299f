"""What the suite's cases share: runs to record, and the one that holds everything."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from multitrack.trackers.records import EndStatus
from multitrack.trackers.run import Run
from multitrack.trackers.settings import variables
from multitrack.trackers.start import start_run
from multitrack.trackers.testing import scenario
from multitrack.trackers.testing.backend import Backend
from multitrack.trackers.testing.deliver import Delivered, deliver, environment

FEW, MANY = 12, 200
"""Bytes of a file and characters of a text that a message shows."""


class Suite(Backend):
    """A backend under test."""

    _full: ClassVar[Delivered | Exception]

    @pytest.fixture(autouse=True)
    def _apart(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Let no variable of the caller steer the backend, nor its files land beside theirs."""
        monkeypatch.chdir(tmp_path)
        own = {name for v in variables(self.tracker_type.settings_type) for name in v.env.names}
        for name in list(os.environ):
            if name in own or name.startswith("MULTITRACK_"):
                monkeypatch.delenv(name)

    @pytest.fixture
    def full(self, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
        """The run that holds everything, delivered once for all tests of the class."""
        cls = type(self)
        if "_full" not in cls.__dict__:
            try:
                cls._full = self._deliver_everything(tmp_path_factory.mktemp(self.tracker))
            except Exception as error:
                cls._full = error
        if isinstance(cls._full, Exception):
            raise cls._full
        return cls._full

    def start(self, tmp_path: Path, **arguments: Any) -> Run:
        """Start a run, or go on with one, that is only recorded."""
        with environment(self.environ(tmp_path)):
            return start_run(
                report_to=[self.tracker],
                dir=tmp_path / "multitrack",
                delivery="later",
                **arguments,
            )

    def finish_and_deliver(
        self, run: Run, tmp_path: Path, status: EndStatus = "finished"
    ) -> Delivered:
        """Finish a run, deliver it, and read it back."""
        run.finish(status, quiet=True)
        return deliver(self, run.folder, self.environ(tmp_path))

    def _deliver_everything(self, tmp_path: Path) -> Delivered:
        run = self.start(
            tmp_path,
            project=scenario.PROJECT,
            name=scenario.NAME,
            notes=scenario.NOTES,
            config=scenario.CONFIG,
            tags=scenario.TAGS,
        )
        scenario.record_everything(run, tmp_path)
        return self.finish_and_deliver(run, tmp_path)


def compare(stored: Mapping[str, Any], expected: Mapping[str, Any], what: str, how: str) -> None:
    """Assert that names and values are the expected ones.

    Args:
        stored: what the backend holds.
        expected: what it should.
        what: what the names name, in the plural.
        how: the adapter's method that stores it.
    """
    missing = sorted(expected.keys() - stored.keys())
    assert not missing, f"{len(missing)} {what} are missing, first {missing[:5]}; see {how}()"
    surprising = sorted(stored.keys() - expected.keys())
    assert not surprising, (
        f"{what} that nobody logged: {surprising[:5]}; see {how}(), and whether read() gives the "
        "names that the user logged and leaves out what the adapter adds"
    )
    for name, value in expected.items():
        assert is_same(stored[name], value), (
            f"among the {what}, {name!r} is {short(stored[name])}, expected {short(value)}; see "
            f"{how}()"
        )


def is_same(got: Any, wanted: Any) -> bool:
    """Tell whether two values are equal: NaN to NaN, booleans only to booleans."""
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple):
        return len(got) == len(wanted) and all(map(is_same, got, wanted))
    if isinstance(wanted, bool) or isinstance(got, bool):
        return got is wanted
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(got, float) and math.isnan(got)
    return bool(got == wanted)


def short(value: Any) -> str:
    """Return a value for a message: long texts and contents of files only by their beginning."""
    if isinstance(value, bytes) and len(value) > FEW:
        return f"<{len(value)} bytes: {value[:FEW]!r}…>"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"({', '.join(map(short, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(short, value))}]"
    text = repr(value)
    return text if len(text) <= MANY else f"{text[:MANY]}… ({len(text)} characters)"
