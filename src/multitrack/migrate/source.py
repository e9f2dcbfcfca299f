"""Source: what one tracker is to an import.

A `Source` finds the runs of a store, and a `SourceRun` yields what one of them holds as records
of the journal, with their original steps and times. It reads and nothing else: `importing`
redacts, writes and reports.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol

import msgspec

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import AnyRecord, Git, Tree


class SourceError(ValueError):
    """A store or a run cannot be read; the message says what would help."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, at its source.

    Attributes:
        id: what tells it from all others of its kind, whoever reads it and from where.
        time: when it began: Unix time, in seconds.
        project: what it belongs to.
        name: for people to read.
        notes: a longer description.
        hostname: the machine that it ran on.
        command: what was run.
        git: the state of its repository.
        details: anything else that shall be kept, such as the id of a parent.
        is_running: whether its source says that it goes on, or never heard of its end.
    """

    id: str
    time: float
    project: str | None = None
    name: str | None = None
    notes: str | None = None
    hostname: str | None = None
    command: list[str] = []
    git: Git | None = None
    details: Tree = {}
    is_running: bool = False


class SourceRun(Protocol):
    """One run at its source.

    Attributes:
        label: how a person knows it there: a path, an id.
    """

    label: str

    @abstractmethod
    def describe(self) -> About:
        """Return what the run is.

        Raises:
            Exception: whatever the client raises; only this run is left out then.
        """

    @abstractmethod
    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield what the run holds, metrics in the order of time; the outcome last, if it is known.

        Args:
            run: where files are staged.

        Raises:
            Exception: whatever the client raises; only this run is left out then.
        """


class Source(Protocol):
    """A tracker whose runs can be read.

    Class attributes:
        name: what users write after ``--from``.
        distributions: names on PyPI, any one of which brings the client; empty if none is needed.
        extra: the package's extra that brings it.
    """

    name: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]

    @abstractmethod
    def recognizes(self, location: str) -> bool:
        """Tell, by its look alone, whether a path or an address is a store of this kind."""

    @abstractmethod
    def find(self, location: str) -> Iterator[SourceRun]:
        """Yield the runs of a store.

        Raises:
            SourceError: it is no store of this kind.
        """
