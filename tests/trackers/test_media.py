"""Media are encoded at the call; what cannot be is refused with what would have been right."""

import io
import json
import math
import wave

import pytest
from PIL import Image

from multitrack.trackers import media
from multitrack.trackers.testing import samples

RED = (255, 0, 0)


@pytest.fixture(params=["numpy", "torch"])
def array(request):
    """Make an array of either library from nested lists."""
    library = pytest.importorskip(request.param)
    if request.param == "numpy":
        return lambda data, dtype="float32": library.asarray(data, dtype=dtype)
    return lambda data, dtype="float32": library.tensor(data, dtype=getattr(library, dtype))


@pytest.fixture
def numpy():
    return pytest.importorskip("numpy")


def decode(encoded):
    return Image.open(io.BytesIO(encoded.content))


def pixel(encoded, at=(0, 0)):
    image = decode(encoded)
    return image.convert("RGB").getpixel(at), image.size


# -- images --------------------------------------------------------------------------------------

CHANNELS_FIRST = [[[1.0, 0.0]] * 3, [[0.0, 0.0]] * 3, [[0.0, 1.0]] * 3]
"""A picture of 2 x 3 pixels: red to the left, blue to the right."""


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_image_of_floats(array, dtype):
    try:
        picture = array(CHANNELS_FIRST, dtype)
    except TypeError:
        pytest.skip("numpy has no bfloat16")
    encoded = media.encode_image(picture)
    assert pixel(encoded) == (RED, (2, 3))
    assert pixel(encoded, (1, 2))[0] == (0, 0, 255)
    assert encoded.suffix == ".png"


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        ((5, 6), "L"),
        ((5, 6, 1), "L"),
        ((1, 5, 6), "L"),
        ((5, 6, 3), "RGB"),
        ((3, 5, 6), "RGB"),
        ((5, 6, 4), "RGBA"),
        ((4, 5, 6), "RGBA"),
    ],
)
def test_image_shapes(numpy, shape, mode):
    image = decode(media.encode_image(numpy.zeros(shape, "uint8")))
    assert (image.mode, image.size) == (mode, (6, 5))


@pytest.mark.parametrize(
    ("value", "dtype", "level"),
    [
        (0.5, "float32", 128),
        (2.0, "float32", 255),
        (-1.0, "float32", 0),
        (math.nan, "float32", 0),
        (math.inf, "float32", 255),
        (200, "uint8", 200),
        (300, "int64", 255),
        (-5, "int64", 0),
        (True, "bool", 255),
    ],
)
def test_image_levels(array, value, dtype, level):
    encoded = media.encode_image(array([[value]], dtype))
    assert decode(encoded).getpixel((0, 0)) == level


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2), (2, 2, 3, 1), (0, 0), (0, 5, 3), ()])
def test_image_of_another_shape(numpy, shape):
    with pytest.raises(ValueError, match=r"must have shape \(H, W\), \(H, W, C\) or \(C, H, W\)"):
        media.encode_image(numpy.zeros(shape))


def test_image_of_words(numpy):
    with pytest.raises(TypeError, match="an image must hold numbers, not <U1"):
        media.encode_image(numpy.array([["a"]]))


def test_image_of_an_array_that_is_still_part_of_a_graph():
    torch = pytest.importorskip("torch")
    assert pixel(media.encode_image(torch.ones(4, 4, requires_grad=True)))[1] == (4, 4)


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (samples.png, ".png"),
        (samples.jpeg, ".jpeg"),
        (samples.webp, ".webp"),
        (samples.gif, ".gif"),
    ],
)
def test_image_file_is_kept_as_it_is(tmp_path, make, suffix):
    content = make()
    assert media.encode_image(content) == (content, suffix)
    path = tmp_path / "any name"
    path.write_bytes(content)
    assert media.encode_image(path) == (content, suffix)
    assert media.encode_image(str(path)) == (content, suffix)


def test_image_file_of_another_format(tmp_path):
    path = tmp_path / "x.png"
    Image.new("RGB", (2, 2)).save(path, "BMP")
    for image in (path, path.read_bytes(), b"", samples.png()[:20]):
        with pytest.raises(ValueError, match="no PNG, JPEG, GIF or WebP image"):
            media.encode_image(image)
    with pytest.raises(FileNotFoundError):
        media.encode_image(tmp_path / "nothing.png")


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F", "I"]
)
def test_image_of_pillow(mode):
    encoded = media.encode_image(Image.new("RGB", (4, 3), RED).convert(mode))
    assert decode(encoded).size == (4, 3)
    if mode in {"RGB", "RGBA", "P", "CMYK"}:
        assert pixel(encoded)[0] == RED


@pytest.mark.parametrize("image", [None, 5, [[1]], object()])
def test_no_image(image):
    with pytest.raises(TypeError, match="an image must be a path, bytes, a Pillow image or an arr"):
        media.encode_image(image)


# -- figures -------------------------------------------------------------------------------------


def test_figure_of_matplotlib():
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.plot([1, 2])
    for given in (figure, axes):
        assert decode(media.encode_figure(given)).format == "PNG"


def test_figure_of_plotly():
    figure = pytest.importorskip("plotly.graph_objects").Figure()
    content, suffix = media.encode_figure(figure)
    assert suffix == ".html"
    assert b"<html>" in content


def test_no_figure():
    with pytest.raises(TypeError, match="must be matplotlib's or plotly's, not int"):
        media.encode_figure(5)


# -- histograms ----------------------------------------------------------------------------------


def test_histogram(array):
    edges, counts, total, squares = media.make_histogram(array([[1, 2], [2, 5]]), bins=4)
    assert edges == [1, 2, 3, 4, 5]
    assert counts == [1, 2, 0, 1]
    assert (total, squares) == (10, 34)
    assert all(type(number) is float for number in [*edges, *counts, total, squares])


def test_histogram_leaves_out_what_has_no_bin(numpy):
    found = media.make_histogram([1, math.nan, math.inf, -math.inf, 3])
    assert (sum(found.counts), found.total) == (2, 4)
    assert len(found.edges) == 65


def test_histogram_of_one_value(numpy):
    assert sum(media.make_histogram(7).counts) == 1


def test_histogram_that_was_made_already():
    found = media.make_histogram(([1, 3], [0, 2, 4]))
    assert found == ([0, 2, 4], [1, 3], 10, 28)


@pytest.mark.parametrize(
    "values",
    [[], [math.nan], ([1], [0]), ([1, 2], [0, 2, 1]), ([1], [0, math.nan]), (["a"], [0, 1])],
)
def test_no_histogram(numpy, values):
    with pytest.raises(ValueError, match=r"histogram|could not convert"):
        media.make_histogram(values)


# -- tables --------------------------------------------------------------------------------------


class Label(str):
    __slots__ = ()


ROWS = [["a", 1], ["b", None]]


@pytest.mark.parametrize(
    ("data", "columns", "expected"),
    [
        (ROWS, ["x", "y"], (["x", "y"], ROWS)),
        (tuple(map(tuple, ROWS)), None, (["column 0", "column 1"], ROWS)),
        ({"x": ["a", "b"], "y": (1, None)}, None, (["x", "y"], ROWS)),
        ({"x": ["a", "b"], "y": (1, None)}, ["y"], (["y"], [[1], [None]])),
        ([{"x": "a", "y": 1}, {"x": "b"}], None, (["x", "y"], ROWS)),
        ([{"x": "a", "y": 1}], ["y", "z"], (["y", "z"], [[1, None]])),
        ([], ["x"], (["x"], [])),
        ([], None, ([], [])),
        ({}, None, ([], [])),
    ],
)
def test_table(data, columns, expected):
    grid = media.make_table(data, columns)
    assert grid == expected
    stored = json.loads(media.encode_table(grid).content)
    assert stored == {"columns": grid.columns, "data": grid.rows}


def test_table_cells_are_what_json_can_hold():
    (row,) = media.make_table([[True, 0.5, math.nan, -math.inf, Label("w"), 1j, 2**70]]).rows
    assert row == [True, 0.5, "NaN", "-Infinity", "w", "1j", float(2**70)]
    assert type(row[4]) is str


def test_table_of_numpy(numpy):
    grid = media.make_table(numpy.array([[1, 2], [3, 4]]), ["x", "y"])
    assert grid.rows == [[1, 2], [3, 4]]
    labels = media.make_table({"label": numpy.array(["a", "b"])})
    assert json.loads(media.encode_table(labels).content)["data"] == [["a"], ["b"]]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_table_of_a_data_frame(library):
    frame = pytest.importorskip(library).DataFrame({"x": ["a", "b"], "y": [1, 2]})
    assert media.make_table(frame) == (["x", "y"], [["a", 1], ["b", 2]])
    assert media.make_table(frame, ["y"]) == (["y"], [[1], [2]])


@pytest.mark.parametrize(
    ("data", "columns", "error", "message"),
    [
        ([[1, 2], [3]], None, ValueError, "a row has 1 cells, the table has 2 columns"),
        ([[1, 2]], ["x"], ValueError, "a row has 2 cells, the table has 1 columns"),
        ({"x": [1], "y": [1, 2]}, None, ValueError, "the columns of a table must be equally long"),
        ([1, 2], None, TypeError, "a row must be a sequence or a mapping, not int"),
        (["ab"], None, TypeError, "a row must be a sequence or a mapping, not str"),
        ({"x": [1]}, ["y"], ValueError, "the table has no column 'y'; it has x"),
        (5, None, TypeError, "a table must be a data frame, a mapping or a list of rows, not int"),
        (
            "ab",
            None,
            TypeError,
            "a table must be a data frame, a mapping or a list of rows, not st",
        ),
    ],
)
def test_no_table(data, columns, error, message):
    with pytest.raises(error, match=message):
        media.make_table(data, columns)


# -- sounds --------------------------------------------------------------------------------------


def samples_of(encoded):
    with wave.open(io.BytesIO(encoded.content)) as file:
        assert file.getsampwidth() == 2
        frames = file.readframes(file.getnframes())
        levels = [
            int.from_bytes(frames[i : i + 2], "little", signed=True)
            for i in range(0, len(frames), 2)
        ]
        return file.getframerate(), file.getnchannels(), levels


def test_sound_of_floats(array):
    encoded = media.encode_audio(array([0.0, 1.0, -1.0, 2.0, math.nan]), 8000)
    assert samples_of(encoded) == (8000, 1, [0, 32767, -32767, 32767, 0])


def test_sound_of_integers(array):
    assert samples_of(media.encode_audio(array([1, -(2**15)], "int16"), 8000.0))[2] == [1, -(2**15)]


@pytest.mark.parametrize("turned", [False, True])
def test_sound_of_two_channels(numpy, turned):
    stereo = numpy.zeros((100, 2))
    stereo[:, 1] = 1
    rate, channels, levels = samples_of(media.encode_audio(stereo.T if turned else stereo, 44100))
    assert (rate, channels, levels) == (44100, 2, [0, 32767] * 100)


@pytest.mark.parametrize(
    ("make", "rate", "message"),
    [
        (lambda np: np.zeros(5), None, "samples need a sample_rate"),
        (lambda np: np.zeros(5), 0, "samples need a sample_rate above 0"),
        (
            lambda np: np.zeros((100, 100)),
            8000,
            r"shape \(N,\), \(N, channels\) or \(channels, N\)",
        ),
        (lambda np: np.zeros((2, 2, 2)), 8000, r"shape \(N,\), \(N, channels\) or \(channels, N\)"),
        (lambda np: np.array([2**20]), 8000, "floats in -1..1 or 16-bit integers"),
        (lambda np: np.array(["a"]), 8000, "floats in -1..1 or 16-bit integers"),
    ],
)
def test_no_sound(numpy, make, rate, message):
    with pytest.raises(ValueError, match=message):
        media.encode_audio(make(numpy), rate)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (samples.wav(), ".wav"),
        (b"ID3\x04" + b"x" * 20, ".mp3"),
        (b"\xff\xfb\x90d" + b"x" * 20, ".mp3"),
        (b"OggS" + b"x" * 20, ".ogg"),
        (b"fLaC" + b"x" * 20, ".flac"),
        (b"\0\0\0\x20ftypM4A ", ".m4a"),
    ],
)
def test_sound_file_is_kept_as_it_is(tmp_path, content, suffix):
    assert media.encode_audio(content) == (content, suffix)
    path = tmp_path / f"x{suffix.upper()}"
    path.write_bytes(content)
    assert media.encode_audio(path) == (content, suffix)


def test_no_sound_file(tmp_path):
    with pytest.raises(ValueError, match="these bytes are no WAV, MP3, OGG, FLAC or M4A file"):
        media.encode_audio(b"garbage")
    with pytest.raises(ValueError, match=r"x.txt is none of .flac, .m4a, .mp3, .ogg, .wav"):
        media.encode_audio(tmp_path / "x.txt")


# -- videos --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5, 6, 3), (3, 3, 5, 6), (3, 5, 6), (3, 5, 6, 1)])
def test_video_of_frames(numpy, shape):
    frames = numpy.arange(math.prod(shape), dtype="uint8").reshape(shape)
    video = decode(media.encode_video(frames, fps=10))
    assert (video.format, video.n_frames, video.size) == ("GIF", 3, (6, 5))
    assert video.info["duration"] == 100


def test_video_of_pictures():
    pictures = [Image.new("RGB", (4, 4), color) for color in ("red", "green")]
    assert decode(media.encode_video(pictures)).n_frames == 2


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (samples.gif(), ".gif"),
        (b"\0\0\0\x20ftypisom", ".mp4"),
        (b"\x1aE\xdf\xa3" + b"x" * 20, ".webm"),
    ],
)
def test_video_file_is_kept_as_it_is(tmp_path, content, suffix):
    assert media.encode_video(content) == (content, suffix)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    assert media.encode_video(str(path)) == (content, suffix)


@pytest.mark.parametrize(
    ("video", "fps", "message"),
    [
        ([], 4, "a video needs at least one frame"),
        (b"garbage", 4, "these bytes are no MP4, WebM or GIF file"),
        ([Image.new("L", (2, 2))], 0, "fps must be above 0"),
        ("x.txt", 4, "x.txt is none of .avi, .gif, .mkv, .mov, .mp4, .webm"),
    ],
)
def test_no_video(video, fps, message):
    with pytest.raises(ValueError, match=message):
        media.encode_video(video, fps)
