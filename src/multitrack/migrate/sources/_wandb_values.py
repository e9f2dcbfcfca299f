"""The values of W&B's rows that are no numbers, as records."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from multitrack.migrate.files import MediaType, artifact_of, media_of
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
    from wandb.proto.wandb_internal_pb2 import ArtifactRecord

PAGE_START, PAGE_END = TEXT_PAGE.split("{}")


class Place(NamedTuple):
    """Where a value stands.

    Attributes:
        run: where its files are staged.
        files: the folder of the session's files.
        key: its name.
        time: Unix time, in seconds.
        step: its step.
    """

    run: RunFolder
    files: Path
    key: str
    time: float
    step: int


def tree_of(items: Iterable[Any]) -> dict[str, Any]:
    """Return items by name; what the client spread over nested keys is a dict again."""
    tree: dict[str, Any] = {}
    for item in items:
        *path, name = list(item.nested_key) or [item.key]
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[name] = json.loads(item.value_json)
    return tree


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
    except (OSError, ValueError, KeyError) as error:
        yield Refused(time=at.time, key=at.key, reason=one_line(error))


def artifact(run: RunFolder, record: ArtifactRecord, time: float, step: int) -> Iterator[AnyRecord]:
    """Yield a version whose files are still on this machine."""
    metadata = json.loads(record.metadata) if record.metadata else {}
    with tempfile.TemporaryDirectory(dir=run.path) as scratch:
        folder = Path(scratch, "version")
        for entry in record.manifest.contents:
            if not (entry.local_path and Path(entry.local_path).is_file()):
                reason = f"its file {entry.path} is not on this machine"
                yield Refused(time=time, key=record.name, reason=reason)
                return
            target = folder / staging.safe_name(entry.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(Path(entry.local_path), target)
        files = list(folder.iterdir()) if folder.is_dir() else []
        yield artifact_of(
            run,
            files[0] if len(files) == 1 and files[0].is_file() else folder,
            record.name,
            time=time,
            step=metadata.pop("step", None) or step,
            kind=record.type,
            aliases=[alias for alias in record.aliases if alias != "latest"],
            metadata={name: value for name, value in metadata.items() if value is not None},
        )


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
        content = (at.files / value["path"]).read_bytes()
        caption = value.get("caption")
        yield media_of(at.run, kind, at.key, content, time=at.time, step=at.step, caption=caption)

    return read


def _page(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    """Yield a page: a text where our backend made it of one, else a figure."""
    page = (at.files / value["path"]).read_text(encoding="utf-8")
    if page.startswith(PAGE_START) and page.endswith(PAGE_END):
        text = html.unescape(page.removeprefix(PAGE_START).removesuffix(PAGE_END))
        yield Text(time=at.time, step=at.step, key=at.key, text=text)
    else:
        yield from _file(Figure)(at, value)


def _pictures(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    """Yield the pictures of a list, one by one."""
    captions = value.get("captions") or [None] * len(value["filenames"])
    for path, caption in zip(value["filenames"], captions, strict=True):
        yield from _file(Image)(at, {"path": path, "caption": caption})


def _table(at: Place, value: dict[str, Any]) -> Iterator[AnyRecord]:
    content = json.loads((at.files / value["path"]).read_bytes())
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
        edges = [packed["min"] + i * packed["size"] for i in range(packed["count"] + 1)]
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
    "table-file": _table,
    "histogram": _histogram,
}
"""How the client's types are read."""
