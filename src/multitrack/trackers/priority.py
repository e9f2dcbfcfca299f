"""The courier's place in the queue for the processors: behind the training."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

NICENESS = 19
"""The most there is: beside a training that takes every core, three couriers get a twentieth."""
TRIES, PAUSE = 20, 0.1
"""Linux takes one change of a group in a tenth of a second, from all users together."""


def put_last(pid: int) -> bool:
    """Let a process, and what it will start, run where others wait; tell whether that is settled.

    A process that leads a session, as couriers do, has a scheduling group of its own on Linux
    (``sched(7)``, "The autogroup feature"): there its niceness only counts among the processes
    of its session, and it is the group that must be nice to the trainer's group. The group of a
    process that leads none belongs to others, too, and stays as it is.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        if os.getsid(pid) == pid:
            _group_of(pid).write_text(str(NICENESS))
    except BlockingIOError:
        return False
    except OSError:  # it is gone, or this is no Linux, or one without such groups
        return True
    return True


def put_helpers_last() -> None:
    """Put last what this process has started: a client's helper may lead a session of its own."""
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread or a child that has ended
            for pid in map(int, children.read_text().split()):
                if not _group_of(pid).read_text().endswith(f" {NICENESS}\n"):
                    put_last(pid)


def _group_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/autogroup")


def stay_last() -> None:
    """Put this process last, if whoever started it could not yet."""
    if not put_last(os.getpid()):
        threading.Thread(target=_insist, args=(os.getpid(),), daemon=True).start()


def _insist(pid: int) -> None:
    for _ in range(TRIES):
        time.sleep(PAUSE)
        if put_last(pid):
            break
