"""The values of W&B's rows that are no numbers, as records."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from multitrack.migrate.files import MediaType, artifact_of, media_of
from multitrack.migrate.reach import Reach, SourceError
from multitrack.migrate.reading import read_whole
from multitrack.trackers import media, staging
from multitrack.trackers.backends.wandb import TEXT_PAGE
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    Audio,
    Figure,
    Histogram,
    Image,
    Metrics,
    Refused,
    Table,
    Text,
    Video,
)

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import ArtifactManifestEntry, ArtifactRecord

MOST_BYTES = 1024**3
"""Bytes of the largest file of a value."""
MOST_IN_LIST = 1000
PAGE_START, PAGE_END = TEXT_PAGE.split("{}")


class Place(NamedTuple):
    """Where a value stands.

    Attributes:
        run: where its files are staged.
        files: the folder of the session's files.
        reach: where files may be read.
        key: its name.
        time: Unix time, in seconds.
        step: its step.
        row: the number of its row, by which old clients name files.
    """

    run: RunFolder
    files: Path
    reach: Reach
    key: str
    time: float
    step: int
    row: int

    def read(self, value: dict[str, Any]) -> bytes:
        """Return the content of the file that a value names.

        Raises:
            SourceError: it names none, or one that may not be read.
            OSError: it cannot be read.
        """
        if not isinstance(path := value.get("path"), str):
            raise SourceError("it names no file on this machine")
        return read_whole(self.reach.file(self.files / path), MOST_BYTES)


def tree_of(items: Iterable[Any]) -> dict[str, Any]:
    """Return items by name; what the client spread over nested keys is a dict again."""
    tree: dict[str, Any] = {}
    for item in items:
        *path, name = list(getattr(item, "nested_key", ())) or [item.key]
        place = tree
        for part in path:
            inner = place.setdefault(part, {})
            place = inner if isinstance(inner, dict) else {}
        place[name] = _decoded(item.value_json)
    return tree


def _decoded(text: str) -> Any:
    """Return what JSON says; what is none, or nested too deeply, is its text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def records_of(at: Place, value: Any) -> Iterator[AnyRecord]:
    """Yield the records of a value that is no number; what cannot be read is refused by name."""
    kind = value.get("_type", "") if isinstance(value, dict) else ""
    try:
        if isinstance(value, str):
            yield Text(time=at.time, step=at.step, key=at.key, text=value)
        elif kind in _READ:
            yield from _READ[kind](at, value)
        elif isinstance(value, dict) and not kind:
            for name, inner in value.items():
                yield from _nested(at._replace(key=f"{at.key}/{name}"), inner)
        else:
            reason = f"values of {kind or type(value).__name__!r} are not read"
            yield Refused(time=at.time, key=at.key, reason=reason)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield Refused(time=at.time, key=at.key, reason=one_line(error))


def artifact(at: Place, record: ArtifactRecord) -> Iterator[AnyRecord]:
    """Yield a version whose files are still on this machine."""
    found = _decoded(record.metadata) if record.metadata else {}
    metadata = found if isinstance(found, dict) else {}
    with tempfile.TemporaryDirectory(dir=at.run.path) as scratch:
        folder = Path(scratch, "version")
        try:
            for entry in record.manifest.contents:
                _fetch(at, entry, folder)
        except (OSError, ValueError) as error:
            yield Refused(time=at.time, key=record.name, reason=one_line(error))
            return
        files = list(folder.iterdir()) if folder.is_dir() else []
        step = metadata.pop("step", None)
        yield artifact_of(
            at.run,
            files[0] if len(files) == 1 and files[0].is_file() else folder,
            record.name,
            time=at.time,
            step=step if isinstance(step, int) else at.step,
            kind=record.type,
            aliases=[alias for alias in record.aliases if alias != "latest"],
            metadata={name: value for name, value in metadata.items() if value is not None},
        )


def _fetch(at: Place, entry: ArtifactManifestEntry, folder: Path) -> None:
    """Put a file of a version into a folder.

    Raises:
        SourceError: it lies elsewhere, or where it may not be read.
        OSError: it cannot be read.
    """
    if not (entry.local_path and Path(entry.local_path).exists()):
        raise SourceError(f"its file {entry.path} is not on this machine")
    target = folder / staging.safe_name(entry.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _link(at.reach.file(entry.local_path), target)


def _link(source: Path, target: Path) -> None:
    """Put a file into a folder without copying it, where the file system can."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _nested(at: Place, value: Any) -> Iterator[AnyRecord]:
    if isinstance(value, bool | int | float):
        yield Metrics(time=at.time, step=at.step, values={at.key: value})
    elif value is not None:
        yield from records_of(at, value)


def _file(kind: MediaType) -> Callable[[Place, dict[str, Any]], Iterator[AnyRecord]]:
    def read(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
        content, caption = at.read(value), _text(value.get("caption"))
        yield media_of(at.run, kind, at.key, content, time=at.time, step=at.step, caption=caption)

    return read


def _page(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    """Yield a page: a text where our backend made it of one, else a figure."""
    page = at.read(value).decode(errors="replace")
    if page.startswith(PAGE_START) and page.endswith(PAGE_END):
        text = html.unescape(page.removeprefix(PAGE_START).removesuffix(PAGE_END))
        yield Text(time=at.time, step=at.step, key=at.key, text=text)
    else:
        yield from _file(Figure)(at, value)


def _pictures(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    """Yield the pictures of a list, one by one; old clients' files are named by key and row."""
    ending = _text(value.get("format")) or "png"
    count = min(int(value.get("count") or 0), MOST_IN_LIST)
    named = [f"media/images/{at.key}_{at.row}_{i}.{ending}" for i in range(count)]
    paths = value.get("filenames") or named
    captions = value.get("captions") or []
    for path, caption in zip_longest(paths, captions[: len(paths)]):
        yield from records_of(at, {"_type": "image-file", "path": path, "caption": caption})


def _sprite(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    """Yield the pictures of a list that the oldest clients put into one file, side by side."""
    ending = _text(value.get("format")) or "jpg"
    captions = " | ".join(map(str, value.get("captions") or []))
    path = f"media/images/{at.key}_{at.row}.{ending}"
    yield from records_of(at, {"_type": "image-file", "path": path, "caption": captions})


def _list(name: str) -> Callable[[Place, dict[str, Any]], Iterator[AnyRecord]]:
    def read(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
        captions = value.get("captions") or []
        for item, caption in zip_longest(value[name], captions[: len(value[name])]):
            yield from records_of(at, {"caption": caption, **item})

    return read


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _table(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    content = json.loads(at.read(value))
    grid = media.make_table(content["data"], [str(column) for column in content["columns"]])
    encoded = media.encode_table(grid)
    file = staging.stage_bytes(at.run, encoded.content, f"{at.key.rsplit('/', 1)[-1]}.json")
    yield Table(
        time=at.time,
        step=at.step,
        key=at.key,
        file=file,
        columns=grid.columns,
        rows=len(grid.rows),
    )


def _histogram(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    counts = value["values"]
    if "packedBins" in value:
        packed = value["packedBins"]
        count = min(packed["count"], len(counts))
        edges = [packed["min"] + i * packed["size"] for i in range(count + 1)]
    else:
        edges = value["bins"]
    bins = media.make_histogram((counts, edges))
    yield Histogram(time=at.time, step=at.step, key=at.key, **bins._asdict())


_READ = {
    "image-file": _file(Image),
    "audio-file": _file(Audio),
    "video-file": _file(Video),
    "html-file": _page,
    "images/separated": _pictures,
    "images": _sprite,
    "audio": _list("audio"),
    "videos": _list("videos"),
    "html": _list("html"),
    "table-file": _table,
    "histogram": _histogram,
}
"""How the client's types are read."""
