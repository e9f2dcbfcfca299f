"""What Aim tracks beside numbers: words, pictures, sounds, figures, distributions."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from multitrack.migrate.files import content_of, media_of
from multitrack.trackers import media
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import AnyRecord, Audio, Histogram, Image, Refused, Text

KINDS = ("texts", "images", "distributions", "audios", "figures")
SUBSET = "subset"


def key_of(name: str, context: Mapping[str, Any]) -> str:
    """Return a series' name with its context.

    >>> key_of("loss", {"subset": "val", "fold": 2})
    'val/fold=2/loss'
    """
    parts = [str(v) if n == SUBSET else f"{n}={v}" for n, v in context.items()]
    return "/".join([*parts, name])


def things(folder: RunFolder, run: Any, began: float) -> Iterator[AnyRecord]:
    """Yield all that a run tracked beside numbers."""
    getters = {
        "texts": run.get_text_sequence,
        "images": run.get_image_sequence,
        "distributions": run.get_distribution_sequence,
        "audios": run.get_audio_sequence,
        "figures": run.get_figure_sequence,
    }
    for kind, found in run.collect_sequence_info(KINDS).items():
        for about in found:
            yield from _sequence(folder, getters[kind], about, began)


def _sequence(folder: RunFolder, get: Any, about: Any, began: float) -> Iterator[AnyRecord]:
    from aim.storage.context import Context

    key = key_of(about["name"], about["context"])
    sequence = get(about["name"], Context(about["context"]))
    steps, (found, _, times) = sequence.data.items_list()
    for step, value, time in zip(steps, found, times, strict=True):
        for one in value if isinstance(value, list) else [value]:
            moment = float(time) if time else began
            try:
                yield _record(folder, key, one, moment, int(step))
            except (OSError, TypeError, ValueError) as error:
                yield Refused(time=moment, key=key, reason=one_line(error))


def _record(folder: RunFolder, key: str, thing: Any, time: float, step: int) -> AnyRecord:
    kind = type(thing).__name__
    if kind == "Text":
        return Text(time=time, step=step, key=key, text=str(thing.data))
    if kind == "Image":
        buffer = io.BytesIO()
        thing.to_pil_image().save(buffer, "PNG")
        caption = thing.caption or None
        content = buffer.getvalue()
        return media_of(folder, Image, key, content, time=time, step=step, caption=caption)
    if kind == "Audio":
        return media_of(folder, Audio, key, thing.to_bytes(), time=time, step=step)
    if kind == "Distribution":
        counts, edges = thing.to_np_histogram()
        bins = media.make_histogram((list(map(float, counts)), list(map(float, edges))))
        return Histogram(time=time, step=step, key=key, **bins._asdict())
    if kind == "Figure":
        content = str(thing.data).encode(errors="replace")
        return content_of(folder, content, f"{key}/{step}.json", time=time, step=step, kind="plot")
    raise TypeError(f"things of type {kind} are not read")
