"""How far each backend of a run is, looked up again only where something changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.records import Status
from multitrack.trackers.standing import Standing, standing
from multitrack.view.index import require_own_file

Stamp: TypeAlias = tuple[int, int, int] | None


class _Read(NamedTuple):
    stamp: Stamp
    state: CourierState


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
        self._read: dict[str, _Read] = {}

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
        courier = self._folder.courier(backend)
        stamp = stamp_of(courier.state)
        known = self._read.get(backend)
        if known is None or known.stamp != stamp:
            if stamp:
                require_own_file(courier.state)
            known = self._read[backend] = _Read(stamp, courier.read_state())
        return known.state


def stamp_of(path: Path) -> Stamp:
    """Return what changes whenever a file does; None if there is none."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
