"""How multitrack's own Neptune backend names things."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from multitrack.migrate.files import MediaType, media_of
from multitrack.migrate.source import About
from multitrack.migrate.sources import _neptune_state as plain
from multitrack.trackers import media, staging
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.names import unescape
from multitrack.trackers.records import (
    END_STATUSES,
    NON_FINITE,
    AnyRecord,
    Artifact,
    Audio,
    EndStatus,
    Figure,
    Histogram,
    Image,
    Scalar,
    Table,
    Text,
    Video,
)

RUN_ID = "multitrack/run_id"
STATUS = "multitrack/status"
HEAD = 50
"""Operations among which the run's id stands."""
FILES: dict[str, MediaType] = {"image": Image, "figure": Figure, "audio": Audio, "video": Video}


def run_id_in(operations: Iterator[Any]) -> str | None:
    """Return our id of the run whose operations these are, None if it is another's."""
    for operation in islice(operations, HEAD):
        if "/".join(operation.path) == RUN_ID:
            return str(operation.value)
    return None


def is_ours(attributes: Mapping[str, Any]) -> bool:
    """Tell whether our backend wrote a run."""
    return RUN_ID in attributes


def describe(about: About, attributes: Mapping[str, Any]) -> About:
    """Add what our backend says of a run."""
    return msgspec.structs.replace(
        about,
        project=attributes.get("multitrack/project"),
        hostname=attributes.get("multitrack/host"),
        details={"run_id": attributes[RUN_ID]},
        is_running=attributes.get(STATUS) == "running",
    )


class Naming(plain.Naming):
    """Give back the names that the user logged."""

    def params(self) -> dict[str, Any]:
        """Return the params, those that were too long for an attribute too."""
        params = _below("parameters", self.state.attributes)
        long = _below("long/parameters", self.state.uploads)
        whole = {name: file.read_text() for name, file in long.items() if isinstance(file, Path)}
        return plain.tree_of({name: _decoded(v) for name, v in (params | whole).items()})

    def tag(self, word: str) -> tuple[str, str]:
        """Return a tag's name and value."""
        name, _, value = word.partition("=")
        return name, value

    def summary(self) -> dict[str, Scalar]:
        """Return the single values."""
        found = _below("summary", self.state.attributes)
        return {n: NON_FINITE.get(v, v) if isinstance(v, str) else v for n, v in found.items()}

    def status(self) -> EndStatus | None:
        """Return the outcome, None if there is none."""
        word = self.state.attributes.get(STATUS)
        return next((status for status in END_STATUSES if status == word), None)

    def metric(self, path: str) -> str:
        """Return the name of a series of numbers."""
        return unescape(path.removeprefix("metrics/"))

    def spelled(self, path: str) -> str | None:
        """Return the name of a series of numbers that Neptune has no place for."""
        name = path.removeprefix("non_finite/")
        return unescape(name) if name != path else None

    def media(self, path: str) -> str:
        """Return the name of a text or a picture, which stands behind its kind."""
        return unescape(path.partition("/")[2])

    def picture(self, path: str) -> MediaType:
        """Return what a series of pictures is."""
        return Figure if path.startswith("figure/") else Image

    def files(self, run: RunFolder, scratch: Path, time: float) -> Iterator[AnyRecord]:
        """Yield artifacts, and media that are files."""
        versions: dict[str, dict[str, Path]] = {}
        for path, upload in self.state.uploads.items():
            file = plain.unpacked(upload, scratch)
            root, _, rest = path.partition("/")
            if root == "artifacts":
                name, moment, inner = rest.split("/", 2)
                versions.setdefault(f"{name}/{moment}", {})[unescape(inner)] = file
            elif root == "files":
                yield self._file(run, rest, file)
        for version, files in versions.items():
            yield self._artifact(run, version, files)

    def _file(self, run: RunFolder, path: str, file: Path) -> AnyRecord:
        kind, _, rest = path.partition("/")
        key, _, moment = rest.rpartition("/")
        at = _moment(moment)
        key, content = unescape(key), file.read_bytes()
        if kind in FILES:
            return media_of(run, FILES[kind], key, content, **at)
        if kind == "text":
            return Text(key=key, text=content.decode(), **at)
        found = json.loads(content)
        if kind == "histogram":
            bins = media.make_histogram((found["counts"], found["edges"]))
            return Histogram(key=key, **bins._asdict(), **at)
        columns, rows = found["columns"], found["data"]
        staged = staging.stage_bytes(run, content, f"{key.rsplit('/', 1)[-1]}.json")
        return Table(key=key, file=staged, columns=columns, rows=len(rows), **at)

    def _artifact(self, run: RunFolder, version: str, files: dict[str, Path]) -> AnyRecord:
        name, _, moment = version.partition("/")
        about = json.loads(self.state.attributes.get(f"artifacts_about/{version}", "{}"))
        staged = [
            msgspec.structs.replace(file, name=inner)
            for inner, path in files.items()
            for file in staging.stage_path(run, path)
        ]
        return Artifact(
            name=unescape(name),
            files=staged,
            folder=len(files) > 1 or any("/" in inner for inner in files),
            **_moment(moment),
            **about,
        )


def _moment(text: str) -> dict[str, Any]:
    """Return step and time, which our backend writes in microseconds."""
    step, _, microseconds = text.rpartition("-")
    return {"step": int(step), "time": int(microseconds) / 1_000_000}


def _below(root: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{root}/"
    return {
        unescape(k.removeprefix(start)): v for k, v in attributes.items() if k.startswith(start)
    }


def _decoded(value: Any) -> Any:
    """Return a param; our backend keeps lists and None as JSON."""
    if isinstance(value, str) and (value == "null" or value[:1] in {"[", "{"}):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
