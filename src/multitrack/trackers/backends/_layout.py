"""Files laid out as a backend shall have them: clients name a file as they find it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

Content: TypeAlias = Path | bytes
"""A file, or what a file shall hold."""


@contextmanager
def laid_out(files: Mapping[str, Content]) -> Iterator[str]:
    """Give a folder in which files lie under their paths; those that exist are linked."""
    with TemporaryDirectory(prefix="multitrack-") as folder:
        for path, content in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.symlink_to(content)
        yield folder


def size_of(content: Content) -> int:
    """Return how many bytes a content has."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size
