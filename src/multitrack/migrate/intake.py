"""Bring in all that a place holds: every store, every run, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from multitrack.migrate import registry
from multitrack.migrate.importing import Importer, Outcome, Word
from multitrack.migrate.search import Passed, Search
from multitrack.migrate.source import Reach, Source, SourceError
from multitrack.trackers.outcomes import one_line


def take_in(
    location: str, importer: Importer, *, kind: str | None = None, also: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Yield what became of each run, and of what could not be read.

    Args:
        location: a file, a folder, which is searched for all that it holds, or an address.
        importer: writes the runs.
        kind: the name of the source; all kinds if None.
        also: places besides the location from which files may be read.

    Raises:
        SourceError: there is nothing at the location, no kind has this name, or nothing is known.
    """
    sources = registry.chosen(kind)
    if "://" in location and not location.startswith("file://"):
        yield from _store(_server(location, sources), location, Reach([location, *also]), importer)
        return
    path = Path(location.removeprefix("file://")).expanduser()
    if not (path.is_dir() or path.is_file()):
        raise SourceError(f"there is nothing at {location}; name a file, a folder or an address.")
    reach = Reach([path, *also])
    is_known = False
    for found in Search(sources, kind_is_named=kind is not None).search(path):
        is_known = True
        if isinstance(found, Passed):
            word: Word = "failed" if found.is_failure else "passed by"
            yield Outcome(str(found.path), word, reason=found.reason)
        else:
            yield from _store(found.source, str(found.path), reach, importer)
    if not is_known:
        what = f"nothing that {kind} reads" if kind else "nothing that is known"
        known = "|".join(registry.names())
        raise SourceError(f"{location} holds {what}; say what it is: --from {known}")


def _store(source: Source, location: str, reach: Reach, importer: Importer) -> Iterator[Outcome]:
    """Yield what became of a store's runs; one that cannot be read is an outcome, too."""
    try:
        registry.require(source)
        for run in source.find(location, reach):
            yield importer.bring(run, source.name, location)
    except Exception as error:  # of a foreign store, whatever it is: the others shall come in
        yield Outcome(location, "failed", reason=one_line(error))


def _server(address: str, sources: Sequence[Source]) -> Source:
    for source in sources:
        if source.serves(address) or len(sources) == 1:
            return source
    known = "|".join(registry.names())
    raise SourceError(f"{address} is no address that is known; say what it is: --from {known}")
