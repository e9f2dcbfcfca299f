"""The courier's place in the queue for the processors: behind the training."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

NICENESS = 19
"""The most there is: beside a training that takes every core, three couriers get a twentieth."""
AUTOGROUP = Path("/proc/self/autogroup")
TRIES, PAUSE = 20, 0.1
"""Linux takes one such change in a tenth of a second, from all users together."""


def yield_to_training() -> None:
    """Let this process, and threads and processes that it starts later, run where training waits.

    A process in a session of its own, as couriers are, has a scheduling group of its own on
    Linux, too (``sched(7)``, "The autogroup feature"): there its niceness only counts among the
    processes of that session, and it is the group that must be nice to the trainer's group.
    """
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    if AUTOGROUP.exists():
        threading.Thread(target=_make_group_nice, daemon=True).start()


def _make_group_nice() -> None:
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text(str(NICENESS))
        except BlockingIOError:
            time.sleep(PAUSE)
        except OSError:
            return
        else:
            return
