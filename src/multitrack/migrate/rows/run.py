"""RowsRun: a run whose metrics are rows of a file, and what lies beside that file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from multitrack.migrate.files import MediaType, artifact_of, media_of
from multitrack.migrate.rows.records import History
from multitrack.migrate.source import About, Reach, SourceRun
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    EndStatus,
    Params,
    Refused,
    Scalar,
    Summary,
    Tags,
)
from multitrack.trackers.values import as_tree


class FileBeside(NamedTuple):
    """A file that belongs to a run.

    Attributes:
        path: where it is.
        name: its key, or the name of its artifact.
        media: what kind of picture or sound it is, None for an artifact.
        step: at which it was made.
        kind: of the artifact.
        aliases: of the artifact.
        metadata: of the artifact.
    """

    path: Path
    name: str
    media: MediaType | None = None
    step: int = 0
    kind: str = "file"
    aliases: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}  # noqa: RUF012 - never changed


@dataclass
class Beside:
    """What is known of a run beside its rows.

    Attributes:
        id: what tells it from others, None if only its rows do.
        name: for people to read.
        params: its hyper-parameters.
        tags: by name.
        summary: its single values.
        files: that belong to it.
        refused: what cannot be read, with the reason.
        status: how it ended.
        error: what ended it.
        is_running: whether its end is not known.
    """

    id: str | None = None
    name: str | None = None
    project: str | None = None
    hostname: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Scalar] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    files: list[FileBeside] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    status: EndStatus = "finished"
    error: str | None = None
    is_running: bool = False

    def read(self, name: str, load: Callable[[], Any]) -> Any:
        """Return what a file says, an empty dict if it says none; one that is bad is told."""
        try:
            found = load()
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self.refused[name] = one_line(error)
            return {}
        if not isinstance(found, dict):
            self.refused[name] = "it has no named values"
            return {}
        return found


class RowsRun(SourceRun):
    """One run.

    Args:
        history: its rows.
        look: looks at what lies beside them.
        reach: where files may be read.
    """

    def __init__(self, history: History, look: Callable[[], Beside], reach: Reach) -> None:
        self.label = history.label
        self._history = history
        self._look = look
        self._reach = reach

    @cached_property
    def _beside(self) -> Beside:
        return self._look()

    def describe(self) -> About:
        """Return what is known of the run."""
        beside, history = self._beside, self._history
        return About(
            id=beside.id or history.identity,
            by_content=beside.id is None,
            time=history.began,
            name=beside.name,
            project=beside.project,
            hostname=beside.hostname,
            details=beside.details | history.details,
            is_running=beside.is_running,
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params and tags, the rows, files, and what holds for the whole run."""
        beside, history = self._beside, self._history
        time = history.began
        if beside.params:
            yield Params(time=time, values=as_tree(beside.params))
        if beside.tags:
            yield Tags(time=time, values=beside.tags)
        for record in history.records():
            time = max(time, record.time)
            yield record
        for file in beside.files:
            yield self._file(run, file, time)
        for key, reason in beside.refused.items():
            yield from history.refuse(time, key, reason)
        if beside.summary:
            yield Summary(time=time, values=beside.summary)
        if not beside.is_running:
            yield history.end(time, beside.status, beside.error)

    def _file(self, run: RunFolder, file: FileBeside, time: float) -> AnyRecord:
        try:
            path = self._reach.place(file.path)
            if file.media is None:
                return artifact_of(
                    run,
                    path,
                    file.name,
                    time=time,
                    step=file.step,
                    kind=file.kind,
                    aliases=file.aliases,
                    metadata=file.metadata,
                )
            content = self._reach.file(path).read_bytes()
        except (OSError, ValueError) as error:
            return Refused(time=time, key=file.name, reason=one_line(error))
        return media_of(run, file.media, file.name, content, time=time, step=file.step)
