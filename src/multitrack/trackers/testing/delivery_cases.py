"""Outcomes, repeats, resumption: what holds when couriers and trainers come and go."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.process import spawn
from multitrack.trackers.protocol import Repeat
from multitrack.trackers.records import EndStatus
from multitrack.trackers.testing import samples
from multitrack.trackers.testing.deliver import (
    TIMEOUT,
    Delivered,
    deliver,
    environment,
    rewind,
)
from multitrack.trackers.testing.suite import Suite, short


class DeliveryCases(Suite):
    """What the courier and the adapter do together."""

    @pytest.mark.parametrize("status", ["failed", "interrupted"])
    def test_outcome(self, tmp_path: Path, status: EndStatus) -> None:
        """A run that did not end well is shown so."""
        run = self.start(tmp_path, name="outcome")
        run.log({"loss": 0.5}, step=1)
        self._check_status(self.finish_and_deliver(run, tmp_path, status), status)

    def test_killed_trainer(self, tmp_path: Path) -> None:
        """A trainer that was killed leaves its points, and an outcome that says so."""
        environ = self.environ(tmp_path)
        with environment(environ):
            command = [sys.executable, "-m", f"{__package__}.child", "die"]
            subprocess.run([*command, self.tracker, str(tmp_path)], check=False, timeout=TIMEOUT)
        [folder] = [RunFolder(path) for path in (tmp_path / "multitrack").iterdir()]
        delivered = deliver(self, folder, environ)
        self._check_steps(delivered, range(5))
        self._check_status(delivered, "killed")

    def test_repeated_batch(self, tmp_path: Path) -> None:
        """A batch that is delivered a second time shows what `Tracker.repeat` declares."""
        run = self.start(tmp_path, name="repeat", config={"lr": 0.1})
        for step in range(10):
            run.log({"loss": step / 4}, step=step)
        run.log_text("note", "words", step=9)
        run.log_image("picture", samples.png(), step=9)
        run.finish(quiet=True)
        first = deliver(self, run.folder, self.environ(tmp_path))
        rewind(run.folder, self.tracker, count=8)  # five points, a text, a picture, the end
        second = deliver(self, run.folder, self.environ(tmp_path))
        is_twice = self.tracker_type.repeat is Repeat.DUPLICATES
        self._check_steps(second, [*range(10), *(range(5, 10) if is_twice else ())])
        for kind, items in first.stored.media.items():
            expected = {key: found * (1 + is_twice) for key, found in items.items()}
            assert second.stored.media[kind] == expected, (
                f"{kind}s after the repeat: {short(list(second.stored.media[kind].values()))}, "
                f"expected {short(list(expected.values()))}, as {self.tracker_type.repeat} says"
            )
        assert second.stored.params == first.stored.params, "the repeat changed the params"
        self._check_status(second, "finished")
        self._check_same_run(first, second)

    def test_killed_courier(self, tmp_path: Path) -> None:
        """The next courier goes on where one was killed: nothing lost, no second run."""
        run = self.start(tmp_path, name="courier", config={"lr": 0.1})
        for step in range(5):
            run.log({"loss": step / 4}, step=step)
        with environment(self.environ(tmp_path)):
            courier = spawn(run.folder, self.tracker, watch=True)
            self._await_caught_up(run.folder)
            courier.send_signal(signal.SIGKILL)
            courier.wait(TIMEOUT)
        for step in range(5, 10):
            run.log({"loss": step / 4}, step=step)
        delivered = self.finish_and_deliver(run, tmp_path)
        self._check_steps(delivered, range(10))
        self._check_status(delivered, "finished")
        expected = {"lr": self.stored_param(0.1)}
        if "log_params" not in self.gaps:
            assert delivered.stored.params == expected, f"params: {delivered.stored.params}"
        assert delivered.runs in {None, 1}, f"the store holds {delivered.runs} runs instead of 1"

    def test_resumed_run(self, tmp_path: Path) -> None:
        """A run that goes on after its end is the same run, running again, then ended anew."""
        run = self.start(tmp_path, name="resumed", config={"seed": 1})
        run.log({"loss": 1.0}, step=1)
        first = self.finish_and_deliver(run, tmp_path, "failed")
        run = self.start(tmp_path, run_id=run.id)
        run.log({"loss": 0.5}, step=2)
        run.log_params({"more": 2})
        second = self.finish_and_deliver(run, tmp_path)
        self._check_same_run(first, second)
        self._check_steps(second, [1, 2])
        self._check_status(second, "finished")
        expected = self.stored_params([{"seed": 1}, {"more": 2}])
        if "log_params" not in self.gaps:
            assert second.stored.params == expected, f"params: {second.stored.params}"

    def test_two_runs_of_one_name(self, tmp_path: Path) -> None:
        """Runs of one name in one store are two runs."""
        delivered = []
        for value in (1.0, 2.0):
            run = self.start(tmp_path, name="same name")
            run.log({"loss": value}, step=1)
            delivered.append(self.finish_and_deliver(run, tmp_path))
        for value, one in zip((1.0, 2.0), delivered, strict=True):
            with environment(self.environ(tmp_path)):
                stored = self.read(one.folder, one.state)
            found = [point.value for point in stored.metrics.get("loss", [])]
            expected = [] if "log_metrics" in self.gaps else [value]
            assert found == expected, f"the run that logged {value} shows {found}"
        assert delivered[-1].runs in {None, 2}, f"the store holds {delivered[-1].runs} runs, not 2"

    def test_is_quiet_in_the_trainer(self, tmp_path: Path) -> None:
        """In the trainer's process: prints nothing, asks nothing, leaves random numbers alone."""
        with environment(self.environ(tmp_path)):
            command = [sys.executable, "-m", f"{__package__}.child", "thread"]
            result = subprocess.run(
                [*command, self.tracker, str(tmp_path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
            )
        assert not result.returncode, f"{result.stdout}\n{result.stderr}"
        lines = (result.stdout + result.stderr).splitlines()
        noise = [line for line in lines if not any(re.search(p, line) for p in self.output)]
        assert not noise, f"printed: {noise[:10]}; silence the client, or declare `output`"

    def _await_caught_up(self, folder: RunFolder) -> None:
        courier = folder.courier(self.tracker)
        deadline = time.monotonic() + TIMEOUT
        while courier.read_state().phase != "waiting":
            assert time.monotonic() < deadline, f"the courier hangs: {courier.log.read_text()}"
            time.sleep(0.05)

    def _check_status(self, delivered: Delivered, status: EndStatus) -> None:
        expected = self.stored_status(status)
        assert delivered.stored.status == expected, (
            f"a run that {status} shows {delivered.stored.status!r}, expected {expected!r}; see "
            "finish(), or declare `statuses`"
        )

    def _check_steps(self, delivered: Delivered, expected: Iterable[int]) -> None:
        steps = [point.step for point in delivered.stored.metrics.get("loss", [])]
        wanted = [] if "log_metrics" in self.gaps else list(expected)
        assert steps == wanted, f"steps of 'loss': {steps}, expected {wanted}"

    def _check_same_run(self, first: Delivered, second: Delivered) -> None:
        ids = {one.state.attachment.id for one in (first, second) if one.state.attachment}
        assert len(ids) == 1, f"start() made a second run: {ids}; use RunInfo.attachment"
        assert second.runs in {None, 1}, f"the store holds {second.runs} runs instead of 1"
