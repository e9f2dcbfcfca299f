"""A folder that multitrack's own TensorBoard backend wrote: it says more than TensorBoard shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from multitrack.migrate.files import MediaType, artifact_of, media_of
from multitrack.migrate.reach import Reach
from multitrack.migrate.reading import read_whole
from multitrack.migrate.source import About
from multitrack.migrate.sources._tensorboard_values import Place, text_of
from multitrack.trackers.backends._tensorboard_folder import MARK, WHOLE_RUN, Session, load_session
from multitrack.trackers.records import (
    AnyRecord,
    Audio,
    End,
    Figure,
    Params,
    Summary,
    Tags,
    Video,
)

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary as Values

KEPT: dict[str, MediaType] = {"audio file": Audio, "video file": Video, "figure file": Figure}
"""Kinds of the texts that name a file beside the event files."""
MOST_BYTES = 1024**3
HEAD = 50
"""Events among which the run's name and notes stand."""


class OurFolder:
    """The parts of a folder that TensorBoard has no place for.

    Args:
        folder: where the event files are.
        session: what the run is as a whole.
    """

    def __init__(self, folder: Path, session: Session) -> None:
        self._folder = folder
        self._inside = Reach([folder])
        self._session = session

    @classmethod
    def open(cls, folder: Path) -> OurFolder | None:
        """Return the folder if multitrack wrote it."""
        try:
            Reach([folder]).file(folder / MARK)
            session = load_session(folder)
        except (OSError, ValueError):
            return None
        return cls(folder, session) if session else None

    def describe(self, about: About, events: Iterator[Event]) -> About:
        """Add what the first events and the session say of the run."""
        texts = {
            value.metadata.display_name: text_of(value)
            for event in islice(events, HEAD)
            for value in event.summary.value
            if value.metadata.summary_description == WHOLE_RUN
        }
        header = _from_markdown(texts["run"]) if "run" in texts else {}
        host = header.get("host")
        return msgspec.structs.replace(
            about,
            id=self._session.run_id,
            by_content=False,
            former_ids=(about.id, *about.former_ids),
            time=self._session.started,
            project=header.get("project"),
            name=header.get("name") or about.name,
            notes=texts.get("notes"),
            hostname=host.get("hostname") if isinstance(host, dict) else None,
            command=header.get("command", []),
            details={"run_id": self._session.run_id},
            is_running=self._session.status in {None, "running"},
        )

    def key(self, value: Values.Value) -> str:
        """Return what the user logged a value as."""
        return value.metadata.display_name or value.tag

    def knows(self, value: Values.Value, plugin: str) -> bool:
        """Tell whether a value means something else to us than to TensorBoard."""
        kind = value.metadata.summary_description
        return plugin == "hparams" or kind in {WHOLE_RUN, "artifact", *KEPT}

    def records(self, at: Place, value: Values.Value) -> Iterator[AnyRecord]:
        """Yield such a value's records: what belongs to the whole run comes last."""
        kind = value.metadata.summary_description
        if kind == "artifact":
            yield self._artifact(at, _from_markdown(text_of(value)))
        elif kind in KEPT:
            path = self._inside.file(self._folder / text_of(value).strip("`"))
            content = read_whole(path, MOST_BYTES)
            yield media_of(at.run, KEPT[kind], at.key, content, time=at.time, step=at.step)

    def last_records(self) -> Iterator[AnyRecord]:
        """Yield what holds for the whole run, and its outcome."""
        session = self._session
        time = session.ended or session.started
        if session.params:
            yield Params(time=time, values=session.params)
        if session.tags:
            yield Tags(time=time, values=session.tags)
        if session.summary:
            yield Summary(time=time, values=session.summary)
        if session.status and session.status != "running":
            yield End(time=time, status=session.status)

    def _artifact(self, at: Place, about: dict[str, Any]) -> AnyRecord:
        folder = self._inside.place(self._folder / about.pop("path"))
        files = list(folder.iterdir()) if folder.is_dir() else []
        path = files[0] if len(files) == 1 and files[0].is_file() else folder
        name = at.key.removeprefix("artifacts/")
        return artifact_of(at.run, path, name, time=at.time, step=at.step, **about)


def _from_markdown(text: str) -> dict[str, Any]:
    """Return the JSON that a fenced block holds."""
    found = json.loads(text.removeprefix("```json\n").removesuffix("\n```"))
    return found if isinstance(found, dict) else {}
