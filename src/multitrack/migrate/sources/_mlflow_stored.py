"""What an MLflow store holds of a run, and where its files may lie."""

from __future__ import annotations

import math
import re
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from multitrack.migrate.reach import Reach

RUN_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
LONGEST_TAIL = 4
"""Parts of an artifact's address that may stay the same when a store is moved."""


class StoredPoint(NamedTuple):
    """A value of a metric; its time is in seconds."""

    time: float
    step: int
    value: float


@dataclass(frozen=True)
class StoredRun:
    """A run as the store lists it.

    Attributes:
        run_id: MLflow's.
        experiment: the name of its experiment.
        name: for people.
        status: MLflow's word, empty if it is not known.
        start: when it began, in seconds.
        end: when it ended.
        artifact_uri: where the store says that its files are.
        metrics: their keys.
        broken: what could not be read, with the reason.
    """

    run_id: str
    experiment: str
    name: str | None
    status: str
    start: float
    end: float | None
    artifact_uri: str
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


class Stored(Protocol):
    """How one kind of store is read."""

    @abstractmethod
    def runs(self) -> Iterator[StoredRun]:
        """Yield all runs that are not deleted."""

    @abstractmethod
    def points(self, run: StoredRun, key: str) -> Iterator[StoredPoint]:
        """Yield the history of a metric; what cannot be read goes to the run's `broken`."""

    @abstractmethod
    def files(self, run: StoredRun, scratch: Path) -> Iterator[tuple[str, Path]]:
        """Yield each file and folder of the top level, with its name.

        Raises:
            SourceError: they lie where they may not be read from, or are not there.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the store."""


def number(value: float) -> float:
    """Return a value; a database holds the largest number for an infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def local_path(uri: str) -> Path | None:
    """Return the path that an address names, None if it is on no file system.

    >>> local_path("file:///a/b"), local_path("mlflow-artifacts:/1/b"), local_path("s3://x/y")
    (PosixPath('/a/b'), PosixPath('/1/b'), None)
    """
    parts = urlsplit(uri)
    if parts.scheme in {"", "file", "mlflow-artifacts"} and not parts.netloc:
        return Path(unquote(parts.path)) if parts.scheme else Path(uri)
    return None


def moved(run: StoredRun, home: Path, folders: Sequence[str], reach: Reach) -> Path | None:
    """Return where the files of a run lie now: as named, or at home by the same last parts.

    Args:
        run: whose files.
        home: the folder that the store lies in; what leads out of it is not looked at.
        folders: names of those in it that files may be kept in.
        reach: where files may be read besides.
    """
    path = local_path(run.artifact_uri)
    if path is None:
        return None
    if path.is_absolute() and reach.allows(path) and path.is_dir():
        return path
    parts = PurePosixPath(path).parts[1 if path.is_absolute() else 0 :]
    if parts[-2:] != (run.run_id, "artifacts") or not RUN_ID.fullmatch(run.run_id):
        return None
    inside = Reach([home])
    for length in range(min(LONGEST_TAIL, len(parts)), 1, -1):
        for folder in (*folders, ""):
            candidate = home.joinpath(folder, *parts[-length:])
            if ".." not in parts and candidate.is_dir() and inside.allows(candidate):
                return candidate
    return None
