"""Small media to log in tests, made on the spot: no file of ours has to be shipped."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import wave

from PIL import Image

SIZE = (8, 6)
"""Width and height of the sample pictures."""
RATE = 8000
"""Samples a second of the sample sound."""
PAGE = "<html><body>a figure ✓</body></html>"
"""What the figure that is drawn as a page shows."""


def png(color: str = "red") -> bytes:
    """Return a PNG picture of one colour.

    >>> png()[1:4]
    b'PNG'
    """
    return _encode("PNG", color)


def picture_of(text: str) -> bytes:
    """Return a PNG picture that only this text has."""
    return png("#" + hashlib.sha256(text.encode()).hexdigest()[:6])


def jpeg(color: str = "green") -> bytes:
    """Return a JPEG picture of one colour."""
    return _encode("JPEG", color)


def webp(color: str = "blue") -> bytes:
    """Return a WebP picture of one colour."""
    return _encode("WEBP", color)


def gif(colors: tuple[str, ...] = ("red", "green", "blue")) -> bytes:
    """Return an animated GIF with a frame of each colour."""
    first, *others = [Image.new("RGB", SIZE, color) for color in colors]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=100, loop=0)
    return buffer.getvalue()


def wav(seconds: float = 0.05) -> bytes:
    """Return a mono 16-bit WAV file with a tone of 440 Hz.

    >>> wav()[:4], wav()[8:12]
    (b'RIFF', b'WAVE')
    """
    count = int(seconds * RATE)
    tone = [int(9000 * math.sin(2 * math.pi * 440 * i / RATE)) for i in range(count)]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{count}h", *tone))
    return buffer.getvalue()


class MatplotlibLike:
    """A figure that is drawn as PNG, as matplotlib's are."""

    def savefig(self, file: io.BytesIO, **_: object) -> None:
        """Write the picture."""
        file.write(png("orange"))


class PlotlyLike:
    """A figure that is drawn as an HTML page, as plotly's are."""

    def to_html(self, **_: object) -> str:
        """Return the page."""
        return PAGE


def _encode(file_format: str, color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", SIZE, color).save(buffer, file_format)
    return buffer.getvalue()
