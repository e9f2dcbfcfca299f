"""A run that begins in a child of multiprocessing ends as the child, or its task, does."""

import subprocess
import sys
from pathlib import Path

import child_runs

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history

KINDS = {
    **dict.fromkeys(("fork",), tuple(child_runs.ENDINGS)),
    **dict.fromkeys(("spawn", "forkserver"), ("return", "raise")),
    **dict.fromkeys(("pool", "executor"), child_runs.IN_A_POOL),
    "parent of a fork": ("return",),
}


def test_outcome_in_each_kind_of_child(tmp_path):
    command = [sys.executable, Path(child_runs.__file__), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    histories = [read_history(folder) for folder in find_runs(tmp_path)]
    found = {history.header.name: (history.status, history.error) for history in histories}
    assert found == {
        f"{kind}: {ending}": child_runs.ENDINGS[ending]
        for kind, endings in KINDS.items()
        for ending in endings
    }
