"""Bring runs of another tracker in: one run folder each, whole or not at all.

A run is written into a folder that no command looks at, and moved to its place when all of it is
there. Its id is derived from the source's own, so a second import finds it, and appends what the
source has more by then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import msgspec

from multitrack.migrate.growth import Growth, hashed
from multitrack.migrate.source import About, SourceError, SourceRun
from multitrack.trackers.folder import FILE_MODE, JOURNAL, NO_LINK, RunFolder, make_private
from multitrack.trackers.history import read_tail
from multitrack.trackers.journal import MAX_LINE
from multitrack.trackers.locks import FileLock, LockedError
from multitrack.trackers.origin import write_origin
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.place import note_elsewhere
from multitrack.trackers.records import (
    AnyRecord,
    Artifact,
    Codec,
    End,
    Header,
    Host,
    Metrics,
    Params,
    Refused,
    Resumed,
    Scalar,
    StagedFile,
    Summary,
    Tree,
    files_of,
    spell,
)
from multitrack.trackers.redact import Redactor
from multitrack.trackers.values import as_tree

WORKSHOP = ".importing"
"""Folder, beside the runs, in which unfinished imports lie."""
ORIGIN = "imported_from"
"""Group of the config that says where a run comes from."""
UNKNOWN = "unknown"

UNKNOWN_HOST: dict[str, Any] = {
    "hostname": UNKNOWN,
    "pid": 0,
    "platform": UNKNOWN,
    "python": UNKNOWN,
}
STALE = 24 * 3600.0
"""Seconds of silence after which a run whose source says that it goes on is taken for dead."""
MOST_BYTES = 4 * 2**30
"""Bytes of the longest journal: small files can be packed so that they fill a disk."""
MOST_TIME = 253_402_300_800.0
"""Unix time at which years begin to have five digits."""
MOST_ALIKE = 1000
"""Runs that may begin alike, where their source gives them no id."""

Word: TypeAlias = Literal["imported", "updated", "present", "left out", "failed", "passed by"]
"""What became of a run, or of something in a folder.

imported: it is new; updated: it has more than when it was imported; present: it has no more; left
out: it goes on, and that was not asked for; failed: it cannot be read; passed by: nothing looked.
"""


class Outcome(NamedTuple):
    """What became of one run.

    Attributes:
        label: how a person knows it at its source.
        word: what became of it.
        run_id: ours, None if there is none.
        records: how many were written.
        reason: why it was not imported, as one line.
    """

    label: str
    word: Word
    run_id: str | None = None
    records: int = 0
    reason: str | None = None


class Importer:
    """Write runs of any source into a directory; a context manager, which locks it for imports.

    Args:
        directory: where the run folders go.
        project: of all runs; their own if None.
        only_ended: whether to leave out runs that go on.

    Example:
        >>> source = registry.load("table")
        >>> with Importer(Path("runs")) as importer:
        ...     found = source.find("run.csv", Reach(["run.csv"]))
        ...     outcomes = [importer.bring(run, source.name, "run.csv") for run in found]
    """

    def __init__(
        self, directory: Path, *, project: str | None = None, only_ended: bool = False
    ) -> None:
        self._directory = directory
        self._project = project
        self._only_ended = only_ended
        self._workshop = directory / WORKSHOP
        self._open = ExitStack()

    def __enter__(self) -> Importer:
        make_private(self._workshop)
        try:
            self._open.enter_context(FileLock(self._workshop / "lock"))
        except LockedError:
            raise SourceError(f"another import writes to {self._directory}; wait for it") from None
        for leftover in self._workshop.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def bring(self, run: SourceRun, kind: str, location: str) -> Outcome:
        """Import one run, or what it has more than before; what goes wrong is its outcome.

        Args:
            run: at its source.
            kind: the name of the source.
            location: of the store: a path or an address.
        """
        try:
            about = _sound(run.describe())
            if about.is_running and self._only_ended:
                return Outcome(run.label, "left out", reason="it has not ended")
            return self._write(run, kind, about, location)
        except Exception as error:  # whatever a client raises: the other runs shall come in
            return Outcome(run.label, "failed", reason=one_line(error))

    def _write(self, run: SourceRun, kind: str, about: About, location: str) -> Outcome:
        run_id = make_id(kind, about)
        with tempfile.TemporaryDirectory(dir=self._workshop) as scratch:
            new = RunFolder(Path(scratch, run_id))
            new.create()
            count = _fill(new, self._header(run_id, kind, about, location), run, about)
            for number in range(1, MOST_ALIKE):
                known = self._find(kind, about, number)
                if known is None:
                    placed = self._place(new, make_id(kind, about, number))
                    return Outcome(run.label, "imported", placed.run_id, count)
                growth = Growth(known, new)
                if growth.is_contained or not about.by_content:
                    return _grown(run.label, known, new, growth)
        raise SourceError(f"{MOST_ALIKE} other runs begin as this one does")

    def _place(self, new: RunFolder, run_id: str) -> RunFolder:
        """Move a whole run to where runs are."""
        if new.run_id != run_id:
            _rename(new, run_id)
        if not isinstance(read_tail(new)[-1], End):
            note_elsewhere(new)
        placed = RunFolder(self._directory / run_id)
        new.path.rename(placed.path)
        write_origin(placed, run_id)
        return placed

    def _find(self, kind: str, about: About, number: int) -> RunFolder | None:
        """Return the run that an earlier import made of this one."""
        known = (about.id, *about.former_ids) if number == 1 else (about.id,)
        for source_id in known:
            pattern = f"*-{kind}-{_digest(kind, source_id, number)}"
            for path in self._directory.glob(pattern):
                if (path / JOURNAL).is_file() and not path.is_symlink():
                    return RunFolder(path)
        return None

    def _header(self, run_id: str, kind: str, about: About, location: str) -> Header:
        origin = {"tracker": kind, "id": about.id, "location": location}
        config = {ORIGIN: origin | as_tree(about.details)}
        return Header(
            time=about.time,
            run_id=run_id,
            project=self._project or about.project,
            name=about.name,
            notes=about.notes or None,
            config=config,
            host=_host(about),
            git=about.git,
            command=about.command,
            cwd=str(Path.cwd()),
        )


def _grown(label: str, known: RunFolder, new: RunFolder, growth: Growth) -> Outcome:
    """Append what an import has more than the one before."""
    if growth.is_nothing:
        return Outcome(label, "present", known.run_id)
    more = [*growth.records]
    if growth.was_ended:
        more.insert(0, Resumed(time=_time(growth), host=Host(**UNKNOWN_HOST)))
    if growth.end:
        more.append(growth.end)
    with FileLock(known.writer_lock):
        for record in growth.records:
            for file in files_of(record):
                _move(file, new, known)
        with open_private(known.journal, os.O_APPEND) as journal:
            journal.write(b"".join(_line(_respelled(record)) for record in more))
            journal.flush()
            os.fsync(journal.fileno())
    return Outcome(label, "updated", known.run_id, len(more))


def _rename(run: RunFolder, run_id: str) -> None:
    """Write another id into a run's journal."""
    other = run.path / f"{JOURNAL}.new"
    with run.journal.open("rb") as old, open_private(other, os.O_EXCL) as new:
        header = Codec.decode(old.readline())
        new.write(_line(msgspec.structs.replace(header, run_id=run_id)))
        shutil.copyfileobj(old, new)
        new.flush()
        os.fsync(new.fileno())
    other.replace(run.journal)


def _respelled(record: AnyRecord) -> AnyRecord:
    """Return a record that was read from a journal as a journal holds it."""
    if isinstance(record, Metrics | Summary):
        return msgspec.structs.replace(record, values=_spelled(record.values))
    return record


def _time(growth: Growth) -> float:
    told = [*growth.records, *([growth.end] if growth.end else [])]
    return min(record.time for record in told)


def _move(file: StagedFile, new: RunFolder, known: RunFolder) -> None:
    """Take a staged file along; its path in a run's folder stays the same."""
    target = known.path / file.path
    if not Path(os.path.realpath(target)).is_relative_to(os.path.realpath(known.path)):
        raise SourceError(f"{target} leads out of its run's folder")
    if not target.exists():
        make_private(target.parent)
        (new.path / file.path).rename(target)


def _fill(folder: RunFolder, header: Header, run: SourceRun, about: About) -> int:
    """Write a whole journal; return how many records it has."""
    last: AnyRecord = header
    latest, count = header.time, 1
    with open_private(folder.journal, os.O_EXCL) as journal:
        journal.write(_line(cleaned(header)))
        for record in run.records(folder):
            last = _timed(record, latest)
            latest, count = max(latest, last.time), count + 1
            journal.write(_line_or_refusal(last, folder))
            if journal.tell() > MOST_BYTES:
                raise SourceError(f"more than {MOST_BYTES:,} bytes come out of it")
        if not isinstance(last, End) and (end := _unsaid_end(about, latest)):
            journal.write(_line(end))
            count += 1
        journal.flush()
        os.fsync(journal.fileno())
    return count


def _unsaid_end(about: About, latest: float) -> End | None:
    """Return the outcome of a run whose source tells none; None if it seems to go on."""
    if not about.is_running:
        return End(time=latest, status="finished")
    if time.time() - latest < STALE:
        return None
    return End(time=latest, status="killed", error="its source never heard of its end")


def _host(about: About) -> Host:
    return Host(**UNKNOWN_HOST | {"hostname": about.hostname or UNKNOWN})


def make_id(kind: str, about: About, number: int = 1) -> str:
    """Return the id of a run that is imported: it sorts by the time at which the run began.

    Args:
        kind: the name of the source.
        about: what the run is.
        number: which one it is of those that begin alike.

    >>> make_id("mlflow", About(id="a1b2", time=1700000000.0))
    '20231114-221320-mlflow-4b1463e2de3e'
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(about.time))
    return f"{stamp}-{kind}-{_digest(kind, about.id, number)}"


def cleaned(record: AnyRecord) -> AnyRecord:
    """Return a record as a journal may hold it: without secrets, all numbers spelled."""
    changes: dict[str, Any] = {}
    if isinstance(record, Metrics | Summary):
        changes["values"] = _spelled(record.values)
    elif isinstance(record, Params):
        changes["values"] = _with_origin_kept(as_tree(record.values))
    elif isinstance(record, Artifact):
        changes["metadata"] = as_tree(record.metadata)
    return Redactor().redact(msgspec.structs.replace(record, **changes))


def open_private(path: Path, how: int) -> BinaryIO:
    """Open a file for writing that its owner alone can read, and that is no link."""
    flags = os.O_WRONLY | os.O_CREAT | NO_LINK | how
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb")


def _digest(kind: str, source_id: str, number: int) -> str:
    more = f"\0{number}" if number > 1 else ""
    return hashlib.sha256(f"{kind}\0{source_id}{more}".encode(errors="replace")).hexdigest()[:12]


def _sound(about: About) -> About:
    """Return what a run is with a time that there is: a broken clock costs no run."""
    if 0 <= about.time < MOST_TIME:
        return about
    return msgspec.structs.replace(about, time=0.0)


def _timed(record: AnyRecord, latest: float) -> AnyRecord:
    """Return a record with a time that there is."""
    if 0 <= record.time < MOST_TIME:
        return record
    return msgspec.structs.replace(record, time=latest)


def _with_origin_kept(params: Tree) -> Tree:
    """Return params; where the run was imported before, its origin then stands below today's."""
    if ORIGIN in params:
        params[ORIGIN] = {"earlier": params[ORIGIN]}
    return params


def _spelled(values: dict[str, Scalar]) -> dict[str, Scalar]:
    return {name: spell(v) if isinstance(v, float) else v for name, v in values.items()}


def _line_or_refusal(record: AnyRecord, folder: RunFolder) -> bytes:
    """Return a record's line; one that a journal cannot hold is refused by name."""
    try:
        line = _line(cleaned(hashed(record, folder)))
        Codec.decode(line)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        key = getattr(record, "key", None) or getattr(record, "name", None) or type(record).__name__
        return _line(Refused(time=record.time, key=str(key), reason=one_line(error)))
    return line


def _line(record: AnyRecord) -> bytes:
    try:
        line = Codec.encode(record)
    except UnicodeEncodeError:
        line = Codec.encode_escaped(record)
    if len(line) > MAX_LINE:
        raise ValueError(f"a record of {len(line)} bytes is longer than {MAX_LINE} bytes")
    return line
