"""Source: what one tracker, or one format of files, is to an import.

A `Source` says which things in a folder are stores of its kind, finds the runs of a store, and a
`SourceRun` yields what one of them holds as records of the journal, with their original steps and
times. It reads and nothing else: `importing` redacts, writes and reports.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import msgspec

from multitrack.migrate.reach import Reach, SourceError
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import AnyRecord, Git, Tree

__all__ = ["About", "Place", "Reach", "Source", "SourceError", "SourceRun", "Store"]


class Place(NamedTuple):
    """One folder of the tree that is searched, as far as no other source has taken it.

    Attributes:
        path: the folder.
        files: names of the plain files in it, links to files of the tree included.
        folders: names of the folders in it.
        is_named: whether the user named this folder, or a file in it, or the kind: then a source
            takes what could be meant; deeper in a tree only what is certain.
        is_one_file: whether the user named the one file in it.
    """

    path: Path
    files: frozenset[str]
    folders: frozenset[str]
    is_named: bool = False
    is_one_file: bool = False


class Store(NamedTuple):
    """What holds runs of one kind.

    Attributes:
        path: what `Source.find` gets: the folder, or a file in it.
        takes: names of what belongs to it in that folder; a folder with all that is in it. Nothing
            else looks at these. None for the whole folder.
    """

    path: Path
    takes: frozenset[str] | None = None


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, at its source.

    Attributes:
        id: what tells it from all others of its kind, whoever reads it and from where: no path.
        by_content: whether the id is made of what the run begins with, because its source gives
            it none. Of two runs with the same id that go different ways, each is then one.
        former_ids: what earlier releases took as its id.
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
    by_content: bool = False
    former_ids: tuple[str, ...] = ()
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

        The same run yields the same again, and what came since: so it is brought up to date. What
        cannot be read is a `Refused` with its name, the reason and what would help.

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
        is_generic: whether it reads what any program could have written: it is asked last.
    """

    name: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]
    is_generic: ClassVar[bool] = False

    @abstractmethod
    def stores(self, place: Place) -> Iterator[Store]:
        """Yield the stores of this kind that lie in one folder, by their look; without a client."""

    def serves(self, _address: str) -> bool:
        """Tell whether an address, with its scheme, is one of a store of this kind."""
        return False

    @abstractmethod
    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the runs of a store.

        Args:
            location: the path of a store that `stores` found, or an address.
            reach: where files may be read. Every path that a store names goes through it.

        Raises:
            SourceError: it cannot be read.
        """
