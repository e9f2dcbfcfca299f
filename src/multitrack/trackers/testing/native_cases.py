"""What the adapter hands out to those who also log by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.protocol import Tracker
from multitrack.trackers.testing.child import BY_HAND, LOGGED
from multitrack.trackers.testing.deliver import TIMEOUT, environment
from multitrack.trackers.testing.suite import Suite


class NativeCases(Suite):
    """`Tracker.native`, beside a courier that works on."""

    def test_native(self, tmp_path: Path) -> None:
        """What is logged by hand and what the run logs are both there, also after a resume."""
        if self.by_hand is None:
            assert self.tracker_type.native is Tracker.native, (
                "native() is there: declare `by_hand`"
            )
            return
        environ = self.environ(tmp_path)
        with environment(environ):
            command = [sys.executable, "-m", f"{__package__}.child", "native", self.tracker]
            child = subprocess.run(
                [*command, str(tmp_path), self.by_hand],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
            )
            assert not child.returncode, f"{child.stdout}\n{child.stderr}"
            [folder] = [RunFolder(path) for path in (tmp_path / "multitrack").iterdir()]
            stored = self.read(folder, folder.courier(self.tracker).read_state())
        for name, values in (("by_hand", BY_HAND), ("loss", LOGGED)):
            found = [point.value for point in stored.metrics.get(name, [])]
            assert found == values, f"{name} shows {found}, expected {values}; see native()"
