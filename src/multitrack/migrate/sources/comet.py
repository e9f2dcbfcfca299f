"""Comet: the archives of offline experiments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.archives import Archive, holds
from multitrack.migrate.files import MediaType, content_of, media_of
from multitrack.migrate.rows.jsons import decode
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    NON_FINITE,
    AnyRecord,
    Audio,
    Image,
    Metrics,
    Params,
    Refused,
    Summary,
    Tags,
    Text,
    Tree,
    Video,
)
from multitrack.trackers.values import as_step, take_metrics

ABOUT, MESSAGES = "experiment.json", "messages.json"
MEDIA: dict[str, MediaType] = {"audio": Audio, "video": Video, "visualization": Image}
TEXT, UNNAMED = "text-sample", "auto-generated-in-the-backend"
LEFT_OUT = frozenset({"installed_packages", "os_packages", "file_name", "system_info", "os_info"})
"""Messages that describe the machine."""
OWN_OTHERS = frozenset({"Name", "offline_experiment", "hasNestedParams"})


class CometSource(Source):
    """Archives that ``comet upload`` takes; each is a run."""

    name: ClassVar[str] = "comet"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "comet"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield the archives of a folder."""
        for name in sorted(place.files):
            if holds(place.path / name, ABOUT, MESSAGES):
                yield Store(place.path / name, frozenset({name}))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of an archive."""
        run = CometRun(Path(location), reach)
        try:
            yield run
        finally:
            run.close()


class CometRun(SourceRun):
    """One run.

    Args:
        path: the archive.
        reach: where files may be read.
    """

    def __init__(self, path: Path, reach: Reach) -> None:
        self.label = reach.name(path)
        self._archive = Archive(path, reach)

    @cached_property
    def _about(self) -> dict[str, Any]:
        about = decode(self._archive.read(ABOUT).decode(errors="replace"))
        if not isinstance(about, dict) or not about.get("offline_id"):
            raise SourceError(f"{self.label} does not say which experiment it is")
        return about

    @cached_property
    def _others(self) -> dict[str, Any]:
        others = {}
        for kind, payload in self._messages():
            if kind == "log_other":
                others[str(payload.get("key"))] = payload.get("value")
        return others

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def describe(self) -> About:
        """Return what the archive says of the experiment."""
        about = self._about
        system = next((p for kind, p in self._messages() if kind == "system_details"), {})
        command = system.get("command")
        workspace = about.get("workspace")
        return About(
            id=str(about["offline_id"]),
            time=_seconds(about.get("start_time")),
            project=about.get("project_name") or None,
            name=str(self._others["Name"]) if "Name" in self._others else None,
            hostname=str(system["hostname"]) if system.get("hostname") else None,
            command=[str(word) for word in command] if isinstance(command, list) else [],
            details={"workspace": workspace} if workspace else {},
            is_running=not about.get("stop_time"),
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield the messages in the order in which they were sent."""
        began = _seconds(self._about.get("start_time"))
        reader = _Reader(run, self._archive, began)
        if tags := self._about.get("tags"):
            yield Tags(time=began, values={str(tag): "" for tag in tags})
        for kind, payload in self._messages():
            yield from reader.records(kind, payload)
        yield from reader.last_records()
        others = {n: v for n, v in self._others.items() if n not in OWN_OTHERS}
        single = {n: v for n, v in others.items() if isinstance(v, str | int | float)}
        if single:
            yield Summary(time=reader.time, values=single)

    def _messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for line in self._archive.lines(MESSAGES):
            try:
                message = decode(line)
            except ValueError:
                continue  # the last one may be cut
            if isinstance(message, dict) and isinstance(message.get("payload"), dict):
                yield str(message.get("type")), message["payload"]


class _Reader:
    """Turn messages into records.

    Args:
        run: where files are staged.
        archive: where they lie.
        time: when the experiment began.
    """

    def __init__(self, run: RunFolder, archive: Archive, time: float) -> None:
        self.time = time
        self._run = run
        self._archive = archive
        self._step = 0
        self._printed: list[str] = []
        self._left_out: Counter[str] = Counter()

    def records(self, kind: str, payload: dict[str, Any]) -> Iterator[AnyRecord]:
        """Yield the records that one message becomes."""
        self.time = _seconds(payload.get("local_timestamp"), self.time)
        if kind == "metric_msg":
            yield from self._metric(payload.get("metric"))
        elif kind == "parameter_msg":
            yield from self._param(payload.get("params") or payload.get("param"))
        elif kind == "file_upload":
            yield self._file(payload)
        elif kind == "html":
            page = str(payload.get("html")).encode(errors="replace")
            yield content_of(self._run, page, "page.html", time=self.time, step=self._step)
        elif kind == "standard_output":
            self._printed.append(str(payload.get("output")))
        elif kind not in LEFT_OUT | {"log_other", "system_details"}:
            self._left_out[kind] += 1

    def last_records(self) -> Iterator[AnyRecord]:
        """Yield what was printed, and what is not read."""
        if self._printed:
            printed = "".join(self._printed).encode(errors="replace")
            yield content_of(self._run, printed, "console.log", time=self.time, step=self._step)
        for kind, count in self._left_out.items():
            reason = f"messages of this type are not read; there are {count}"
            yield Refused(time=self.time, key=kind, reason=reason)

    def _metric(self, metric: Any) -> Iterator[AnyRecord]:
        metric = metric if isinstance(metric, dict) else {}
        name, value = str(metric.get("metricName")), metric.get("metricValue")
        self._move(metric.get("step"))
        number = NON_FINITE.get(value, value) if isinstance(value, str) else value
        if isinstance(number, str):
            yield Text(time=self.time, step=self._step, key=name, text=number)
            return
        values, refused = take_metrics({name: number})
        epoch = metric.get("epoch")
        if values:
            yield Metrics(time=self.time, step=self._step, values=values, epoch=_finite(epoch))
        for key, reason in refused.items():
            yield Refused(time=self.time, key=key, reason=reason)

    def _param(self, param: Any) -> Iterator[AnyRecord]:
        if isinstance(param, dict) and param.get("source") != "auto-logged":
            tree = _nested(str(param.get("paramName")), param.get("paramValue"))
            yield Params(time=self.time, values=tree)

    def _file(self, payload: dict[str, Any]) -> AnyRecord:
        more = payload.get("additional_params")
        more = more if isinstance(more, dict) else {}
        self._move(more.get("step"))
        kind = str(payload.get("upload_type"))
        name = str(more.get("fileName") or kind).lstrip("/")
        name = kind if name == UNNAMED else name
        try:
            content = self._archive.read(str(payload.get("file_path")))
            if kind == TEXT:
                text = content.decode(errors="replace")
                return Text(time=self.time, step=self._step, key=name, text=text)
            if kind in MEDIA:
                seen = media_of(
                    self._run, MEDIA[kind], name, content, time=self.time, step=self._step
                )
                if not isinstance(seen, Refused):
                    return seen
            name = f"{more['groupingName']}/{name}" if more.get("groupingName") else name
            return content_of(self._run, content, name, time=self.time, step=self._step, kind=kind)
        except (OSError, ValueError) as error:
            return Refused(time=self.time, key=name, reason=one_line(error))

    def _move(self, step: Any) -> None:
        try:
            self._step = self._step if step is None else as_step(step)
        except (TypeError, ValueError, OverflowError):
            self._left_out["steps that are no whole numbers"] += 1


def _nested(name: str, value: Any) -> Tree:
    """Return a param as a tree: the client joins nested names by a bar."""
    for part in reversed(name.split("|")):
        value = {part: value}
    return dict(value)


def _seconds(milliseconds: Any, otherwise: float = 0.0) -> float:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else otherwise


def _finite(number: Any) -> float | None:
    return float(number) if isinstance(number, int | float) and isfinite(number) else None
