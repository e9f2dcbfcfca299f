"""A run's artifacts: their paths, how they get there, and what the picture grid shows of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_OID, uuid5

from multitrack.trackers.backends import _mlflow_names as names
from multitrack.trackers.backends._layout import Content, laid_out, size_of
from multitrack.trackers.backends._mlflow_store import time_to_store
from multitrack.trackers.beneath import is_beneath, see_that_all_stays
from multitrack.trackers.protocol import Parked
from multitrack.trackers.records import Image, Record, Stepped

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from PIL.Image import Image as Picture

THUMBNAIL = (256, 256)


def milliseconds(record: Record) -> int:
    """Return the record's time as MLflow counts it."""
    return int(record.time * 1000)


def microseconds(record: Record) -> int:
    """Return the record's time, fine enough to tell it from all others of its run."""
    return int(record.time * 1_000_000)


def place(folder: str, key: str, record: Stepped) -> str:
    """Return a path, without suffix, that the record alone has, whenever it is delivered."""
    return f"{folder}/{names.path(key)}/{record.step}-{microseconds(record)}"


def image_place(image: Image, run_id: str) -> str:
    """Return a path, without suffix, from which MLflow's picture grid reads key, step and time."""
    mark = uuid5(NAMESPACE_OID, f"{run_id}/{image.key}/{microseconds(image)}")
    key = names.image_key(image.key)
    return f"images/{key}+step+{image.step}+timestamp+{milliseconds(image)}+{mark}"


def views(picture: Path) -> dict[str, bytes]:
    """Return what the picture grid shows of a picture, by the ending of its path.

    The grid knows PNG and WebP; a picture that Pillow cannot draw has no views.
    """
    from PIL import Image as Pillow

    try:
        with Pillow.open(picture) as image:
            is_shown = image.format in {"PNG", "WEBP"}
            found = {} if is_shown else {".webp": _webp(image)}
            image.thumbnail(THUMBNAIL)
            return {**found, "+compressed.webp": _webp(image)}
    except Exception:  # whatever Pillow makes of it, the picture itself is stored
        return {}


def local_root(artifact_uri: str) -> Path | None:
    """Return the folder of a run's artifacts, if the client writes them to the disk."""
    parts = urlsplit(artifact_uri)
    return Path(unquote(parts.path)) if parts.scheme in {"", "file"} else None


def see_that_it_stays(artifact_uri: str, store: Path) -> None:
    """See that a store that nobody named keeps its files below its own folder.

    Raises:
        Parked: it sends them elsewhere: it may have come with the run.
    """
    root = local_root(artifact_uri)
    if root is None or not is_beneath(store, root):
        raise Parked(
            f"the MLflow store in {store} keeps artifacts at {artifact_uri}",
            "Name the store with MLFLOW_TRACKING_URI, if it is yours.",
        )
    see_that_all_stays(root)


def upload(client: MlflowClient, run_id: str, files: Mapping[str, Content]) -> None:
    """Store files by their paths among the run's artifacts, replacing what stands there."""
    with laid_out(files) as folder, time_to_store(sum(map(size_of, files.values()))):
        client.log_artifacts(run_id, folder)


def _webp(image: Picture) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP")
    return buffer.getvalue()
