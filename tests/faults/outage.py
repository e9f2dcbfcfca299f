"""Runs that are logged, and that end, while their server is in each kind of trouble."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from harness import wait_until

import multitrack

STEPS = 300
LIMIT = 6.0
"""Seconds that the end of each run waits for delivery."""
SLACK = 10.0
"""Seconds for what else an end does on a busy machine."""
TROUBLES = {
    "refused connections": {},
    "black hole": {"delay": 3600.0},
    "500": {"status": 500},
    "401": {"status": 401},
    "429": {"status": 429, "headers": {"Retry-After": "2"}},
    "2 s a call": {"delay": 2.0},
}


class Outage:
    """A run that was logged, and ended, while its server was in trouble.

    Args:
        trouble: its name.
        proxy: before the server.
        folder: of the runs.
        backend: the run's.
        address: the backend's setting for where the server is.
    """

    def __init__(self, trouble, proxy, folder, backend, address):
        self.proxy = proxy
        if trouble == "refused connections":
            proxy.close()
        self.run = multitrack.start_run(
            "outages",
            trouble,
            report_to=backend,
            dir=folder,
            settings={backend: {address: proxy.uri}},
        )
        self.courier = self.run.folder.courier(backend)
        started = time.monotonic()
        for step in range(STEPS):
            self.run.log({"train/loss": step / 7}, step=step)
        self.logged_in = time.monotonic() - started

    def end(self):
        started = time.monotonic()
        [self.report] = self.run.finish(timeout=LIMIT, quiet=True)
        self.ended_in = time.monotonic() - started

    def assert_unhurt(self):
        """Assert that neither the training nor its end was held up."""
        assert self.logged_in < SLACK
        assert self.ended_in < LIMIT + SLACK
        assert self.run.status == "finished"

    def assert_told(self, trouble, remedy):
        """Assert that the end said what is left, why, and what to type."""
        if self.report.delivered:
            assert trouble == "2 s a call", "slow is not down"
            return
        said, backend = str(self.report), self.report.backend
        assert f"{STEPS + 2} records pending" in said or trouble == "2 s a call"
        assert said.endswith(f"deliver with: multitrack sync {self.run.folder.path} --to {backend}")
        if trouble == "401":
            assert remedy in said
            assert self.ended_in < LIMIT, "nobody waits for a person"
        elif trouble not in {"black hole", "2 s a call"}:
            assert self.report.message, "the reason"


def endure(outages, folder):
    """End all runs at once, then their troubles, and bring what is left."""
    for one in outages.values():
        wait_until(lambda c=one.courier: c.read_state().phase != "starting", 120, one.courier.log)
    with ThreadPoolExecutor(len(outages)) as pool:
        list(pool.map(Outage.end, outages.values()))
    for one in outages.values():
        one.proxy.recover()
    command = [sys.executable, "-m", "multitrack", "sync", str(folder), "--jobs", "2"]
    deadline = time.monotonic() + 240
    while subprocess.run(command, check=False, capture_output=True).returncode:
        assert time.monotonic() < deadline, "what was left could not be brought"
