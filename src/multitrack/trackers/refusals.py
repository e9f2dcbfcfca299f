"""What a backend did not take, set aside by its courier with the reason."""

from __future__ import annotations

import logging
import time

from multitrack.trackers.folder import CourierFolder, Refusal
from multitrack.trackers.journal import Corrupt, Entry
from multitrack.trackers.protocol import Refused

logger = logging.getLogger("multitrack.courier")


class Refusals:
    """The refusals of one courier, in ``refused.jsonl``: each once, though batches are repeated.

    Args:
        folder: the courier's.
        offset: the cursor: what lies behind it may be refused again.

    Attributes:
        count: how many there are, those of earlier couriers included.
    """

    def __init__(self, folder: CourierFolder, offset: int) -> None:
        refusals = folder.read_refused()
        self.count = len(refusals)
        self._folder = folder
        self._repeatable = {(r.offset, r.key) for r in refusals if r.offset >= offset}

    def add_record(self, item: Entry | Corrupt, refusal: Refused) -> None:
        """Set a record aside, or those of its names that were refused."""
        record = item.record if isinstance(item, Entry) else None
        kind = type(record).__name__.lower() if record else "line"
        name = getattr(record, "key", None) or getattr(record, "name", None)
        self.add(item.start, kind, refusal, name)

    def add(self, offset: int, kind: str, refusal: Refused, name: str | None = None) -> None:
        """Set aside what begins at an offset of the journal."""
        whole: list[tuple[str | None, str]] = [(name, refusal.reason)]
        for key, reason in refusal.parts.items() if refusal.parts else whole:
            if (offset, key) not in self._repeatable:
                self._write(
                    Refusal(time=time.time(), offset=offset, record=kind, reason=reason, key=key)
                )
                self._repeatable.add((offset, key))

    def acknowledge(self) -> None:
        """Forget what can be refused no second time."""
        self._repeatable.clear()

    def _write(self, refusal: Refusal) -> None:
        self._folder.set_aside(refusal)
        what = refusal.key or f"a {refusal.record}"
        log = logger.info if self.count else logger.warning  # one line, never a flood
        log("%s refused %s: %s", self._folder.backend, what, refusal.reason)
        self.count += 1
