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
from multitrack.trackers.run import Run
from multitrack.trackers.testing import samples, scenario
from multitrack.trackers.testing.child import WAITS
from multitrack.trackers.testing.deliver import (
    TIMEOUT,
    Delivered,
    deliver,
    deliver_together,
    environment,
    rewind,
)
from multitrack.trackers.testing.suite import Suite, short

RESUMPTIONS: list[tuple[int, EndStatus]] = [(2, "interrupted"), (3, "finished")]
"""The step that each resumption of a run adds, and its outcome."""


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
        kinds = self._log_one_of_each_kind(run, tmp_path)
        run.finish(quiet=True)
        first = deliver(self, run.folder, self.environ(tmp_path))
        rewind(run.folder, self.tracker, count=5 + kinds + 1)  # five points, and the end
        second = deliver(self, run.folder, self.environ(tmp_path))
        is_twice = self.tracker_type.repeat is Repeat.DUPLICATES
        self._check_steps(second, [*range(10), *(range(5, 10) if is_twice else ())])
        for kind, items in first.stored.media.items():
            expected = {key: found * (1 + is_twice) for key, found in items.items()}
            assert second.stored.media[kind] == expected, (
                f"{kind}s after the repeat: {short(list(second.stored.media[kind].values()))}, "
                f"expected {short(list(expected.values()))}, as {self.tracker_type.repeat} says"
            )
        for what in ("params", "tags", "summary", "artifacts"):
            before, after = getattr(first.stored, what), getattr(second.stored, what)
            assert after == before, f"the repeat changed the {what}: {after}, before {before}"
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
        """A run that goes on after its end, twice, is the same run, and each time ends anew."""
        run = self.start(tmp_path, name="resumed", config={"seed": 1})
        run.log({"loss": 1.0}, step=1)
        first = self.finish_and_deliver(run, tmp_path, "failed")
        for step, status in RESUMPTIONS:
            run = self.start(tmp_path, run_id=run.id)
            run.log({"loss": 1 / step}, step=step)
            run.log_params({"more": step})
            later = self.finish_and_deliver(run, tmp_path, status)
            self._check_same_run(first, later)
            self._check_steps(later, range(1, step + 1))
            self._check_status(later, status)
        expected = self.stored_params([{"seed": 1}, {"more": 2}, {"more": 3}])
        if "log_params" not in self.gaps:
            assert later.stored.params == expected, f"params: {later.stored.params}"

    def test_two_runs_at_once(self, tmp_path: Path) -> None:
        """Runs of one name that are delivered at once to one store are two runs."""
        runs = [self.start(tmp_path, name="same name") for _ in (1, 2)]
        for value, run in enumerate(runs):
            run.log({"loss": float(value)}, step=1)
            run.finish(quiet=True)
        folders = [run.folder for run in runs]
        delivered = deliver_together(self, folders, self.environ(tmp_path))
        for value, one in enumerate(delivered):
            found = [point.value for point in one.stored.metrics.get("loss", [])]
            expected = [] if "log_metrics" in self.gaps else [float(value)]
            assert found == expected, f"the run that logged {value} shows {found}"
            self._check_status(one, "finished")
        assert delivered[-1].runs in {None, 2}, f"the store holds {delivered[-1].runs} runs, not 2"

    def test_is_quiet_in_the_trainer(self, tmp_path: Path) -> None:
        """Two runs at once in the trainer's process: silent, and random numbers stay alone."""
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
        lines = (result.stdout + result.stderr).splitlines()
        waiting = [line for line in lines if line.startswith(WAITS)]
        is_told = all("delivery='process'" in line for line in waiting)
        assert (result.returncode, len(waiting), is_told) == (0, self.is_alone, True), (
            f"{lines}; can the client have two runs in one process? See `is_alone`"
        )
        known = (f"^{WAITS}", *self.output)
        noise = [line for line in lines if not any(re.search(p, line) for p in known)]
        assert not noise, f"printed: {noise[:10]}; silence the client, or declare `output`"

    def _log_one_of_each_kind(self, run: Run, scratch: Path) -> int:
        """Log all but metrics; return how many records that is."""
        run.log_params({"batch": 16})
        run.set_tags({"team": "vision"})
        run.summary({"best": 0.75})
        run.log_text("note", "words", step=9)
        run.log_image("picture", samples.png(), step=9)
        run.log_histogram("weights", scenario.HISTOGRAMS["histogram/given"], step=9)
        run.log_table("table", [[1, "a"]], columns=["number", "word"], step=9)
        file = scratch / scenario.FILE_NAME
        file.write_bytes(scenario.FILE)
        run.log_artifact(file, name="weights", step=9)
        return 8

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
