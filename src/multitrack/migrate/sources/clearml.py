"""ClearML: offline sessions, as folders or as the archives that are imported to its server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.archives import Archive, holds
from multitrack.migrate.files import content_of, media_of
from multitrack.migrate.rows.jsons import decode
from multitrack.migrate.source import About, Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.names import merge
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    Git,
    Image,
    Metrics,
    Params,
    Refused,
    Scalar,
    Summary,
    Tags,
    Tree,
)

TASK, EVENTS, CONSOLE = "task.json", "metrics.jsonl", "log.jsonl"
SINGLE = -(2**31)
"""The iteration of single values."""
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


class ClearmlSource(Source):
    """Sessions; each is a run."""

    name: ClassVar[str] = "clearml"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "clearml"

    def stores(self, place: Place) -> Iterator[Store]:
        """Yield the archives of a folder, and those folders of which there is none."""
        for name in sorted(place.files):
            if holds(place.path / name, TASK):
                takes = {name, name.removesuffix(".zip")}
                yield Store(place.path / name, frozenset(takes))
        if TASK in place.files and (
            EVENTS in place.files or place.path.name.startswith("offline-")
        ):
            yield Store(place.path)

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a session."""
        run = ClearmlRun(Path(location), reach)
        try:
            yield run
        finally:
            run.close()


class ClearmlRun(SourceRun):
    """One run.

    Args:
        path: the session.
        reach: where files may be read.
    """

    def __init__(self, path: Path, reach: Reach) -> None:
        self.label = reach.name(path)
        self._archive = Archive(path, reach)
        self._changed = path.stat().st_mtime

    @cached_property
    def _task(self) -> dict[str, Any]:
        task = decode(self._archive.read(TASK).decode(errors="replace"))
        if not isinstance(task, dict) or not task.get("id"):
            raise SourceError(f"{self.label} does not say which task it is")
        return task

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def describe(self) -> About:
        """Return what the session says of the task; offline ones have no outcome."""
        task = self._task
        script = task["script"] if isinstance(task.get("script"), dict) else {}
        times = (time for name in (CONSOLE, EVENTS) for time, _ in self._events(name))
        commit = script.get("version_num")
        words = [script.get("binary"), script.get("entry_point")]
        return About(
            id=str(task["id"]),
            time=next(times, self._changed),
            project=task.get("project_name") or None,
            name=task.get("name") or None,
            notes=task.get("comment") or None,
            git=Git(commit=str(commit), branch=script.get("branch") or None) if commit else None,
            command=[str(word) for word in words if word],
            details={"type": task["type"]} if task.get("type") else {},
        )

    def records(self, run: RunFolder) -> Iterator[AnyRecord]:
        """Yield params, tags, events, artifacts and what was printed."""
        task, began = self._task, self.describe().time
        yield Params(time=began, values=_params(task))
        if tags := task.get("tags"):
            yield Tags(time=began, values={str(tag): "" for tag in tags})
        reader = _Reader(run, self._archive, began)
        for time, event in self._events(EVENTS):
            yield from reader.records(time, event)
        yield from reader.artifacts(task)
        printed = [str(event.get("msg", "")) for _, event in self._events(CONSOLE)]
        if printed:
            lines = "\n".join(printed).encode(errors="replace")
            yield content_of(run, lines, "console.log", time=reader.time)
        if reader.single:
            yield Summary(time=reader.time, values=reader.single)

    def _events(self, name: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """Yield the events of a file, with their times."""
        for line in self._archive.lines(name):
            try:
                events = decode(line)
            except ValueError:
                continue  # the last line may be cut
            for event in events if isinstance(events, list) else [events]:
                if isinstance(event, dict) and isinstance(event.get("timestamp"), int | float):
                    yield event["timestamp"] / 1000, event


class _Reader:
    """Turn events into records.

    Args:
        run: where files are staged.
        archive: where they lie.
        time: when the task began.
    """

    def __init__(self, run: RunFolder, archive: Archive, time: float) -> None:
        self.time = time
        self.single: dict[str, Scalar] = {}
        self._run = run
        self._archive = archive

    def records(self, time: float, event: dict[str, Any]) -> Iterator[AnyRecord]:
        """Yield the record of one event."""
        self.time = max(self.time, time)
        kind, step, value = event.get("type"), event.get("iter"), event.get("value")
        key = _key(event)
        if isinstance(step, bool) or not isinstance(step, int):
            yield Refused(time=time, key=key, reason=f"{step!r} is no step")
        elif kind == "training_stats_scalar" and isinstance(value, int | float):
            if step == SINGLE:
                self.single[str(event.get("variant"))] = value
            else:
                yield Metrics(time=time, step=step, values={key: value})
        elif kind == "training_debug_image":
            yield self._file(str(event.get("key")), key, time, step)
        elif kind == "plot":
            plot = str(event.get("plot_str")).encode(errors="replace")
            name = f"plots/{key}/{step}.json"
            yield content_of(self._run, plot, name, time=time, step=step, kind="plot")
        else:
            yield Refused(time=time, key=key, reason=f"events of type {kind!r} are not read")

    def artifacts(self, task: dict[str, Any]) -> Iterator[AnyRecord]:
        """Yield the artifacts whose files are in the session."""
        execution = task["execution"] if isinstance(task.get("execution"), dict) else {}
        root = str(task.get("offline_folder") or "")
        for about in execution.get("artifacts") or ():
            if not isinstance(about, dict):
                continue
            name, uri = str(about.get("key")), str(about.get("uri"))
            if not root or not uri.startswith(f"{root}/"):
                reason = f"it is not in the session, but at {uri}"
                yield Refused(time=self.time, key=name, reason=reason)
            else:
                yield self._content(uri.removeprefix(f"{root}/"), name, str(about.get("type")))

    def _file(self, path: str, key: str, time: float, step: int) -> AnyRecord:
        try:
            content = self._archive.read(f"data/{path}")
        except (OSError, ValueError) as error:
            return Refused(time=time, key=key, reason=one_line(error))
        if path.lower().endswith(PICTURES):
            return media_of(self._run, Image, key, content, time=time, step=step)
        name = f"media/{key}/{step}/{Path(path).name}"
        return content_of(self._run, content, name, time=time, step=step)

    def _content(self, path: str, name: str, kind: str) -> AnyRecord:
        try:
            content = self._archive.read(path)
        except (OSError, ValueError) as error:
            return Refused(time=self.time, key=name, reason=one_line(error))
        record = content_of(self._run, content, path, time=self.time, kind=kind)
        return type(record)(time=self.time, step=0, name=name, kind=kind, files=record.files)


def _key(event: dict[str, Any]) -> str:
    metric, variant = str(event.get("metric")), str(event.get("variant"))
    return metric if metric == variant else f"{metric}/{variant}"


def _params(task: dict[str, Any]) -> Tree:
    """Return the hyperparameters by section, and the configuration objects as text."""
    tree: Tree = {}
    sections = task.get("hyperparams")
    for section, named in sections.items() if isinstance(sections, dict) else ():
        for name, param in named.items() if isinstance(named, dict) else ():
            value: Any = _value(param) if isinstance(param, dict) else param
            for part in reversed([str(section), *str(name).split("/")]):
                value = {part: value}
            merge(tree, value)
    configuration = task.get("configuration")
    for name, about in configuration.items() if isinstance(configuration, dict) else ():
        value = about.get("value") if isinstance(about, dict) else about
        merge(tree, {"configuration": {str(name): value}})
    return tree


def _value(param: dict[str, Any]) -> Any:
    """Return a param's value as its type says; text otherwise."""
    text, kind = param.get("value"), str(param.get("type") or "")
    if not isinstance(text, str) or kind.startswith("str"):
        return text
    try:
        found = decode(text.lower() if kind == "bool" else text)
    except ValueError:
        return text
    return float(text) if kind == "float" and isinstance(found, int) else found
