"""One W&B run on the bench: adapters of it, one after another, without couriers."""

import os
import subprocess
import time
from pathlib import Path

from multitrack.trackers.backends.wandb import WandbSettings, WandbTracker
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.records import Git, Header, Host, Metrics, StagedFile
from multitrack.trackers.settings import load

STEP = "train/global_step"


class Bench:
    """A run's header and folder, and what the last start() returned."""

    def __init__(self, folder, **header):
        self.folder = folder
        self.attachment = None
        self.header = Header(
            time=1000.0,
            run_id=header.pop("run_id", "bench-1"),
            host=Host(hostname="trainer-7", pid=1, platform="Linux", python="3.12"),
            git=Git(commit="c0ffee" * 6, branch="main", dirty=True),
            command=["train.py", "--lr", "0.1"],
            cwd=str(folder),
            **header,
        )

    def tracker(self):
        """Return an adapter with today's environment, not started."""
        return WandbTracker(load(WandbSettings))

    def start(self):
        """Return an adapter that took up the run."""
        tracker = self.tracker()
        run = RunInfo(
            header=self.header,
            folder=self.folder,
            attachment=self.attachment,
            directory=self.folder,
        )
        self.attachment = tracker.start(run)
        return tracker

    def stage(self, name, content):
        """Return a file in the run's folder."""
        path = self.folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return StagedFile(
            path=f"files/{name}", name=name, size=len(content), mtime_ns=path.stat().st_mtime_ns
        )

    @property
    def store(self):
        """The client's folder ``wandb``."""
        return Path(self.attachment.state["folders"][-1]).parent


def point(step, value, time=None, **more):
    """Return a point of ``loss``, logged a tenth of a second after the one of the step before."""
    return Metrics(
        time=2000 + step / 10 if time is None else time, step=step, values={"loss": value, **more}
    )


def losses(rows):
    """Return number, step and value of the rows that hold a loss."""
    return [(row["_step"], row[STEP], row["loss"]) for row in rows if "loss" in row]


def helpers():
    """Return the processes of the client's helper that this process started."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=,comm=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in found.stdout.splitlines()]
    return [
        int(pid)
        for pid, state, command, *_ in lines
        if command == "wandb-core" and not state.startswith("Z")
    ]


def wait_for(what, timeout=20):
    """Wait until something is true."""
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
