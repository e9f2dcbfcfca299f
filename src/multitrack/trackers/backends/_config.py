"""One config a run, for backends that keep a dict of it and little else about the whole run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import read_history
from multitrack.trackers.names import merge
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.records import EndStatus, Tree, spell

OURS = "multitrack"
"""Key under which lies what the backend has no place for."""


class RunConfig:
    """What is said of a whole run, as one tree that is stored anew whenever it changes.

    Params stand at the top, as the backend's users expect them. Tags, single values, notes and
    the outcome stand under ``multitrack``, and so do params whose names the backend reserves.
    For a run that was delivered before, it starts with what the journal holds already.

    Args:
        run: the run.
        is_reserved: whether the backend keeps a first name of a param for itself.
    """

    def __init__(self, run: RunInfo, is_reserved: Callable[[str], bool] = lambda _: False) -> None:
        header = run.header
        about = {"run_id": run.run_id, "name": header.name, "host": header.host.hostname}
        self.tree: Tree = {OURS: about | {"notes": header.notes, "status": "running"}}
        self._is_reserved = is_reserved
        if run.attachment:
            history = read_history(RunFolder(run.folder))
            self.add_params(history.params)
            self.add("tags", history.tags)
            self.add("summary", history.summary)

    def add_params(self, values: Tree) -> None:
        """Add params; later values win."""
        for name, value in copy.deepcopy(values).items():
            if name == OURS or self._is_reserved(name):
                self.add("params", {name: value})
            else:
                merge(self.tree, {name: value})

    def add(self, section: str, values: Mapping[str, Any]) -> None:
        """Add values of the whole run under a name; non-finite numbers are spelled."""
        spelled = {name: spell(v) if isinstance(v, float) else v for name, v in values.items()}
        merge(self.tree[OURS].setdefault(section, {}), spelled)

    def end(self, status: EndStatus) -> None:
        """Set the outcome."""
        self.tree[OURS]["status"] = status
