"""SwanLab: the folders of its offline and local runs, read with the client's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from multitrack.migrate.files import MediaType, content_of, media_of
from multitrack.migrate.rows.jsons import load
from multitrack.migrate.rows.yamls import load_yaml
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    Audio,
    End,
    EndStatus,
    Git,
    Image,
    Metrics,
    Params,
    Refused,
    Tags,
    Text,
    Video,
)

PATTERN = "run-*.swanlab"
MEDIA: dict[str, MediaType] = {"IMAGE": Image, "AUDIO": Audio, "VIDEO": Video}
STATES: dict[int, EndStatus] = {1: "finished", 2: "failed", 3: "interrupted"}


class SwanlabSource(Source):
    """A folder ``run-…`` with a file of records; each is a run."""

    name: ClassVar[str] = "swanlab"
    distributions: ClassVar[tuple[str, ...]] = ("swanlab",)
    extra: ClassVar[str] = "swanlab"

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder is that of a run."""
        files = [name for name in sorted(place.files) if Path(name).match(PATTERN)]
        if files:
            yield Store(place.path / files[0], frozenset({*files, "files", "media", "debug"}))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder."""
        path = reach.file(location)
        yield SwanlabRun(path, reach)


class SwanlabRun(SourceRun):
    """One run.

    Args:
        path: the file of records.
        reach: where files may be read.
    """

    def __init__(self, path: Path, reach: Reach) -> None:
        self.label = reach.name(path.parent)
        self._path = path
        self._reach = reach

    @cached_property
    def _start(self) -> Any:
        for kind, record in self._records():
            if kind == "start":
                return record
        raise SourceError(f"{self.label} does not say what its run is")

    def describe(self) -> About:
        """Return what the first record says of the run, and the client of the machine."""
        start = self._start
        runtime, git = self._metadata("runtime"), self._metadata("git")
        links = {"group": start.group, "job_type": start.job_type}
        return About(
            id=f"{start.project}/{start.id}",
            time=_seconds(start.started_at),
            project=start.project or None,
            name=start.name or None,
            notes=start.description or None,
            hostname=runtime.get("hostname"),
            command=str(runtime.get("command") or "").split(),
            git=Git(commit=str(git["commit"])) if git.get("commit") else None,
            details={name: link for name, link in links.items() if link},
            is_running=not any(kind == "finish" for kind, _ in self._records()),
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield config and tags, and the client's records in their order."""
        time = _seconds(self._start.started_at)
        yield from self._config(time)
        if self._start.tags:
            yield Tags(time=time, values={str(tag): "" for tag in self._start.tags})
        printed: list[str] = []
        end: End | None = None
        for kind, record in self._records():
            if kind == "scalar":
                time = _seconds(record.timestamp)
                number = float(record.value.number)
                yield Metrics(time=time, step=record.step, values={record.key: number})
            elif kind == "media":
                time = _seconds(record.timestamp)
                yield from self._media(run, record, time)
            elif kind == "log":
                printed.append(f"{record.line}\n")
            elif kind == "finish":
                end = _end(record, time)
        if printed:
            lines = "".join(printed).encode(errors="replace")
            yield content_of(run, lines, "console.log", time=time)
        if end:
            yield end

    def _config(self, time: float) -> Iterator[AnyRecord]:
        path = self._path.parent / "files" / "config.yaml"
        try:
            config = load_yaml(self._reach.file(path))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            yield Refused(time=time, key="config.yaml", reason=one_line(error))
            return
        entries = config.items() if isinstance(config, dict) else ()
        values = {str(n): e["value"] for n, e in entries if isinstance(e, dict) and "value" in e}
        if values:
            yield Params(time=time, values=values)

    def _media(self, run: RunFolder, record: Any, time: float) -> Iterator[AnyRecord]:
        """Yield a record's pictures, sounds or words; other kinds as files."""
        enum = record.DESCRIPTOR.fields_by_name["type"].enum_type
        kind = enum.values_by_number[record.type].name.rpartition("_")[2]
        for item in record.value.items:
            name = Path(item.filename).name
            try:
                found = next(self._path.parent.glob(f"media/*/{name}"), Path(name))
                content = self._reach.file(found).read_bytes()
            except (OSError, ValueError) as error:
                yield Refused(time=time, key=record.key, reason=one_line(error))
                continue
            if kind == "TEXT":
                text = content.decode(errors="replace")
                yield Text(time=time, step=record.step, key=record.key, text=text)
            elif kind in MEDIA:
                yield media_of(
                    run,
                    MEDIA[kind],
                    record.key,
                    content,
                    time=time,
                    step=record.step,
                    caption=item.caption,
                )
            else:
                path = f"{record.key}/{record.step}/{name}"
                yield content_of(run, content, path, time=time, step=record.step, kind=kind.lower())

    def _metadata(self, group: str) -> dict[str, Any]:
        path = self._path.parent / "files" / "swanlab-metadata.json"
        try:
            found = load(self._reach.file(path))
        except (OSError, ValueError, msgspec.MsgspecError):
            return {}
        inner = found.get(group) if isinstance(found, dict) else None
        return inner if isinstance(inner, dict) else {}

    def _records(self) -> Iterator[tuple[str, Any]]:
        """Yield the client's records with their kinds; a cut last one ends them."""
        try:
            from swanlab.proto.swanlab.record.v1 import record_pb2
            from swanlab.sdk.internal.core_python.store import DataStoreReader
        except ImportError:
            raise SourceError(
                'this swanlab has no reader of such folders: pip install "multitrack[swanlab]"'
            ) from None
        reader = DataStoreReader()
        reader.open(self._path)
        try:
            for content in reader:
                record = record_pb2.Record.FromString(content)
                kind = record.WhichOneof(record.DESCRIPTOR.oneofs[0].name)
                yield kind, getattr(record, kind)
        finally:
            reader.close()


def _seconds(timestamp: Any) -> float:
    return float(timestamp.seconds + timestamp.nanos / 1e9)


def _end(record: Any, time: float) -> End:
    status = STATES.get(record.state, "finished")
    ended = max(time, _seconds(record.finished_at))
    return End(time=ended, status=status, error=getattr(record, "error", None) or None)
