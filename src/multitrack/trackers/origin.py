"""Where a run was started: ``origin.json``, signed, so that nobody else can say it.

The header tells people where a run ran. What is decided by that, such as where relative paths
lead, is taken from here, and only if this user's installation wrote it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from multitrack.trackers import key
from multitrack.trackers.folder import JOURNAL, RunFolder, read_file, replace_file

_PURPOSE = "origin"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run was started.

    Attributes:
        directory: the working directory of the process that started it.
        seal: the signature of that and of the run's id.
    """

    directory: str
    seal: str = ""


def write_origin(run: RunFolder, run_id: str) -> None:
    """Sign where a run runs; one of ours that goes on keeps its working directory.

    Raises:
        OSError: the run's folder cannot be written.
    """
    if read_origin(run, run_id) is None:
        directory = str(current_directory())
        origin = Origin(directory=directory, seal=key.sign(_PURPOSE, run_id, directory))
        replace_file(run.origin, msgspec.json.encode(origin))


def read_origin(run: RunFolder, run_id: str) -> Origin | None:
    """Return where a run was started; None if this installation has not written it."""
    try:
        origin = msgspec.json.decode(read_file(run.origin), type=Origin)
    except (OSError, msgspec.DecodeError):
        return None
    return origin if key.is_signed(origin.seal, _PURPOSE, run_id, origin.directory) else None


def directory_of(run: RunFolder, run_id: str) -> Path:
    """Return where relative paths of a run lead: where it ran, else where we are."""
    origin = read_origin(run, run_id)
    if origin and Path(origin.directory).is_dir():
        return Path(origin.directory)
    return current_directory()


def current_directory() -> Path:
    """Return the working directory, or what is above it if it lies in a run's folder.

    What a run's folder brings along, such as a client's configuration, shall not be found. If
    the directory was removed under the process, it is the root.
    """
    try:
        here = Path.cwd()
    except OSError:
        return Path("/")
    outermost = [folder for folder in (here, *here.parents) if is_run(folder)]
    return outermost[-1].parent if outermost else here


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run's."""
    return (folder / JOURNAL).exists()
