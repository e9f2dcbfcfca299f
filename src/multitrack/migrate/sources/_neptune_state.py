"""What the operations of Neptune's client leave: attributes, tags, files; and what paths mean."""

from __future__ import annotations

import base64
import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timezone
from pathlib import Path
from typing import Any

from multitrack.migrate.files import MediaType, artifact_of
from multitrack.migrate.reach import Reach
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.outcomes import one_line
from multitrack.trackers.records import AnyRecord, EndStatus, Image, Scalar

SYSTEM = "sys/"
"""Start of the attributes in which Neptune keeps what a run is."""
KNOWN = (
    "Assign",
    "DeleteAttribute",
    "AddStrings",
    "RemoveStrings",
    "ClearStringSet",
    "UploadFile",
    "ConfigFloatSeries",
)
"""Starts of the operations that leave a state, or say nothing but how to draw."""


def knows(operation: Any) -> bool:
    """Tell whether an operation is no loss."""
    kind = type(operation).__name__
    return kind.startswith(KNOWN) and kind != "AssignArtifact"


@dataclass
class State:
    """What stands at the end of a run.

    Attributes:
        attributes: values by path.
        tags: in order.
        uploads: files by path: where they lie, or their content.
        refused: by path, why a file is not taken.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    uploads: dict[str, Path | bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def apply(self, folder: Path, operation: Any, reach: Reach) -> None:
        """Take one operation, which stands in a folder's queue."""
        kind, path = type(operation).__name__, "/".join(operation.path)
        if kind == "AssignDatetime":
            self.attributes[path] = operation.value.astimezone(timezone.utc).isoformat()
        elif kind.startswith("Assign"):
            self.attributes[path] = getattr(operation, "value", None)
        elif kind == "DeleteAttribute":
            self.attributes.pop(path, None)
            self.uploads.pop(path, None)
        elif kind == "AddStrings":
            self.tags += [tag for tag in operation.values if tag not in self.tags]
        elif kind in {"RemoveStrings", "ClearStringSet"}:
            gone = getattr(operation, "values", self.tags)
            self.tags = [tag for tag in self.tags if tag not in gone]
        elif kind.startswith("UploadFile"):
            try:
                self.uploads |= _uploads(folder, path, operation, reach)
            except (OSError, ValueError) as error:
                self.refused[path] = one_line(error)


class Naming:
    """What paths mean: here, nothing but what the user wrote.

    Args:
        state: what stands at the end of the run.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def params(self) -> dict[str, Any]:
        """Return all attributes but Neptune's own, as a tree."""
        return params_of(self.state.attributes)

    def tag(self, word: str) -> tuple[str, str]:
        """Return a tag's name and value."""
        return word, ""

    def summary(self) -> dict[str, Scalar]:
        """Return the single values: Neptune does not tell them from params."""
        return {}

    def status(self) -> EndStatus | None:
        """Return the outcome: Neptune knows that a run failed, or nothing."""
        return "failed" if self.state.attributes.get("sys/failed") else "finished"

    def metric(self, path: str) -> str:
        """Return the name of a series of numbers."""
        return path

    def spelled(self, path: str) -> str | None:
        """Return the name of a series whose texts are numbers, None of any other."""
        return None

    def media(self, path: str) -> str:
        """Return the name of a series of texts or pictures."""
        return path

    def picture(self, path: str) -> MediaType:
        """Return what a series of pictures is."""
        return Image

    def files(self, run: RunFolder, scratch: Path, time: float) -> Iterator[AnyRecord]:
        """Yield the uploaded files.

        Args:
            run: where they are staged.
            scratch: a folder for what must be unpacked first.
            time: when the run ended.
        """
        for path, file in self.state.uploads.items():
            yield artifact_of(run, unpacked(file, scratch), path, time=time)


def unpacked(file: Path | bytes, scratch: Path) -> Path:
    """Return where a file lies, after writing it there if only its content is known."""
    if isinstance(file, Path):
        return file
    target = scratch / "unpacked"
    target.write_bytes(file)
    return target


def params_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return all attributes but Neptune's own, as a tree."""
    return tree_of({path: v for path, v in attributes.items() if not path.startswith(SYSTEM)})


def tree_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as a nested dict; one whose path leads through another keeps its path.

    >>> tree_of({"optim/lr": 0.1, "optim/name": "sgd", "seed": 1, "seed/x": 2})
    {'optim': {'lr': 0.1, 'name': 'sgd'}, 'seed': 1, 'seed/x': 2}
    """
    tree: dict[str, Any] = {}
    for path, value in attributes.items():
        *parts, name = path.split("/")
        place: Any = tree
        for part in parts:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if isinstance(place, dict) and not isinstance(place.get(name), dict):
            place[name] = value
        else:
            tree[path] = value
    return tree


def _uploads(folder: Path, path: str, operation: Any, reach: Reach) -> dict[str, Path | bytes]:
    """Return the files that an operation uploads.

    Raises:
        SourceError: one lies where it may not be read.
    """
    kind = type(operation).__name__
    if kind == "UploadFileContent":
        return {path: base64.b64decode(operation.file_content)}
    inside = reach.and_below(folder)
    if kind == "UploadFileSet":
        roots = (inside.place(_fixed_part(pattern)) for pattern in operation.file_globs)
        found = (
            Path(name)
            for pattern, _ in zip(operation.file_globs, roots, strict=True)
            for name in glob.glob(pattern)  # noqa: PTH207
        )
        return {f"{path}/{file.name}": inside.file(file) for file in found if file.is_file()}
    place = operation.file_path or folder / "upload_path" / operation.tmp_file_name
    return {path: inside.place(place)}


def _fixed_part(pattern: str) -> Path:
    """Return the folder below which all that a pattern matches lies."""
    parts = Path(pattern).parts
    fixed = [part for part in parts[:-1] if not glob.has_magic(part)]
    return Path(*fixed) if len(fixed) == len(parts) - 1 else Path(*parts[: len(fixed)])
