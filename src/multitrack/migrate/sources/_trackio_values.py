"""What a cell of Trackio may hold beside numbers: words, pictures, tables, files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from multitrack.migrate.files import MediaType, media_of, table_of
from multitrack.migrate.reach import Reach
from multitrack.migrate.rows.row import row_of
from multitrack.trackers import media, staging
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import (
    AnyRecord,
    Artifact,
    Audio,
    Histogram,
    Image,
    Metrics,
    Refused,
    Text,
    Video,
)
from multitrack.trackers.values import take_metrics

MEDIA: dict[str, MediaType] = {
    "trackio.image": Image,
    "trackio.audio": Audio,
    "trackio.video": Video,
}


class Files(NamedTuple):
    """Where files of a project lie, and where they are staged."""

    run: RunFolder
    folder: Path
    reach: Reach

    def records(
        self, row: dict[str, Any], time: float, step: int, epoch: Any = None
    ) -> Iterator[AnyRecord]:
        """Yield a row's numbers as one record, and one for each other thing."""
        typed = {n: v for n, v in row.items() if isinstance(v, Mapping) and "_type" in v}
        plain = row_of("", {name: value for name, value in row.items() if name not in typed}).cells
        texts = {name: value for name, value in plain.items() if isinstance(value, str)}
        numbers, refused = take_metrics({n: v for n, v in plain.items() if n not in texts})
        if numbers:
            at = float(epoch) if isinstance(epoch, int | float) else None
            yield Metrics(time=time, step=step, values=numbers, epoch=at)
        for key, text in texts.items():
            yield Text(time=time, step=step, key=key, text=text)
        for key, value in typed.items():
            yield self._typed_or_refused(key, value, time, step)
        for key, reason in refused.items():
            yield Refused(time=time, key=key, reason=reason)

    def system(self, row: dict[str, Any], time: float) -> Iterator[AnyRecord]:
        """Yield what was measured of the machine."""
        numbers, _ = take_metrics({f"system/{name}": value for name, value in row.items()})
        if numbers:
            yield Metrics(time=time, step=0, values=numbers)

    def artifact(
        self,
        name: str,
        kind: str,
        manifest: Any,
        aliases: list[str],
        metadata: dict[str, Any],
        *,
        time: float,
    ) -> AnyRecord:
        """Return an artifact, whose files lie under their digests."""
        try:
            files = []
            for entry in json.loads(manifest):
                digest = str(entry["digest"]).rpartition(":")[2]
                blobs = self.folder.glob(f"artifacts/*/blobs/*/{digest[:2]}/{digest}")
                [staged] = staging.stage_path(self.run, self.reach.file(next(blobs)))
                path = staging.safe_name(str(entry["path"]))
                files.append(staged.__class__(path=staged.path, name=path, size=staged.size))
        except (OSError, LookupError, TypeError, ValueError, StopIteration) as error:
            return Refused(time=time, key=name, reason=f"its files are not here: {one_line(error)}")
        return Artifact(
            time=time,
            step=0,
            name=staging.safe_name(name),
            kind=kind or "file",
            files=files,
            folder=len(files) > 1,
            aliases=aliases,
            metadata=metadata,
        )

    def _typed_or_refused(
        self, key: str, value: Mapping[str, Any], time: float, step: int
    ) -> AnyRecord:
        try:
            return self._typed(key, value, time, step)
        except (LookupError, OSError, TypeError, ValueError) as error:
            return Refused(time=time, key=key, reason=one_line(error))

    def _typed(self, key: str, value: Mapping[str, Any], time: float, step: int) -> AnyRecord:
        kind = str(value["_type"])
        if kind in MEDIA:
            path = self.reach.file(self.folder / "media" / str(value["file_path"]))
            return media_of(
                self.run,
                MEDIA[kind],
                key,
                path.read_bytes(),
                time=time,
                step=step,
                caption=value.get("caption"),
            )
        if kind == "trackio.markdown":
            return Text(time=time, step=step, key=key, text=str(value["_value"]))
        if kind == "trackio.table":
            rows = [row for row in value["_value"] if isinstance(row, dict)]
            columns = value.get("columns") or list(dict.fromkeys(n for row in rows for n in row))
            data = [[row.get(name) for name in columns] for row in rows]
            return table_of(self.run, key, data, columns, time=time, step=step)
        if kind == "trackio.histogram":
            bins = media.make_histogram((value["values"], value["bins"]))
            return Histogram(time=time, step=step, key=key, **bins._asdict())
        raise ValueError(f"values of type {kind!r} are not read")
