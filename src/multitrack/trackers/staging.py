"""Keep files as they were when they were logged, at the cost of a moment.

Small files are copied. Large ones are cloned where the file system can share blocks
(``FICLONE``: btrfs, XFS), else hard-linked, which takes no time and survives the deletion or
replacement of the original; else copied. A hard link cannot survive an original that is
overwritten in place: `was_overwritten` finds that out before anything is delivered.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from multitrack.trackers.folder import FILE_MODE, FOLDER_MODE, RunFolder
from multitrack.trackers.records import StagedFile

logger = logging.getLogger("multitrack")

COPY_LIMIT = 16 * 1024 * 1024
"""Bytes up to which a file is copied rather than linked: about ten milliseconds."""
_FICLONE = 0x40049409


def stage_bytes(run: RunFolder, content: bytes, name: str) -> StagedFile:
    """Keep content under its digest; equal content is kept once.

    Args:
        run: the run's folder.
        content: the bytes.
        name: the file name for the user; its suffix tells the format.
    """
    digest = hashlib.sha256(content).hexdigest()
    target = run.files / "media" / f"{digest[:32]}{Path(name).suffix.lower()}"
    if not target.exists():
        target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        temporary = target.with_name(f".{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(target)
    return _describe(run, target, name, sha256=digest)


def stage_path(run: RunFolder, source: Path) -> list[StagedFile]:
    """Keep a file, or all files of a folder.

    A link inside the folder is followed only to a file within it.

    Raises:
        FileNotFoundError: there is nothing at the path.
    """
    source = source.resolve(strict=True)
    target = run.files / "artifacts" / secrets.token_hex(8)
    target.mkdir(mode=FOLDER_MODE, parents=True)
    if source.is_file():
        return [_stage_file(run, source, target, source.name)]
    return [_stage_file(run, file, target, name) for name, file in _files_of(source)]


def was_overwritten(run: RunFolder, file: StagedFile) -> bool:
    """Tell whether a hard-linked original was written to after it was staged.

    Raises:
        FileNotFoundError: the staged file is gone.
    """
    stat = (run.path / file.path).stat()
    return (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns)


def safe_name(name: str) -> str:
    """Return an artifact's or file's name that can only name something inside its folder.

    Raises:
        ValueError: nothing is left of it.

    >>> safe_name("../../etc/passwd"), safe_name("my model/v1")
    ('etc/passwd', 'my model/v1')
    """
    parts = [part for part in re.split(r"[\\/]+", name.replace("\0", "")) if part.strip(". ")]
    if not parts:
        raise ValueError(f"{name!r} is no name for a file or folder")
    return "/".join(parts)


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not (Path(parent) / n).is_symlink())
        for name in sorted(names):
            path = Path(parent) / name
            real = path.resolve()
            if not real.is_file():
                continue
            if not real.is_relative_to(folder):
                logger.warning("not taken into the artifact: %s leads out of its folder", path)
                continue
            yield path.relative_to(folder).as_posix(), real


def _stage_file(run: RunFolder, source: Path, folder: Path, name: str) -> StagedFile:
    target = folder / name
    target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if source.stat().st_size <= COPY_LIMIT or not (_clone(source, target) or _link(source, target)):
        shutil.copyfile(source, target)
    return _describe(run, target, name)


def _clone(source: Path, target: Path) -> bool:
    try:
        import fcntl

        with source.open("rb") as old, target.open("xb") as new:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
    except (ImportError, OSError):
        target.unlink(missing_ok=True)
        return False
    return True


def _link(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _describe(run: RunFolder, path: Path, name: str, sha256: str | None = None) -> StagedFile:
    stat = path.stat()
    return StagedFile(
        path=path.relative_to(run.path).as_posix(),
        name=name,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        sha256=sha256,
    )
