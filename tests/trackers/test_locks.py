"""A lock is held by one, and by nobody else's children."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.locks import FileLock, LockedError, is_locked, is_served


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_one_holder_at_a_time(path):
    with FileLock(path), pytest.raises(LockedError, match="locked by another process"):
        FileLock(path, timeout=0.0).acquire()
    with FileLock(path):
        pass


def test_waits_for_another_holder(path):
    lock = FileLock(path)
    lock.acquire()
    threading.Timer(0.2, lock.release).start()
    with FileLock(path, timeout=20):
        assert is_locked(path)
    assert not is_locked(path)


def test_asking_neither_makes_nor_takes_nor_disturbs_a_lock(path):
    assert not is_locked(path)
    assert not path.exists()
    path.touch()
    assert not is_locked(path)
    with path.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.05, asking.close).start()
        with FileLock(path):
            assert is_locked(path)
            assert is_locked(path)


def test_a_courier_behind_a_link_is_another_runs(tmp_path):
    mine, other = (RunFolder(tmp_path / name).courier("wandb") for name in ("mine", "other"))
    other.create()
    mine.path.parent.parent.mkdir()
    mine.path.parent.symlink_to(other.path.parent)
    with FileLock(other.lock):
        assert is_served(other)
        assert not is_served(mine)
    assert not is_served(other)


def test_is_for_its_owner_alone(path):
    with FileLock(path):
        assert path.stat().st_mode & 0o777 == 0o600


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


def test_refused_lock_leaves_nothing_open(path):
    with FileLock(path):
        before = open_files()
        for _ in range(3):
            with pytest.raises(LockedError):
                FileLock(path, timeout=0.0).acquire()
        assert open_files() == before


def test_release_twice_harms_nobody(path):
    lock = FileLock(path)
    lock.acquire()
    lock.release()
    with FileLock(path):
        lock.release()
        assert is_locked(path)


HOLDER = """
import os, sys, time
from pathlib import Path
from multitrack.trackers.locks import FileLock

lock = FileLock(Path(sys.argv[1]))
lock.acquire()
if os.fork() == 0:
    if sys.argv[2] == "exits":
        sys.exit()
    if sys.argv[2] == "releases":
        lock.release()
    print("child", flush=True)
    time.sleep(60)
os.wait() if sys.argv[2] == "exits" else None
print("parent", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("child", ["exits", "releases", "lives"])
def test_forked_child_neither_releases_nor_keeps_it(path, child):
    command = [sys.executable, "-c", HOLDER, str(path), child]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        for _ in range(1 if child == "exits" else 2):
            assert holder.stdout.readline()
        assert is_locked(path)
        holder.kill()
        holder.wait()
        with FileLock(path, timeout=5):
            pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.stdout.close()


def test_file_system_without_locks(path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with FileLock(path):
        assert not is_locked(path)
    assert "no locks here, only one process may write" in caplog.text


def test_other_errors_are_raised(path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        FileLock(path / "nowhere").acquire()
    monkeypatch.setattr(fcntl, "flock", lambda *_: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        FileLock(path).acquire()
