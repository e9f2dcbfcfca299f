"""Staged files that nobody needs any more: those that every backend of a run has.

A file goes when the run is delivered to all its backends, and each of them took the record that
the file belongs to. It stays when one of them refused it (the staged copy may be the only one),
unless that backend can never hold such a record and another one does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from multitrack.trackers import registry
from multitrack.trackers.courier import read_header
from multitrack.trackers.folder import RunFolder, replace_file
from multitrack.trackers.history import glance
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.kept import is_own
from multitrack.trackers.locks import FileLock, LockedError
from multitrack.trackers.protocol import METHOD_OF, Unsupported
from multitrack.trackers.records import AnyRecord, Artifact, files_of

BLOCK = 512
"""Bytes of the unit in which a file's room on the disk is counted."""
WHOLE_BATCHES = {"batch", "end"}
"""Refusals that do not say which record they are about."""


class KeptError(Exception):
    """A run's files are still needed; the message says what for."""


class Unneeded(NamedTuple):
    """What can go of a run.

    Attributes:
        files: where they lie.
        size: bytes that come free: a hard link whose original still exists takes none.
        kept: files that stay.
    """

    files: list[Path]
    size: int
    kept: int


def find_unneeded(run: RunFolder) -> Unneeded:
    """Return which staged files of a run every backend has.

    Raises:
        KeptError: all are still needed.
        UnreadableRunError: the journal does not start with a header.
        OSError: the folder cannot be read.
    """
    _check_is_no_link(run)
    _check_is_delivered(run)
    staged = _staged(run)
    needed = _needed(run) if staged else set()
    files = [path for path in staged if path.relative_to(run.path).as_posix() not in needed]
    stats = [path.lstat() for path in files]
    size = sum(one.st_blocks * BLOCK for one in stats if one.st_nlink == 1)
    return Unneeded(files, size, len(staged) - len(files))


def prune(run: RunFolder) -> Unneeded:
    """Remove those files; a later delivery to a new backend will refuse them, and say why.

    Raises:
        KeptError: all are still needed.
        UnreadableRunError: the journal does not start with a header.
        OSError: the folder cannot be read, or a file cannot be removed.
    """
    try:
        with FileLock(run.writer_lock):
            found = find_unneeded(run)
            if found.files:
                replace_file(run.pruned, b"by multitrack gc\n")
            for path in found.files:
                path.unlink(missing_ok=True)
    except LockedError:
        raise KeptError("a process writes to it") from None
    if not run.files.is_symlink():
        _remove_empty_folders(run.files)
    return found


def _check_is_no_link(run: RunFolder) -> None:
    """See that what would be removed lies where it seems to: others may have made the folder."""
    for path in (run.path, run.files):
        if path.is_symlink():
            raise KeptError(f"{path} is a link, and files are only removed where they lie")


def _staged(run: RunFolder) -> list[Path]:
    """Return the plain files among a run's; no link is followed."""
    if run.files.is_symlink():
        return []
    found = (Path(folder, name) for folder, _, names in os.walk(run.files) for name in names)
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _check_is_delivered(run: RunFolder) -> None:
    seen = glance(run)
    if seen.status == "running":
        raise KeptError("it is running")
    if not seen.couriers:
        raise KeptError("it reports to no backend")
    for backend, state in seen.couriers.items():
        if state.phase != "done" or state.offset < seen.size:
            raise KeptError(f"{backend} does not have all of it")


def _needed(run: RunFolder) -> set[str]:
    """Return the paths of the files that some backend of the run may still want."""
    refused = {courier.backend: _refused(run, courier.backend) for courier in run.couriers()}
    return {
        file.path
        for record, offset in _records(run)
        for file in files_of(record)
        if not _is_held(run, record, offset, refused)
    }


def _refused(run: RunFolder, backend: str) -> set[int]:
    refusals = run.courier(backend).read_refused()
    if any(refusal.record in WHOLE_BATCHES for refusal in refusals):
        raise KeptError(f"{backend} refused a whole batch: see multitrack show")
    return {refusal.offset for refusal in refusals}


def _is_held(run: RunFolder, record: AnyRecord, offset: int, refused: dict[str, set[int]]) -> bool:
    """Tell whether a record's files are where they shall be: with one backend at least."""
    withheld = record.withheld_from if isinstance(record, Artifact) else []
    wanting = [b for b in refused if b not in withheld and not _never_holds(run, b, record)]
    return bool(wanting) and all(offset not in refused[backend] for backend in wanting)


def _never_holds(run: RunFolder, backend: str, record: AnyRecord) -> bool:
    try:
        if not registry.is_built_in(backend) and not is_own(run, read_header(run).run_id, backend):
            return False  # a folder's word is no reason to load somebody's code
        tracker = registry.load(backend)
    except (ImportError, ValueError, TypeError):  # not installed here: who knows
        return False
    is_unsupported = isinstance(getattr(tracker, METHOD_OF[type(record)]), Unsupported)
    return is_unsupported or tracker.placement == "source"


def _records(run: RunFolder) -> Iterator[tuple[AnyRecord, int]]:
    with closing(JournalReader(run.journal)) as reader:
        while entries := reader.read():
            for entry in entries:
                if isinstance(entry, Entry):
                    yield entry.record, entry.start


def _remove_empty_folders(files: Path) -> None:
    """Remove the folders that hold nothing any more, the innermost first."""
    for parent, _, _ in os.walk(files, topdown=False):
        folder = Path(parent)
        if folder != files and not any(folder.iterdir()):
            folder.rmdir()
