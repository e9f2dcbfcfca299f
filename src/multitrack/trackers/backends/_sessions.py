"""Sessions of a client that acknowledges only at its end.

Such a client's session is acknowledged as a whole: when it has ended, the cursor moves behind
where it stood at the session's start. A session that died before comes again as a whole, and
what it left at the backend is to be removed first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.protocol import RunInfo


class Sessions(NamedTuple):
    """A run's sessions at one backend, each as the adapter described it.

    Attributes:
        done: those that were acknowledged, in order.
        dead: the one that was not, if there is one.
        cursor: where the next one starts.
    """

    done: list[dict[str, Any]]
    dead: dict[str, Any] | None
    cursor: int

    def opened(self, **about: Any) -> dict[str, Any]:
        """Return the state of an attachment, with a session more: what finds it again."""
        return {"sessions": [*self.done, about | {"cursor": self.cursor}]}


def sessions_of(run: RunInfo, backend: str) -> Sessions:
    """Return what became of a run's earlier sessions."""
    cursor = RunFolder(run.folder).courier(backend).read_state().offset
    done = list(run.attachment.state.get("sessions", [])) if run.attachment else []
    dead = done.pop() if done and done[-1]["cursor"] == cursor else None
    return Sessions(done, dead, cursor)
