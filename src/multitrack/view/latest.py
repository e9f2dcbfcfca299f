"""What a run says of itself by now, beside its curves."""

from __future__ import annotations

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import Entry
from multitrack.trackers.names import merge
from multitrack.trackers.records import AnyRecord, Header, Metrics, Params, Scalar, Tags, Tree
from multitrack.view.follow import Follower


class Latest:
    """The last value under each name, as far as a journal was read.

    A name that is logged once in a thousand steps is nowhere near the end of the journal.

    Attributes:
        params: one tree of the run's config and of what was logged later.
        tags: by name.
        metrics: the last value of each, by name.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._follower = Follower(folder.journal)
        self._forget()

    @property
    def is_at_end(self) -> bool:
        """Whether there was no more when it was last read."""
        return self._follower.is_at_end

    def read_on(self, until: float) -> None:
        """Read what came since, until a time on the clock of `time.monotonic`.

        Raises:
            UnreadableRunError: the journal is no file of its own.
            OSError: it cannot be read.
        """
        for is_first, entries in self._follower.batches(until):
            if is_first:
                self._forget()
            for entry in entries:
                if isinstance(entry, Entry):
                    self._take(entry.record)

    def _forget(self) -> None:
        self.params: Tree = {}
        self.tags: dict[str, str] = {}
        self.metrics: dict[str, Scalar] = {}

    def _take(self, record: AnyRecord) -> None:
        if isinstance(record, Metrics):
            self.metrics.update(record.values)
        elif isinstance(record, Header):
            self.tags.update(record.tags)
            merge(self.params, record.config)
        elif isinstance(record, Tags):
            self.tags.update(record.values)
        elif isinstance(record, Params):
            merge(self.params, record.values)
