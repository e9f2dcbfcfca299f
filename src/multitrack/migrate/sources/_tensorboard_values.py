"""The values of TensorBoard's event files, as records, whatever wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from multitrack.migrate.files import MediaType, media_of
from multitrack.trackers import media
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import (
    AnyRecord,
    Audio,
    Figure,
    Histogram,
    Image,
    Params,
    Refused,
    Text,
    Video,
)

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

PICTURES: dict[str, MediaType] = {"figure": Figure, "video": Video}
"""What we say of a picture that is none to us."""
SIZES = 2
"""Entries before the pictures of a tensor: width and height."""


class Place(NamedTuple):
    """Where a value stands.

    Attributes:
        run: where its files are staged.
        key: its name.
        time: Unix time, in seconds.
        step: its step.
    """

    run: RunFolder
    key: str
    time: float
    step: int


def text_of(value: Summary.Value) -> str:
    """Return a text; the cells of a table of texts, one a line."""
    from tensorboard.util.tensor_util import make_ndarray

    cells = make_ndarray(value.tensor).ravel().tolist()
    return "\n".join(cell.decode(errors="replace") for cell in cells)


def number_of(value: Summary.Value) -> bool | int | float:
    """Return a scalar, of the type that was written."""
    from tensorboard.util.tensor_util import make_ndarray

    number: bool | int | float = make_ndarray(value.tensor).item()
    return number


def records_of(at: Place, value: Summary.Value, plugin: str) -> Iterator[AnyRecord]:
    """Yield the records of what is no scalar.

    Args:
        at: where it stands.
        value: one value of an event.
        plugin: whose it is.
    """
    return _READ.get(plugin, _refuse)(at, value)


def params_of(value: Summary.Value) -> dict[str, Any]:
    """Return what the HPARAMS tab shows, empty if this value says nothing of it."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    hparams = data.session_start_info.hparams
    found = {name: getattr(hparam, hparam.WhichOneof("kind")) for name, hparam in hparams.items()}
    return {name: _whole(number) for name, number in found.items()}


def outcome_of(value: Summary.Value) -> tuple[str, float] | None:
    """Return TensorBoard's word for the outcome, and when it came; None if it is not said."""
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    if not data.HasField("session_end_info"):
        return None
    end = data.session_end_info
    return api_pb2.Status.Name(end.status), end.end_time_secs


def _whole(number: Any) -> Any:
    """Return a number as an int where it is whole: TensorBoard knows doubles alone."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _text(at: Place, value: Summary.Value) -> Iterator[AnyRecord]:
    yield Text(time=at.time, step=at.step, key=at.key, text=text_of(value))


def _images(at: Place, value: Summary.Value) -> Iterator[AnyRecord]:
    kind = PICTURES.get(value.metadata.summary_description, Image)
    for content in value.tensor.string_val[SIZES:]:
        yield media_of(at.run, kind, at.key, content, time=at.time, step=at.step)


def _audio(at: Place, value: Summary.Value) -> Iterator[AnyRecord]:
    cells = value.tensor.string_val
    is_labelled = len(value.tensor.tensor_shape.dim) > 1
    pairs = zip(cells[::2], cells[1::2], strict=True) if is_labelled else ((c, b"") for c in cells)
    for content, label in pairs:
        caption = label.decode(errors="replace")
        yield media_of(at.run, Audio, at.key, content, time=at.time, step=at.step, caption=caption)


def _histogram(at: Place, value: Summary.Value) -> Iterator[AnyRecord]:
    from tensorboard.util.tensor_util import make_ndarray

    rows = make_ndarray(value.tensor).astype(float).tolist()
    try:
        edges = [row[0] for row in rows] + [row[1] for row in rows[-1:]]
        bins = media.make_histogram(([row[2] for row in rows], edges))
    except ValueError as error:
        yield Refused(time=at.time, key=at.key, reason=str(error))
    else:
        yield Histogram(time=at.time, step=at.step, key=at.key, **bins._asdict())


def _params(at: Place, value: Summary.Value) -> Iterator[AnyRecord]:
    if params := params_of(value):
        yield Params(time=at.time, values=params)


def _refuse(at: Place, value: Summary.Value) -> Iterator[AnyRecord]:
    plugin = value.metadata.plugin_data.plugin_name or value.WhichOneof("value")
    yield Refused(time=at.time, key=at.key, reason=f"values of {plugin!r} are not read")


_READ = {
    "text": _text,
    "images": _images,
    "audio": _audio,
    "histograms": _histogram,
    "hparams": _params,
}
"""How the values of TensorBoard's plugins are read."""
