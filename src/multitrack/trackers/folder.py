"""A run's folder: where everything lies, and what a courier keeps beside its cursor."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from multitrack.trackers.names import component
from multitrack.trackers.protocol import Attachment
from multitrack.trackers.records import Status
from multitrack.trackers.redact import redact_struct, redact_text

JOURNAL = "journal.jsonl"
FOLDER_MODE = 0o700
FILE_MODE = 0o600
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}")
NO_LINK = os.O_NOFOLLOW
"""A file that is appended to is no link to one elsewhere."""

Phase: TypeAlias = Literal["starting", "delivering", "waiting", "retrying", "parked", "done"]
"""What a courier was doing when it last wrote its state.

starting: opening the client; delivering: it has records to bring; waiting: all is delivered and
the run goes on; retrying: the backend does not answer, it tries again; parked: nothing goes
through until a person acts; done: all is delivered and the backend knows the outcome.
"""


class Attempt(msgspec.Struct, frozen=True):
    """A batch in delivery: found again by the next courier, it shows that this one crashed."""

    start: int
    end: int
    tries: int


class CourierState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one courier knows, in ``couriers/<backend>/state.json``.

    Attributes:
        offset: the cursor: bytes of the journal that the backend has acknowledged.
        mark: checksum of the journal before the cursor: another journal has another one.
        delivered: records acknowledged.
        refused: records, or parts of records, set aside in ``refused.jsonl``.
        corrupt: unreadable lines of the journal that were skipped.
        phase: what it was doing last.
        message: why, as one line: the last error, or what a parked courier waits for.
        remedy: what a person can type or do about it.
        failures: deliveries that failed since the last one that went through.
        not_before: Unix time before which the server asked not to be tried again.
        rings: how often it had been asked to try at once, when its last try failed.
        attempt: the batch in delivery.
        attachment: how to find the run at the backend.
        seal: this user's signature of the attachment; without it, it is somebody else's word.
        told: the status that the backend was told last.
        place: the folder in which the courier was at work that knows the attachment.
        pid: the courier's process.
        updated: Unix time of this state, in seconds.
    """

    offset: int = 0
    mark: int | None = None
    delivered: int = 0
    refused: int = 0
    corrupt: int = 0
    phase: Phase = "starting"
    message: str | None = None
    remedy: str | None = None
    failures: int = 0
    not_before: float = 0.0
    rings: int = 0
    attempt: Attempt | None = None
    attachment: Attachment | None = None
    seal: str | None = None
    told: Status | None = None
    place: str | None = None
    pid: int = 0
    updated: float = 0.0


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A line of ``refused.jsonl``: what a backend did not take, and why.

    Attributes:
        time: Unix time, in seconds.
        offset: where the record's line starts in the journal.
        record: its type.
        key: the metric, param or media name; None for the whole record.
        reason: one line.
    """

    time: float
    offset: int
    record: str
    reason: str
    key: str | None = None


class CourierFolder:
    """``<run>/couriers/<backend>``: cursor, lock, log, and what was refused.

    Args:
        path: the folder; it is created when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.backend = path.name
        self.state = path / "state.json"
        self.lock = path / "lock"
        self.log = path / "log.txt"
        self.refused = path / "refused.jsonl"
        self.settings = path / "settings.json"
        self.bell = path / "bell"

    def create(self) -> None:
        """Make the folder, readable by its owner alone.

        Raises:
            OSError: a link stands in its place, which would lead what is written elsewhere.
        """
        if link := self._link():
            raise OSError(f"{link} is a link: a courier works only within its run's folder")
        make_private(self.path)

    @property
    def is_linked(self) -> bool:
        """Whether a link leads elsewhere, so that nothing here is the run's."""
        return self._link() is not None

    def _link(self) -> Path | None:
        """Return what is a link on the way to this folder, which then is not the run's."""
        return next((path for path in (self.path, self.path.parent) if path.is_symlink()), None)

    def _read(self, path: Path) -> bytes:
        if link := self._link():
            raise FileNotFoundError(errno.ENOENT, "it is a link", str(link))
        return read_file(path)

    def read_state(self) -> CourierState:
        """Return the stored state; a fresh one if there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self._read(self.state), type=CourierState)
        except FileNotFoundError:
            return CourierState()
        except msgspec.DecodeError as error:  # torn by a loss of power
            return CourierState(message=f"the cursor was unreadable ({error}): begun again")

    def write_state(self, state: CourierState) -> None:
        """Replace the stored state, atomically."""
        state.updated = time.time()
        state.message = state.message and redact_text(state.message)
        replace_file(self.state, msgspec.json.encode(state))

    def read_settings(self) -> dict[str, Any]:
        """Return the settings that the run was started with; none of them is a secret."""
        try:
            values: dict[str, Any] = msgspec.json.decode(self._read(self.settings), type=dict)
        except FileNotFoundError:
            return {}
        return values

    def write_settings(self, values: dict[str, Any]) -> None:
        """Keep the settings that the run was started with."""
        replace_file(self.settings, msgspec.json.encode(values))

    def ring(self) -> int:
        """Ask the courier to try at once, and return how often it has been asked, this included.

        Raises:
            OSError: the folder cannot be written.
        """
        append_line(self.bell, b"")
        return self.rings()

    def rings(self) -> int:
        """Return how often the courier has been asked to try at once: the bytes of its bell."""
        try:
            return self.bell.stat().st_size
        except OSError:
            return 0

    def set_aside(self, refusal: Refusal) -> None:
        """Add a line to ``refused.jsonl``."""
        append_line(self.refused, msgspec.json.encode(redact_struct(refusal)))

    def read_refused(self) -> list[Refusal]:
        """Return what was set aside, in order; lines torn by a loss of power are left out."""
        try:
            lines = self._read(self.refused).splitlines()
        except FileNotFoundError:
            return []
        refusals = []
        for line in lines:
            with suppress(msgspec.DecodeError):
                refusals.append(msgspec.json.decode(line, type=Refusal))
        return refusals


class RunFolder:
    """``<dir>/<run_id>``.

    Args:
        path: the run's folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.run_id = self.path.name
        self.journal = self.path / JOURNAL
        self.writer_lock = self.path / "writer.lock"
        self.files = self.path / "files"
        self.pruned = self.path / "pruned"
        self.origin = self.path / "origin.json"
        self.place = self.path / "place.json"

    def create(self) -> None:
        """Make the folder, readable by its owner alone.

        Raises:
            OSError: a link stands where what is staged goes, and would lead it elsewhere.
        """
        self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for path in (self.files, self.files / "media", self.files / "artifacts"):
            if path.is_symlink():
                raise OSError(f"{path} is a link: a run's files stay within its folder")

    def courier(self, backend: str) -> CourierFolder:
        """Return the folder of one backend's courier."""
        return CourierFolder(self.path / "couriers" / component(backend))

    def couriers(self) -> list[CourierFolder]:
        """Return the couriers that ever worked for this run, by name."""
        folder = self.path / "couriers"
        if not folder.is_dir() or folder.is_symlink():
            return []
        found = (path for path in sorted(folder.iterdir()) if not path.is_symlink())
        return [CourierFolder(path) for path in found if path.is_dir()]

    @property
    def exists(self) -> bool:
        """Whether a run was recorded here."""
        return self.journal.is_file()


def find_runs(directory: Path | str) -> list[RunFolder]:
    """Return the runs of a directory, oldest first; the directory may itself be one run."""
    path = Path(directory)
    if (path / JOURNAL).is_file():
        return [RunFolder(path)]
    if not path.is_dir():
        return []
    return [RunFolder(p) for p in sorted(path.iterdir()) if (p / JOURNAL).is_file()]


def default_directory() -> Path:
    """Return where runs go when nobody says: ``MULTITRACK_DIR``, else ``./multitrack``."""
    return Path(os.environ.get("MULTITRACK_DIR") or "multitrack").expanduser().absolute()


def new_run_id() -> str:
    """Return an id that is unique and sorts by time: ``20261124-101502-123-9f3ac1``."""
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{stamp}-{int(now * 1000) % 1000:03d}-{secrets.token_hex(3)}"


def make_private(path: Path) -> None:
    """Make a folder and its missing parents, readable by their owner alone."""
    if not path.is_dir():
        make_private(path.parent)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def read_file(path: Path) -> bytes:
    """Return what a file of a run's folder holds.

    Raises:
        OSError: there is none, or a link, which may lead anywhere, or a pipe, which may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def open_journal(path: Path) -> int:
    """Return a descriptor to read a journal with.

    Raises:
        OSError: there is none, or a link, which is no journal wherever it leads.
    """
    try:
        return os.open(path, os.O_RDONLY | NO_LINK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        reason = "it is a link, which is no journal of a run; copy the file itself there"
        raise OSError(errno.ELOOP, reason, str(path)) from None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_line(path: Path, content: bytes) -> None:
    """Append one line in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK, FILE_MODE)
    try:
        os.write(descriptor, content + b"\n")
    finally:
        os.close(descriptor)
