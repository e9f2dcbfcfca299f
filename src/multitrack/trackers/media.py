"""Images, figures, histograms, tables, sounds and videos, turned into files and numbers.

Everything is encoded at the call, so that what is delivered is what was logged. Arrays may be
numpy's, torch's (on any device), or anything else that numpy can read; numpy is imported only
when an array comes in, and torch never.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from multitrack.trackers.records import spell
from multitrack.trackers.texts import attempt, text_of
from multitrack.trackers.values import as_number

if TYPE_CHECKING:
    from typing import TypeAlias

    from PIL.Image import Image as PillowImage

    Array: TypeAlias = Any
    """A numpy array."""

IMAGE_SUFFIXES = {"PNG": ".png", "JPEG": ".jpeg", "MPO": ".jpeg", "GIF": ".gif", "WEBP": ".webp"}
"""By the name that Pillow gives to a format."""
AUDIO_SUFFIXES = {".wav", ".mp3", ".ogg", ".flac", ".m4a"}
VIDEO_SUFFIXES = {".mp4", ".webm", ".gif", ".mov", ".mkv", ".avi"}
_AUDIO_STARTS = {
    b"RIFF": ".wav",
    b"ID3": ".mp3",
    b"\xff\xfb": ".mp3",
    b"\xff\xf3": ".mp3",
    b"OggS": ".ogg",
    b"fLaC": ".flac",
}
_VIDEO_STARTS = {b"GIF8": ".gif", b"\x1aE\xdf\xa3": ".webm"}
MOST_BINS = 1_000_000
MOST_UNTOLD = 1_000_000
"""Rows that are taken of what does not say how many it has: it may never end."""
MOST_CELLS = 20_000_000
"""Rows that are taken of what says that it has more."""
MAX_CHANNELS = 32
"""More columns than this are samples, not channels of a sound."""


class Encoded(NamedTuple):
    """The content of a file, and the suffix that tells its format."""

    content: bytes
    suffix: str


class Distribution(NamedTuple):
    """A histogram: rising edges, the count between each two, and the values' sums."""

    edges: list[float]
    counts: list[float]
    total: float
    squares: float


class Grid(NamedTuple):
    """A table: the names of the columns and the rows, as JSON can hold them."""

    columns: list[str]
    rows: list[list[Any]]


def encode_image(image: Any) -> Encoded:
    """Return a picture as an image file.

    Args:
        image: a path or the bytes of a PNG, JPEG, GIF or WebP; a Pillow image; or an array of
            shape (H, W), (H, W, C) or (C, H, W), with C one of 1, 3, 4: integers in 0..255,
            booleans, or floats in 0..1.

    Raises:
        TypeError: it is none of these.
        ValueError: the array's shape or the file's format is not one of these.
    """
    if isinstance(image, str | Path):
        content = Path(image).read_bytes()
        return Encoded(content, _image_suffix(content, str(image)))
    if isinstance(image, bytes):
        return Encoded(image, _image_suffix(image, "these bytes"))
    if _is_pillow(image):
        return _encode_pillow(image)
    if hasattr(image, "shape"):
        return _encode_pillow(_picture(_as_array(image)))
    raise TypeError(
        f"an image must be a path, bytes, a Pillow image or an array, not {type(image).__name__}"
    )


def encode_figure(figure: Any) -> Encoded:
    """Return a figure as PNG (matplotlib, and what has ``savefig``) or HTML (plotly).

    Raises:
        TypeError: it is no figure.
    """
    if hasattr(figure, "get_figure") and not hasattr(figure, "savefig"):
        figure = figure.get_figure()  # matplotlib's Axes
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return Encoded(buffer.getvalue(), ".png")
    if hasattr(figure, "to_html"):
        return Encoded(figure.to_html(include_plotlyjs="cdn").encode(), ".html")
    raise TypeError(f"a figure must be matplotlib's or plotly's, not {type(figure).__name__}")


def make_histogram(values: Any, bins: int = 64) -> Distribution:
    """Return the distribution of values.

    Args:
        values: numbers, of any shape; or a pair ``(counts, edges)`` as ``numpy.histogram``
            returns it. NaN and infinite values have no place in a bin and are left out.
        bins: number of bins of equal width.

    Raises:
        ValueError: no finite value is there, or counts and edges do not fit each other.
    """
    if isinstance(values, tuple) and len(values) == 2:  # noqa: PLR2004
        return _given_histogram(*values)
    if type(bins) is not int or not 0 < bins <= MOST_BINS:
        raise ValueError(f"bins must be a whole number from 1 to {MOST_BINS:,}")
    numpy = _numpy()
    flat = _as_array(values).astype(float).ravel()
    flat = flat[numpy.isfinite(flat)]
    if not flat.size:
        raise ValueError("a histogram needs at least one finite value")
    counts, edges = numpy.histogram(flat, bins=bins)
    return Distribution(
        edges.tolist(),
        counts.astype(float).tolist(),
        float(flat.sum()),
        float(numpy.square(flat).sum()),
    )


def make_table(data: Any, columns: Sequence[str] | None = None) -> Grid:
    """Return a table.

    Args:
        data: a pandas or polars data frame; a mapping from column to values; or a list of
            rows, each a sequence or a mapping from column to value.
        columns: names of the columns, for rows that are sequences; else which to take.

    Raises:
        TypeError: it is none of these.
        ValueError: a row's length is not the number of columns, or a column is not there.
    """
    names, rows = _rows(data, columns)
    for row in rows:
        if len(row) != len(names):
            raise ValueError(f"a row has {len(row)} cells, the table has {len(names)} columns")
    return Grid([text_of(name) for name in names], [[_cell(cell) for cell in row] for row in rows])


def encode_table(grid: Grid) -> Encoded:
    """Return a table as JSON: ``{"columns": [...], "data": [[...], ...]}``."""
    return Encoded(msgspec.json.encode({"columns": grid.columns, "data": grid.rows}), ".json")


def encode_audio(audio: Any, sample_rate: int | None = None) -> Encoded:
    """Return a sound as a file; samples become 16-bit WAV.

    Args:
        audio: a path or bytes of a sound file; or samples of shape (N,), (N, channels) or
            (channels, N): floats in -1..1 or 16-bit integers.
        sample_rate: samples a second; needed for samples.

    Raises:
        TypeError: it is none of these.
        ValueError: samples came without a rate, in another shape or of another kind; or the
            file's format is none that is known.
    """
    if isinstance(audio, str | Path):
        return _read_file(Path(audio), AUDIO_SUFFIXES)
    if isinstance(audio, bytes):
        return Encoded(
            audio, _suffix_of(audio, _AUDIO_STARTS, ".m4a", "WAV, MP3, OGG, FLAC or M4A")
        )
    if sample_rate is None or not sample_rate > 0:
        raise ValueError("samples need a sample_rate above 0, in samples a second")
    return Encoded(_encode_wave(_as_array(audio), sample_rate), ".wav")


def encode_video(video: Any, fps: float = 4) -> Encoded:
    """Return a video as a file; frames become an animated GIF.

    Args:
        video: a path of a video file; bytes of an MP4, WebM or GIF file; or frames of shape
            (T, H, W, C), (T, C, H, W) or (T, H, W), or a list of images.
        fps: frames a second, for frames.

    Raises:
        TypeError: it is none of these.
        ValueError: the frames' shape or the file's format is not one of these.
    """
    if isinstance(video, str | Path):
        return _read_file(Path(video), VIDEO_SUFFIXES)
    if isinstance(video, bytes):
        return Encoded(video, _suffix_of(video, _VIDEO_STARTS, ".mp4", "MP4, WebM or GIF"))
    frames = [_frame(frame) for frame in (video if isinstance(video, list) else _as_array(video))]
    if not frames:
        raise ValueError("a video needs at least one frame")
    if not fps > 0:
        raise ValueError(f"fps must be above 0, not {fps}")
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=1000 / fps,
        loop=0,
    )
    return Encoded(buffer.getvalue(), ".gif")


def _read_file(path: Path, suffixes: Iterable[str]) -> Encoded:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise ValueError(f"{path.name} is none of {', '.join(sorted(suffixes))}")
    return Encoded(path.read_bytes(), suffix)


def _suffix_of(content: bytes, starts: Mapping[bytes, str], of_mp4: str, known: str) -> str:
    """Return the suffix of the format that content begins like."""
    if content[4:8] == b"ftyp":
        return of_mp4
    for start, suffix in starts.items():
        if content.startswith(start):
            return suffix
    raise ValueError(f"these bytes are no {known} file")


def _image_suffix(content: bytes, name: str) -> str:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return IMAGE_SUFFIXES[image.format or ""]
    except (OSError, KeyError):
        raise ValueError(f"no PNG, JPEG, GIF or WebP image: {name}") from None


def _is_pillow(image: Any) -> bool:
    return hasattr(image, "save") and hasattr(image, "convert")


def _encode_pillow(image: PillowImage) -> Encoded:
    buffer = io.BytesIO()
    if image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}:
        image = image.convert("RGB")
    image.save(buffer, format="PNG")
    return Encoded(buffer.getvalue(), ".png")


def _frame(frame: Any) -> PillowImage:
    return frame if _is_pillow(frame) else _picture(_as_array(frame))


def _picture(array: Array) -> PillowImage:
    from PIL import Image

    return Image.fromarray(_to_bytes(_channels_last(array)))


def _channels_last(array: Array) -> Array:
    channels = {1, 3, 4}
    if array.ndim == 3 and array.shape[2] not in channels and array.shape[0] in channels:  # noqa: PLR2004
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:  # noqa: PLR2004
        array = array[:, :, 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in channels)  # noqa: PLR2004
    if is_picture and array.size:
        return array
    raise ValueError(
        f"an image must have shape (H, W), (H, W, C) or (C, H, W) with C = 1, 3 or 4, "
        f"not {array.shape}"
    )


def _to_bytes(array: Array) -> Array:
    numpy = _numpy()
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an image must hold numbers, not {array.dtype}")
    if array.dtype == bool:
        return array.astype("uint8") * 255
    if array.dtype.kind == "f":
        array = numpy.nan_to_num(array, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 255
        array = array.round()
    return numpy.ascontiguousarray(array.clip(0, 255).astype("uint8"))


def _given_histogram(counts: Any, edges: Any) -> Distribution:
    heights = [float(count) for count in _listed(counts)]
    borders = [float(edge) for edge in _listed(edges)]
    is_finite = all(map(math.isfinite, [*heights, *borders]))
    if len(borders) != len(heights) + 1 or sorted(borders) != borders or not is_finite:
        raise ValueError("a histogram (counts, edges) needs one rising edge more than counts")
    middles = [(left + right) / 2 for left, right in pairwise(borders)]
    pairs = list(zip(heights, middles, strict=True))
    return Distribution(
        borders, heights, sum(n * m for n, m in pairs), sum(n * m * m for n, m in pairs)
    )


def _rows(data: Any, columns: Sequence[str] | None) -> tuple[list[Any], list[list[Any]]]:
    if hasattr(data, "columns") and hasattr(data, "to_dict"):  # pandas, polars
        data = {name: data[name] for name in data.columns}
    if isinstance(data, Mapping):
        return _rows_of_columns({name: _listed(cells) for name, cells in data.items()}, columns)
    if isinstance(data, str | bytes) or not isinstance(data, Iterable):
        kind = type(data).__name__
        raise TypeError(f"a table must be a data frame, a mapping or a list of rows, not {kind}")
    rows = _listed(data)
    for row in rows:
        if isinstance(row, str | bytes) or not isinstance(row, Iterable):
            raise TypeError(f"a row must be a sequence or a mapping, not {type(row).__name__}")
    if rows and isinstance(rows[0], Mapping):
        names = _listed(columns or dict.fromkeys(key for row in rows for key in row))
        return names, [[row.get(name) for name in names] for row in rows]
    cells = [_listed(row) for row in rows]
    width = len(cells[0]) if cells else 0
    return _listed(columns or [f"column {i}" for i in range(width)]), cells


def _rows_of_columns(
    data: Mapping[Any, list[Any]], columns: Sequence[str] | None
) -> tuple[list[Any], list[list[Any]]]:
    names = _listed(columns or data)
    if missing := [name for name in names if name not in data]:
        raise ValueError(
            f"the table has no column {missing[0]!r}; it has {', '.join(map(str, data))}"
        )
    if len({len(data[name]) for name in names}) > 1:
        raise ValueError("the columns of a table must be equally long")
    return names, [list(row) for row in zip(*(data[name] for name in names), strict=True)]


def _cell(value: Any) -> Any:
    """Return a cell as JSON can hold it; one that is odd is its text."""
    if value is None or isinstance(value, bool):
        return value
    number = value if issubclass(type(value), str) else attempt(as_number, value)
    return spell(number) if isinstance(number, bool | int | float) else text_of(value)


def _listed(values: Iterable[Any]) -> list[Any]:
    """Return rows, cells or counts as a list.

    Raises:
        ValueError: there is no end to them.
    """
    length = attempt(len, values)  # type: ignore[arg-type]
    most = min(length, MOST_CELLS) if isinstance(length, int) else 0
    most = max(most, MOST_UNTOLD)
    found = list(islice(values, most + 1))
    if len(found) > most:
        raise ValueError(f"at most {most:,} values are taken of what does not say that it has more")
    return found


def _encode_wave(samples: Array, sample_rate: int) -> bytes:
    samples = _channels_beside(samples)
    if samples.dtype.kind == "f":
        samples = (_numpy().nan_to_num(samples, nan=0.0).clip(-1, 1) * 32767).round()
    elif samples.dtype.kind not in "iu" or (samples != samples.astype("<i2")).any():
        raise ValueError("samples must be floats in -1..1 or 16-bit integers")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def _channels_beside(samples: Array) -> Array:
    """Return samples in shape (N,) or (N, channels)."""
    if samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS:  # noqa: PLR2004
        samples = samples.T
    if samples.ndim == 1 or (samples.ndim == 2 and samples.shape[1] <= MAX_CHANNELS):  # noqa: PLR2004
        return samples
    raise ValueError(
        f"samples must have shape (N,), (N, channels) or (channels, N), not {samples.shape}"
    )


def _as_array(value: Any) -> Array:
    if callable(getattr(value, "detach", None)):  # a torch tensor
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
        value = value.numpy()
    return _numpy().asarray(value)


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("arrays need numpy: pip install numpy") from error
    return np
