"""Search a tree for all stores that it holds, of several kinds and at any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from multitrack.migrate.importing import WORKSHOP
from multitrack.migrate.source import Place, Source, Store
from multitrack.trackers.folder import JOURNAL
from multitrack.trackers.outcomes import one_line

DEEPEST = 50
"""Folders within folders that are searched."""
MOST = 500_000
"""Files and folders that are looked at."""
PASSED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", "site-packages", WORKSHOP}
)
"""Folders in which no run is."""


class Found(NamedTuple):
    """A store, and what reads it."""

    source: Source
    path: Path


class Passed(NamedTuple):
    """What was not looked at, and why.

    Attributes:
        path: where it is.
        reason: with what would help.
        is_failure: whether something may be lost by it.
    """

    path: Path
    reason: str
    is_failure: bool = True


class Search:
    """A walk over one tree. Links to folders are not followed: what they lead to is elsewhere.

    Args:
        sources: what is looked for; the generic ones are asked last, for what is left.
        kind_is_named: whether the user said what it is.
    """

    def __init__(self, sources: Sequence[Source], *, kind_is_named: bool = False) -> None:
        self._sources = sorted(sources, key=lambda source: (source.is_generic, source.name))
        self._kind_is_named = kind_is_named
        self._seen = 0

    def search(self, path: Path) -> Iterator[Found | Passed]:
        """Yield the stores at a path: of a folder all that are in it, folder by folder."""
        if path.is_dir():
            yield from self._folder(path, path, 0)
        else:
            one = frozenset({path.name})
            place = Place(path.parent, one, frozenset(), is_named=True, is_one_file=True)
            _, found = self._taken(place)
            yield from found

    def _folder(self, path: Path, root: Path, depth: int) -> Iterator[Found | Passed]:
        try:
            place, passed = self._look(path, root, is_named=self._kind_is_named or not depth)
            is_run = _is_run(place)
        except OSError as error:
            yield Passed(path, f"{error.strerror}; make it readable, or leave it out")
            return
        if is_run:
            if not depth:
                yield Passed(path, "it is a run folder of ours; play it: multitrack sync")
            return
        yield from passed
        folders, found = self._taken(place)
        yield from found
        if folders and depth >= DEEPEST:
            yield Passed(path, f"it lies {depth} folders deep; import it by its own path")
            return
        for name in sorted(folders):
            if self._seen > MOST:
                yield Passed(path, f"more than {MOST:,} files; import parts by their own paths")
                return
            yield from self._folder(path / name, root, depth + 1)

    def _look(self, path: Path, root: Path, *, is_named: bool) -> tuple[Place, list[Passed]]:
        files, folders, passed = set(), set(), []
        with os.scandir(path) as entries:
            for entry in entries:
                self._seen += 1
                if entry.is_symlink() and (why := _no_way(Path(entry.path), root)):
                    passed.append(Passed(Path(entry.path), why, is_failure=False))
                elif entry.is_file():
                    files.add(entry.name)
                elif entry.is_dir(follow_symlinks=False) and _is_searched(entry):
                    folders.add(entry.name)
        return Place(path, frozenset(files), frozenset(folders), is_named), passed

    def _taken(self, place: Place) -> tuple[frozenset[str], list[Found | Passed]]:
        """Let each source take its stores; return the folders that are left to be searched."""
        found: list[Found | Passed] = []
        for source in self._sources:
            try:
                stores = list(source.stores(place))
            except Exception as error:  # of a foreign file, whatever it is
                found.append(Passed(place.path, f"{source.name}: {one_line(error)}"))
                continue
            found += [Found(source, store.path) for store in stores]
            place = _left(place, stores)
        return place.folders, found


def _left(place: Place, stores: Sequence[Store]) -> Place:
    for store in stores:
        taken = place.files | place.folders if store.takes is None else store.takes
        place = place._replace(files=place.files - taken, folders=place.folders - taken)
    return place


def _is_searched(entry: os.DirEntry[str]) -> bool:
    return entry.name not in PASSED and not Path(entry.path, "pyvenv.cfg").exists()


def _is_run(place: Place) -> bool:
    """Tell whether a folder is a run of ours."""
    if JOURNAL not in place.files:
        return False
    with (place.path / JOURNAL).open("rb") as file:
        return file.read(13) == b'{"type":"run"'


def _no_way(link: Path, root: Path) -> str | None:
    """Return why a link is not followed, None if it leads to something in the tree."""
    real = Path(os.path.realpath(link))
    if not real.exists():
        return "a link to what is not there"
    if not real.is_relative_to(os.path.realpath(root)):
        return f"a link out of {root}; if it is yours, import {real}"
    return None
