"""Bring runs of another tracker in: one run folder each, whole or not at all.

A run is written into a folder that no command looks at, and moved to its place when all of it is
there. Its id is derived from the source's own, so a second import finds it and leaves it alone.
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

from multitrack.migrate.source import About, SourceError, SourceRun
from multitrack.trackers.folder import FILE_MODE, JOURNAL, RunFolder, make_private
from multitrack.trackers.journal import MAX_LINE
from multitrack.trackers.locks import FileLock, LockedError
from multitrack.trackers.records import (
    AnyRecord,
    Artifact,
    Codec,
    End,
    Header,
    Host,
    Metrics,
    Params,
    Scalar,
    Summary,
    Tags,
    Tree,
    spell,
)
from multitrack.trackers.redact import redact_command, redact_text, redact_tree
from multitrack.trackers.session import one_line
from multitrack.trackers.values import as_tree

WORKSHOP = ".importing"
"""Folder, beside the runs, in which unfinished imports lie."""
ORIGIN = "imported_from"
"""Group of the config that says where a run comes from."""
UNKNOWN = "unknown"

Word: TypeAlias = Literal["imported", "present", "running", "failed"]
"""What became of a run: present is one that an earlier import brought."""


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
    """Write runs of one source into a directory; a context manager, which locks it for imports.

    Args:
        kind: name of the source.
        location: where it is: a path or an address.
        directory: where the run folders go.
        project: of all runs; their own if None.
        with_running: whether to take in runs that never ended, with the outcome *killed*.

    Example:
        >>> source = registry.choose("mlruns.db")
        >>> with Importer(source.name, "mlruns.db", Path("runs")) as importer:
        ...     outcomes = [importer.bring(run) for run in source.find("mlruns.db")]
    """

    def __init__(
        self,
        kind: str,
        location: str,
        directory: Path,
        *,
        project: str | None = None,
        with_running: bool = False,
    ) -> None:
        self._kind = kind
        self._location = location
        self._directory = directory
        self._project = project
        self._with_running = with_running
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

    def bring(self, run: SourceRun) -> Outcome:
        """Import one run, unless it is there already; what goes wrong with it is its outcome."""
        try:
            about = run.describe()
            if found := self._find(about):
                return Outcome(run.label, "present", found)
            if about.is_running and not self._with_running:
                return Outcome(run.label, "running", reason="it has not ended")
            return self._write(run, about)
        except Exception as error:  # whatever a client raises: the other runs shall come in
            return Outcome(run.label, "failed", reason=one_line(error))

    def _find(self, about: About) -> str | None:
        """Return the id of the run that an earlier import made of this one."""
        pattern = f"*-{self._kind}-{_digest(self._kind, about.id)}"
        found = (path.name for path in self._directory.glob(pattern) if (path / JOURNAL).is_file())
        return next(found, None)

    def _write(self, run: SourceRun, about: About) -> Outcome:
        run_id = make_id(self._kind, about)
        with tempfile.TemporaryDirectory(dir=self._workshop) as scratch:
            folder = RunFolder(Path(scratch, run_id))
            folder.create()
            count = self._fill(folder, self._header(run_id, about), run)
            folder.path.rename(self._directory / run_id)
        return Outcome(run.label, "imported", run_id, count)

    def _fill(self, folder: RunFolder, header: Header, run: SourceRun) -> int:
        """Write a whole journal; return how many records it has."""
        last: AnyRecord = header
        latest, count = header.time, 1
        with open_private(folder.journal) as journal:
            journal.write(_line(header))
            for record in run.records(folder):
                journal.write(_line(cleaned(record)))
                last, latest, count = record, max(latest, record.time), count + 1
            if not isinstance(last, End):
                journal.write(_line(End(time=latest, status=self._unsaid_outcome(run))))
                count += 1
            journal.flush()
            os.fsync(journal.fileno())
        return count

    def _unsaid_outcome(self, run: SourceRun) -> Literal["finished", "killed"]:
        return "killed" if run.describe().is_running else "finished"

    def _header(self, run_id: str, about: About) -> Header:
        origin = {"tracker": self._kind, "id": about.id, "location": self._location}
        config = {ORIGIN: origin | as_tree(about.details)}
        return Header(
            time=about.time,
            run_id=run_id,
            project=self._project or about.project,
            name=about.name,
            notes=redact_text(about.notes) if about.notes else None,
            config=redact_tree(config),
            host=Host(hostname=about.hostname or UNKNOWN, pid=0, platform=UNKNOWN, python=UNKNOWN),
            git=about.git,
            command=redact_command(about.command),
            cwd=str(Path.cwd()),
        )


def make_id(kind: str, about: About) -> str:
    """Return the id of a run that is imported: it sorts by the time at which the run began.

    >>> make_id("mlflow", About(id="a1b2", time=1700000000.0))
    '20231114-221320-mlflow-4b1463e2de3e'
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(about.time))
    return f"{stamp}-{kind}-{_digest(kind, about.id)}"


def cleaned(record: AnyRecord) -> AnyRecord:
    """Return a record as a journal may hold it: without secrets, all numbers spelled."""
    changes: dict[str, Any] = {}
    if isinstance(record, Metrics):
        changes["values"] = _spelled(record.values)
    elif isinstance(record, Params):
        changes["values"] = redact_tree(_with_origin_kept(as_tree(record.values)))
    elif isinstance(record, Tags):
        changes["values"] = redact_tree(record.values)
    elif isinstance(record, Summary):
        changes["values"] = redact_tree(_spelled(record.values))
    elif isinstance(record, Artifact):
        changes["metadata"] = redact_tree(as_tree(record.metadata))
    elif isinstance(record, End) and record.error:
        changes["error"] = redact_text(record.error)
    return msgspec.structs.replace(record, **changes)


def open_private(path: Path) -> BinaryIO:
    """Open a new file for writing that its owner alone can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


def _digest(kind: str, source_id: str) -> str:
    return hashlib.sha256(f"{kind}\0{source_id}".encode()).hexdigest()[:12]


def _with_origin_kept(params: Tree) -> Tree:
    """Return params; where the run was imported before, its origin then stands below today's."""
    if ORIGIN in params:
        params[ORIGIN] = {"earlier": params[ORIGIN]}
    return params


def _spelled(values: dict[str, Scalar]) -> dict[str, Scalar]:
    return {name: spell(v) if isinstance(v, float) else v for name, v in values.items()}


def _line(record: AnyRecord) -> bytes:
    try:
        line = Codec.encode(record)
    except UnicodeEncodeError:
        line = Codec.encode_escaped(record)
    if len(line) > MAX_LINE:
        raise ValueError(f"a record of {len(line)} bytes is longer than {MAX_LINE} bytes")
    return line
