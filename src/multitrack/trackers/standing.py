"""How far delivery of a run to one backend is, in a word, a sentence, and what to type."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import NamedTuple

from multitrack.trackers.folder import CourierState, RunFolder
from multitrack.trackers.history import History
from multitrack.trackers.locks import is_served
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

    @property
    def url(self) -> str | None:
        """Where to look at the run."""
        return self.state.attachment.url if self.state.attachment else None

    def sentence(self, pending: int, since: str = "") -> str:
        """Return what is left of delivery, and why.

        Args:
            pending: records that are not delivered.
            since: for how long it has stood like this, as a word.
        """
        facts = [self.word]
        failures = self.state.failures
        facts += [f"after {_count(failures, 'failed attempt')}"] if failures else []
        facts += [f"since {since}"] if since else []
        left = f", {_count(pending, 'record')} pending" if pending else ""
        outcome = "" if pending or self.is_complete else ", outcome pending"
        refused = f", {self.state.refused:,} refused" if self.state.refused else ""
        why = f": {self.state.message}" if self.state.message and not self.is_complete else ""
        return f"{' '.join(facts)}{left}{outcome}{refused}{why}"


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
    if state.phase == "parked" or is_served(folder.courier(backend)):
        return state.phase
    return "stopped" if state.updated else "not started"


def standings(history: History) -> list[Standing]:
    """Return how far each backend of a run is."""
    return [
        standing(
            history.folder,
            backend,
            history.folder.courier(backend).read_state(),
            size=history.size,
            status=history.status,
        )
        for backend in history.backends
    ]


def reasons(folder: RunFolder, backend: str) -> Counter[tuple[str, str]]:
    """Return how often a backend refused each name, with the reason."""
    refusals = folder.courier(backend).read_refused()
    return Counter((refusal.key or refusal.record, refusal.reason) for refusal in refusals)


def sync_command(folder: RunFolder, backend: str) -> str:
    """Return what to type to deliver the rest."""
    return f"multitrack sync {shlex.quote(str(folder.path))} --to {backend}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
