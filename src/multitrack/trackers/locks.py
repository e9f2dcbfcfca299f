"""Locks on files, which the system lets go of when their holder dies, however it dies.

A forked child does not inherit a lock: it can neither release its parent's nor keep it held
after the parent's death, as a worker of a data loader otherwise would.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from multitrack.trackers.folder import FILE_MODE, NO_LINK, CourierFolder

logger = logging.getLogger("multitrack")

POLL = 0.02
"""Seconds between two tries."""
PATIENCE = 0.2
"""Seconds to wait at least: whoever asks for a lock's holder shares it for an instant."""
_UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}
_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class LockedError(Exception):
    """Another holder has the lock."""


class FileLock:
    """An exclusive lock; it may be released on another thread than it was taken on.

    On a file system without locks, such as Lustre mounted without them, it warns and holds
    nothing.

    Args:
        path: the lock's file; created with mode 0600 if it is not there, and never removed.
        timeout: seconds to wait for another holder.
    """

    def __init__(self, path: Path, timeout: float = PATIENCE) -> None:
        self._path = path
        self._timeout = timeout
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: another holder has it.
            OSError: the file cannot be opened, or is a link, which may lead anywhere.
        """
        deadline = time.monotonic() + self._timeout
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | NO_LINK, FILE_MODE)
        with ExitStack() as stack:
            stack.callback(os.close, descriptor)
            while not _try(descriptor, self._path):
                if time.monotonic() >= deadline:
                    raise LockedError(f"{self._path} is locked by another process")
                time.sleep(POLL)
            stack.pop_all()
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._descriptor is not None:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.close()

    def close(self) -> None:
        """Close this process's descriptor: in a forked child, the parent's holds on."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _held.discard(self)
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Tell whether a process holds a lock file, without making one.

    Those who ask share the lock for an instant, so that they do not take each other for a holder.
    """
    try:
        # nobody may ever open a pipe
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def is_served(courier: CourierFolder) -> bool:
    """Tell whether a courier is at work in its folder; one behind a link is another run's."""
    return not courier.is_linked and is_locked(courier.lock)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others who ask likewise out of a folder; it is made if it is not there.

    The lock is on the folder itself, so that no file of it stays. On a file system without such
    locks nobody is kept out.

    Raises:
        OSError: the folder cannot be made or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        logger.warning("%s: no locks here, only one process may write: %s", path, error)
    return True


def _close_in_child() -> None:
    for lock in list(_held):
        lock.close()


os.register_at_fork(after_in_child=_close_in_child)
