"""Trainers for the suite: each is a process of its own.

``python -m multitrack.trackers.testing.child die|thread BACKEND FOLDER``
``python -m multitrack.trackers.testing.child native BACKEND FOLDER STATEMENT``
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multitrack.trackers.folder import Phase
from multitrack.trackers.run import Run
from multitrack.trackers.start import start_run

BY_HAND, LOGGED = [0.5, 1.5, 2.5, 3.5], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
"""What `native` logs by hand as ``by_hand``, and by the run as ``loss``."""
TIMEOUT = 120.0
GIVEN_BACK = 10.0
"""Seconds after which a client that starts must have given back what it took."""
LEFT = "not delivered"
"""Begins the line about a run that was not."""
WAITS = "waits"
"""Begins the line about a run that cannot be delivered as long as another one goes on."""


def die(backend: str, folder: Path) -> None:
    """Log some points, and be killed."""
    run = start_run(report_to=[backend], dir=folder / "multitrack", delivery="later")
    for step in range(5):
        run.log({"loss": step / 4}, step=step)
    os.kill(os.getpid(), signal.SIGKILL)


def thread(backend: str, folder: Path) -> None:
    """Deliver two runs from threads of this process; see that random numbers stay the same."""
    before = _random_states()
    options: dict[str, Any] = {"dir": folder / "multitrack", "delivery": "thread"}
    runs = [start_run(report_to=[backend], config={"a": 1}, **options) for _ in range(2)]
    for run in runs:
        run.log({"loss": 0.5}, step=1)
        run.log_text("note", "words")
    for run in runs:
        if _await_rest(run, backend) == "parked":
            state = run.folder.courier(backend).read_state()
            sys.stderr.write(f"{WAITS}: {state.message}; {state.remedy}\n")
    for report in [report for run in runs for report in run.finish(quiet=True, timeout=TIMEOUT)]:
        if not report.delivered:
            sys.stderr.write(f"{LEFT}: {report}\n")
    if not _come_back(before):
        raise SystemExit("the global random generators were used or seeded; give them back")


def native(backend: str, folder: Path, statement: str) -> None:
    """Log by the run and by hand in turn; then go on with the run, and do so again."""
    run = start_run(report_to=[backend], dir=folder / "multitrack", delivery="thread")
    for turn in range(2):
        first = 3 * turn
        for step in (first, first + 1):
            run.log({"loss": LOGGED[step]}, step=step)
        client = run.native(backend, timeout=TIMEOUT)
        _await_rest(run, backend)
        for step, value in enumerate(BY_HAND[2 * turn : 2 * turn + 2], start=first):
            exec(statement, {"native": client, "step": step, "value": value})  # noqa: S102 - a test's
        run.log({"loss": LOGGED[first + 2]}, step=first + 2)
        _finish(run)
        try:
            run.native(backend)
        except RuntimeError:
            continue
        raise SystemExit("native() hands out the client of a run that has ended")


def _await_rest(run: Run, backend: str) -> Phase:
    """Return the phase in which the courier rests that has all there is, or waits for a person."""
    deadline = time.monotonic() + TIMEOUT
    while (state := run.folder.courier(backend).read_state()).phase not in {"waiting", "parked"}:
        if time.monotonic() > deadline:
            raise SystemExit(f"the courier hangs: {state}")
        time.sleep(0.05)
    return state.phase


def _finish(run: Run) -> None:
    [report] = run.finish(quiet=True, timeout=TIMEOUT)
    if not report.delivered:
        raise SystemExit(f"not delivered: {report}")


def _come_back(states: tuple[object, ...]) -> bool:
    """Tell whether the generators have these states, if need be after a moment."""
    deadline = time.monotonic() + GIVEN_BACK
    while _random_states() != states:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _random_states() -> tuple[object, ...]:
    try:
        import numpy as np
    except ImportError:
        return (random.getstate(),)
    legacy: Any = np.random.get_state()  # noqa: NPY002 - the generator that users share
    return (random.getstate(), *map(str, legacy))


if __name__ == "__main__":
    children: dict[str, Callable[..., None]] = {"die": die, "thread": thread, "native": native}
    children[sys.argv[1]](sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
