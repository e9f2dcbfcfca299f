"""How far delivery of a run to one backend is, in a word."""

from __future__ import annotations

from typing import NamedTuple

from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.locks import is_locked
from multitrack.trackers.records import Status

STYLES = {
    "delivered": "green",
    "up to date": "green",
    "not started": "dim",
    "stopped": "yellow",
    "retrying": "yellow",
    "parked": "red",
}
"""Anything else is a courier at work."""
WORK_STYLE = "cyan"


class Standing(NamedTuple):
    """How far one backend is.

    Attributes:
        backend: its name.
        state: what its courier wrote last.
        is_complete: whether the backend holds all there is, and the outcome of a run that ended.
        word: one or two words for a table.
    """

    backend: str
    state: CourierState
    is_complete: bool
    word: str

    @property
    def style(self) -> str:
        """How the word is coloured."""
        return STYLES.get(self.word, WORK_STYLE)


def standing(
    folder: RunFolder, backend: str, state: CourierState, *, size: int, status: Status
) -> Standing:
    """Return how far a backend is with a journal of ``size`` bytes."""
    has_all = state.offset >= size
    if has_all and state.phase == "done":
        return Standing(backend, state, is_complete=True, word="delivered")
    if has_all and status == "running":
        return Standing(backend, state, is_complete=True, word="up to date")
    return Standing(backend, state, is_complete=False, word=_why_not(folder, backend, state))


def _why_not(folder: RunFolder, backend: str, state: CourierState) -> str:
    if state.phase == "parked" or is_locked(folder.courier(backend).lock):
        return state.phase
    return "stopped" if state.updated else "not started"
