"""The check of `multitrack doctor` of what was recorded: does it get to where it shall?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from multitrack.cli._finding import Finding
from multitrack.cli._output import duration, plural
from multitrack.cli._select import short_id
from multitrack.trackers.delivery import report
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import Glance, UnreadableRunError, glance
from multitrack.trackers.standing import Standing, standing

MOST_RUNS = 100
"""Runs that are looked at, the newest first."""
NEEDS_HELP = ("parked", "retrying", "stopped")
"""What does not end well by itself, or may not."""


def check_deliveries(directory: Path) -> Iterator[Finding]:
    """Check the newest runs: yield what is left of each, why, and what to do about it."""
    runs = find_runs(directory)[-MOST_RUNS:]
    troubles = 0
    for run in reversed(runs):
        try:
            seen = glance(run)
        except (UnreadableRunError, OSError) as error:
            troubles += 1
            yield Finding("fault", short_id(run.run_id), str(error), "remove it, if it is no run")
            continue
        for finding in _check_run(seen):
            troubles += 1
            yield finding
    if runs and not troubles:
        yield Finding("ok", "deliveries", f"nothing is stuck of {plural(len(runs), 'run')}")


def _check_run(seen: Glance) -> Iterator[Finding]:
    for backend, state in seen.couriers.items():
        one = standing(seen.folder, backend, state, size=seen.size, status=seen.status)
        what = f"{short_id(seen.folder.run_id)} {backend}"
        if not one.is_complete and one.word in NEEDS_HELP:
            remedy = one.state.remedy or report(seen.folder, backend).command
            yield Finding("fault", what, _describe(seen, one), remedy)
        elif state.refused:
            found = f"{plural(state.refused, 'record')} refused"
            yield Finding("ok", what, f"{found}: multitrack show {seen.folder.path}")


def _describe(seen: Glance, one: Standing) -> str:
    left = report(seen.folder, one.backend)
    return one.sentence(left.pending, duration(time.time() - one.state.updated))
