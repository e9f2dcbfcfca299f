"""How far each backend of a run is, looked up again only where something changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from multitrack.trackers.folder import CourierFolder, CourierState, RunFolder
from multitrack.trackers.records import Status
from multitrack.trackers.standing import Standing, standing

Stamp: TypeAlias = tuple[int, int, int] | None


class Couriers:
    """The couriers of one run.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._path = folder.path / "couriers"
        self._stamp: Stamp = None
        self._names: list[str] = []
        self._known: dict[str, _Known] = {}

    def standings(
        self, report_to: Iterable[str], *, size: int, status: Status
    ) -> Iterator[Standing]:
        """Yield how far each backend is with a journal of ``size`` bytes.

        Raises:
            OSError: a state cannot be read.
        """
        for backend in dict.fromkeys([*report_to, *self._found()]):
            state = self._state(backend)
            yield standing(self._folder, backend, state, size=size, status=status)

    def _found(self) -> list[str]:
        if (stamp := stamp_of(self._path)) != self._stamp:
            self._names = [courier.backend for courier in self._folder.couriers()]
            self._stamp = stamp
        return self._names

    def _state(self, backend: str) -> CourierState:
        known = self._known.get(backend)
        if known is None:
            known = self._known[backend] = _Known(self._folder.courier(backend))
        return known.read()


class _Known:
    """One courier, whose state is read again only when it changed."""

    def __init__(self, folder: CourierFolder) -> None:
        self._folder = folder
        self._stamp: Stamp = None
        self._state = CourierState()

    def read(self) -> CourierState:
        if (stamp := stamp_of(self._folder.state)) != self._stamp:
            self._state, self._stamp = self._folder.read_state(), stamp
        return self._state


def stamp_of(path: Path) -> Stamp:
    """Return what changes whenever a file does; None if there is none."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
