"""Files of a source, staged in the run folder: pictures, sounds, videos, artifacts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from multitrack.trackers import media, staging
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import Artifact, Audio, Figure, Image, Refused, Table, Video
from multitrack.trackers.redact.tree import redact_table

MediaType: TypeAlias = type[Image] | type[Figure] | type[Audio] | type[Video]


def media_of(
    run: RunFolder,
    kind: MediaType,
    key: str,
    content: bytes,
    *,
    time: float,
    step: int,
    caption: str | None = None,
) -> Image | Figure | Audio | Video | Refused:
    """Stage a picture, sound or video, and return its record.

    A file whose format is not known is refused by name, so that the run comes in without it.
    """
    try:
        encoded = _ENCODERS[kind](content)
    except (TypeError, ValueError) as error:
        return Refused(time=time, key=key, reason=str(error))
    name = f"{key.rsplit('/', 1)[-1] or 'file'}{encoded.suffix}"
    file = staging.stage_bytes(run, encoded.content, name)
    return kind(time=time, step=step, key=key, file=file, caption=caption or None)


def artifact_of(
    run: RunFolder,
    path: Path,
    name: str,
    *,
    time: float,
    step: int = 0,
    kind: str = "file",
    aliases: Sequence[str] = (),
    metadata: dict[str, Any] | None = None,
) -> Artifact | Refused:
    """Stage a file or a folder, and return its record; one that is gone is refused by name."""
    try:
        return Artifact(
            time=time,
            step=step,
            name=staging.safe_name(name),
            kind=kind,
            files=staging.stage_path(run, path),
            folder=path.is_dir(),
            aliases=list(aliases),
            metadata=metadata or {},
        )
    except (FileNotFoundError, ValueError) as error:
        return Refused(time=time, key=name, reason=one_line(error))


def content_of(
    run: RunFolder, content: bytes, name: str, *, time: float, step: int = 0, kind: str = "file"
) -> Artifact:
    """Stage content that lies in no file of its own as an artifact, and return its record."""
    files = [staging.stage_bytes(run, content, name.rsplit("/", 1)[-1])]
    return Artifact(time=time, step=step, name=staging.safe_name(name), kind=kind, files=files)


def table_of(
    run: RunFolder, key: str, data: Any, columns: Sequence[str] | None, *, time: float, step: int
) -> Table | Refused:
    """Stage a table, and return its record."""
    try:
        grid = media.Grid(*redact_table(*media.make_table(data, columns)))
    except (TypeError, ValueError) as error:
        return Refused(time=time, key=key, reason=str(error))
    encoded = media.encode_table(grid)
    file = staging.stage_bytes(run, encoded.content, f"{staging.short_name(key)}{encoded.suffix}")
    return Table(
        time=time, step=step, key=key, file=file, columns=grid.columns, rows=len(grid.rows)
    )


def _figure(content: bytes) -> media.Encoded:
    if content.lstrip()[:1] == b"<":
        return media.Encoded(content, ".html")
    return media.encode_image(content)


_ENCODERS: dict[MediaType, Callable[[bytes], media.Encoded]] = {
    Image: media.encode_image,
    Figure: _figure,
    Audio: media.encode_audio,
    Video: media.encode_video,
}
