"""Keep files as they were when they were logged, at the cost of a moment.

Small files are copied. Large ones are cloned where the file system can share blocks
(``FICLONE``: btrfs, XFS), else hard-linked, which takes no time and survives the deletion or
replacement of the original; else copied. A hard link cannot survive an original that is
overwritten in place: `was_overwritten` finds that out before anything is delivered.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from multitrack.trackers.folder import FILE_MODE, RunFolder, make_private, replace_file
from multitrack.trackers.names import LONGEST_COMPONENT
from multitrack.trackers.records import StagedFile
from multitrack.trackers.redact import REDACTED, redact_text

logger = logging.getLogger("multitrack")

COPY_LIMIT = 16 * 1024 * 1024
"""Bytes up to which a file is copied rather than linked: about ten milliseconds."""
MOST_TOLD = 20
"""Files that are left out of a folder and told one by one."""
_FICLONE = 0x40049409
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}
"""Errors that the next file meets as well."""
_KINDS = {
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
    stat.S_IFDIR: "a link to a folder",
}

Skip: TypeAlias = Callable[[str, str], None]
"""Gets the name of what is left out, and the reason."""


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
        make_private(target.parent)
        replace_file(target, content)
    return _describe(run, target, name, sha256=digest)


def stage_path(run: RunFolder, source: Path, skip: Skip | None = None) -> list[StagedFile]:
    """Keep a file, or all files of a folder.

    A link inside the folder is followed only to a file within it. What is no file, or cannot be
    read, costs itself alone.

    Args:
        run: the run's folder.
        source: the file or folder.
        skip: gets the name in the folder, and the reason, of what is left out; a warning if None.

    Raises:
        FileNotFoundError: there is nothing at the path.
        ValueError: what is there is neither a file nor a folder.
        OSError: the file cannot be read, or the run's disk is full.
    """
    source = source.resolve(strict=True)
    if not (source.is_file() or source.is_dir()):
        raise ValueError(f"{source.name} is neither a file nor a folder")
    target = run.files / "artifacts" / secrets.token_hex(8)
    make_private(target)
    try:
        if source.is_file():
            return [_stage_file(run, source, target, _printable(source.name))]
        return _stage_folder(run, source, target, skip or _warn)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _stage_folder(run: RunFolder, source: Path, target: Path, skip: Skip) -> list[StagedFile]:
    staged: dict[str, StagedFile] = {}
    found, skipped = files_of(source)
    for path, file in found:
        name = _printable(path)
        while name in staged and REDACTED in name:  # both are kept
            name += "_"
        if name in staged:
            skipped[path] = "another file of the folder has this name, once odd bytes are escaped"
            continue
        try:
            staged[name] = _stage_file(run, file, target, name)
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise
            skipped[path] = error.strerror or str(error)
    for path, reason in _told(skipped).items():
        skip(_printable(path), reason)
    return list(staged.values())


def _told(skipped: dict[str, str]) -> dict[str, str]:
    """Return the first that were left out, and how many more there are."""
    if len(skipped) <= MOST_TOLD:
        return skipped
    first = dict(list(skipped.items())[:MOST_TOLD])
    return {
        **first,
        "…": f"{len(skipped) - MOST_TOLD:,} more were left out, for reasons like these",
    }


def _warn(path: str, reason: str) -> None:
    logger.warning("not taken into the artifact: %s: %s", path, reason)


def check_place(run: RunFolder, file: StagedFile) -> None:
    """See that a record names a file of its own run: a journal may have been made by others.

    Raises:
        ValueError: the file lies outside the run's staged files, or its name leads out of a folder.
        FileNotFoundError: there is no such file.
    """
    parts = re.split(r"[\\/]", file.name)
    if not file.name or "\0" in file.name or ".." in parts or Path(file.name).is_absolute():
        raise ValueError(f"{file.name!r} leads out of the folder that it is to be kept in")
    real = Path(os.path.realpath(run.path / file.path.replace("\0", "")))
    if not real.is_relative_to(os.path.realpath(run.files)):
        raise ValueError(f"{file.path!r} is not among the files of the run")
    if not stat.S_ISREG(real.stat().st_mode):
        raise ValueError(f"{file.path!r} is no file")


def was_overwritten(run: RunFolder, file: StagedFile) -> bool:
    """Tell whether a hard-linked original was written to after it was staged.

    Raises:
        FileNotFoundError: the staged file is gone.
    """
    found = (run.path / file.path).stat()
    return found.st_size != file.size or file.mtime_ns not in {None, found.st_mtime_ns}


def safe_name(name: str) -> str:
    """Return an artifact's or file's name that can only name something inside its folder.

    One that is not such a name already gets a mark of its own: different names stay different.

    Raises:
        ValueError: nothing is left of it.

    >>> safe_name("my model/v1"), safe_name("../../etc/passwd")
    ('my model/v1', 'etc/passwd-3754d6cb')
    """
    parts = [part for part in re.split(r"[\\/]+", name.replace("\0", "")) if part.strip(". ")]
    if not parts:
        raise ValueError(f"{name!r} is no name for a file or folder")
    safe = "/".join(parts)
    if safe == name:
        return name
    digest = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()
    return f"{safe}-{digest[:8]}"


def short_name(key: str) -> str:
    """Return a file's name, without suffix, for what has a key: its last part, cut if it is long.

    >>> short_name("samples/digit"), len(short_name("x" * 300))
    ('digit', 200)
    """
    last = key.rsplit("/", 1)[-1].encode()
    return last[:LONGEST_COMPONENT].decode(errors="ignore") or "file"


def files_of(folder: Path) -> tuple[list[tuple[str, Path]], dict[str, str]]:
    """Return the files of a folder with their paths in it, and why others are left out."""
    found: list[tuple[str, Path]] = []
    skipped: dict[str, str] = {}

    def place(path: str | Path) -> str:
        return Path(path).relative_to(folder).as_posix()

    def unread(error: OSError) -> None:
        skipped[place(error.filename)] = error.strerror or str(error)

    for parent, folders, names in os.walk(folder, onerror=unread):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(set(folders).difference(links))
        for name in sorted([*names, *links]):
            path = Path(parent, name)
            real = Path(os.path.realpath(path))
            if reason := _unfit(real, folder):
                skipped[place(path)] = reason
            else:
                found.append((place(path), real))
    return found, skipped


def _unfit(real: Path, folder: Path) -> str | None:
    """Return why something is no file of a folder, None if it is one."""
    if not real.is_relative_to(folder):
        return "it leads out of the folder"
    try:
        mode = real.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return error.strerror or str(error)
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def _printable(name: str) -> str:
    """Return a file name as the journal can hold it: odd bytes become escapes, no secrets."""
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "/".join(map(redact_text, shown.split("/")))


def _stage_file(run: RunFolder, source: Path, folder: Path, name: str) -> StagedFile:
    target = folder / name
    make_private(target.parent)
    is_large = source.stat().st_size > COPY_LIMIT
    if not (is_large and _clone(source, target)):
        if is_large and _link(source, target):
            return _describe(run, target, name, is_linked=True)
        shutil.copyfile(source, target)
    target.chmod(FILE_MODE)
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


def _describe(
    run: RunFolder, path: Path, name: str, *, sha256: str | None = None, is_linked: bool = False
) -> StagedFile:
    found = path.stat()
    return StagedFile(
        path=path.relative_to(run.path).as_posix(),
        name=name,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns if is_linked else None,
        sha256=sha256,
    )
