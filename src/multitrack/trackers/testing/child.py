"""Trainers for the suite: each is a process of its own.

``python -m multitrack.trackers.testing.child die|thread BACKEND FOLDER``
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from multitrack.trackers.start import start_run


def die(backend: str, folder: Path) -> None:
    """Log some points, and be killed."""
    run = start_run(report_to=[backend], dir=folder / "multitrack", delivery="later")
    for step in range(5):
        run.log({"loss": step / 4}, step=step)
    os.kill(os.getpid(), signal.SIGKILL)


def thread(backend: str, folder: Path) -> None:
    """Deliver from a thread of this process, and see that random numbers stay the same."""
    before = _random_states()
    run = start_run(
        report_to=[backend], dir=folder / "multitrack", delivery="thread", config={"a": 1}
    )
    run.log({"loss": 0.5}, step=1)
    run.log_text("note", "words")
    [report] = run.finish(quiet=True, timeout=120)
    if not report.delivered:
        raise SystemExit(f"not delivered: {report}")
    if _random_states() != before:
        raise SystemExit("the global random generators were used or seeded; give them back")


def _random_states() -> tuple[object, ...]:
    try:
        import numpy as np
    except ImportError:
        return (random.getstate(),)
    legacy: Any = np.random.get_state()  # noqa: NPY002 - the generator that users share
    return (random.getstate(), *map(str, legacy))


if __name__ == "__main__":
    {"die": die, "thread": thread}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
