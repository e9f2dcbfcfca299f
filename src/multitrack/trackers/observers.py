"""What observes a run beside what it logs: the machine's figures, and the console."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from multitrack.trackers.console import Console
from multitrack.trackers.monitor import Monitor
from multitrack.trackers.protocol import Emit
from multitrack.trackers.settings import FALSE_WORDS, TRUE_WORDS

INTERVAL = 15.0
"""Seconds between two measurements of system metrics when nobody says otherwise."""
SHORTEST = 0.1


class Observer(Protocol):
    """Observes as long as the run goes on."""

    def start(self) -> None:
        """Begin, at the run's start and when it goes on after its outcome."""

    def stop(self) -> None:
        """Say the last, just before the outcome is written."""


class Observing(NamedTuple):
    """Which observers a run has.

    Attributes:
        system_metrics: seconds between two measurements, None for none.
        capture_console: whether what is printed is kept.
    """

    system_metrics: float | None = None
    capture_console: bool = False

    def make(
        self, folder: Path, emit: Emit, keep: Callable[[Path, str, str], None]
    ) -> list[Observer]:
        """Return the observers of a run.

        Args:
            folder: of the run.
            emit: puts metrics into the run.
            keep: logs an artifact, by path, name and kind.
        """
        observers: list[Observer] = []
        if self.system_metrics is not None:
            observers.append(Monitor(self.system_metrics, folder, emit))
        if self.capture_console:
            observers.append(Console(folder, keep))
        return observers


def choose(system_metrics: Any = None, capture_console: Any = None) -> Observing:
    """Return what is asked for in code, else by variables.

    Raises:
        ValueError: an option or a variable holds what it must not.
        ImportError: psutil, which measures, is not installed.
    """
    interval = _interval(*_asked("system_metrics", system_metrics))
    if interval is not None and find_spec("psutil") is None:
        raise ImportError(
            'system_metrics needs psutil. Install it with: pip install "multitrack[system]"'
        )
    return Observing(interval, _switch(*_asked("capture_console", capture_console)))


def _asked(option: str, value: Any) -> tuple[str, Any]:
    """Return where a value comes from, and the value; a variable's words are told apart here."""
    if value is not None:
        return option, value
    variable = f"MULTITRACK_{option.upper()}"
    text = os.environ.get(variable, "").strip() or "no"
    word = text.lower()
    return variable, True if word in TRUE_WORDS else False if word in FALSE_WORDS else text


def _interval(source: str, value: Any) -> float | None:
    if isinstance(value, bool):
        return INTERVAL if value else None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not SHORTEST <= seconds < math.inf:
        raise ValueError(
            f"{source} is {value!r}; allowed: true, false or seconds, from {SHORTEST} on."
        )
    return seconds


def _switch(source: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - as for a variable
            f"{source} is {value!r}; allowed: true or false."
        )
    return value
