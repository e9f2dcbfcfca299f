"""A run written straight to its journal, with the calls of `multitrack.start_run`'s run."""

from __future__ import annotations

import itertools
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multitrack.trackers import media, values
from multitrack.trackers.folder import RunFolder, new_run_id
from multitrack.trackers.journal import JournalWriter
from multitrack.trackers.records import (
    Artifact,
    Audio,
    End,
    EndStatus,
    Figure,
    Header,
    Histogram,
    Host,
    Image,
    Metrics,
    Params,
    Resumed,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
)
from multitrack.trackers.staging import safe_name, stage_bytes, stage_path


class Tape:
    """One run, being recorded.

    Args:
        directory: where the run's folder goes.
        run_id: goes on with this run instead of starting one.
        header: ``project``, ``name``, ``notes``, ``tags`` and ``config`` of a new run.
    """

    def __init__(self, directory: Path, run_id: str | None = None, **header: Any) -> None:
        self.folder = RunFolder(directory / (run_id or new_run_id()))
        is_new = not self.folder.exists
        self.folder.create()
        self._journal = JournalWriter(self.folder.journal)
        self._next = itertools.count()
        host = Host(
            hostname="test", pid=os.getpid(), platform="test", python=platform.python_version()
        )
        if is_new:
            self._add(Header, run_id=self.folder.run_id, host=host, cwd=str(directory), **header)
        else:
            self._add(Resumed, host=host)

    def log(
        self, metrics: Mapping[str, Any], step: int | None = None, epoch: float | None = None
    ) -> None:
        """Record metrics."""
        row = dict(values.flatten_metrics(metrics, {}))
        self._add(Metrics, step=self._step(step), epoch=epoch, values=row)

    def log_params(self, tree: Tree) -> None:
        """Record hyper-parameters."""
        self._add(Params, values=tree)

    def set_tags(self, tags: dict[str, str]) -> None:
        """Record tags."""
        self._add(Tags, values=tags)

    def summary(self, values: dict[str, Any]) -> None:
        """Record single values."""
        self._add(Summary, values=values)

    def log_text(self, key: str, text: str, step: int | None = None) -> None:
        """Record a text."""
        self._add(Text, key=key, text=text, step=self._step(step))

    def log_image(
        self, key: str, image: Any, step: int | None = None, caption: str | None = None
    ) -> None:
        """Record a picture."""
        self._add_media(Image, key, media.encode_image(image), step, caption=caption)

    def log_figure(self, key: str, figure: Any, step: int | None = None) -> None:
        """Record a figure."""
        self._add_media(Figure, key, media.encode_figure(figure), step)

    def log_histogram(self, key: str, values: Any, step: int | None = None, bins: int = 64) -> None:
        """Record a distribution."""
        found = media.make_histogram(values, bins)
        self._add(Histogram, key=key, step=self._step(step), **found._asdict())

    def log_table(
        self,
        key: str,
        data: Any,
        columns: Sequence[str] | None = None,
        step: int | None = None,
    ) -> None:
        """Record a table."""
        grid = media.make_table(data, columns)
        encoded = media.encode_table(grid)
        self._add_media(Table, key, encoded, step, columns=grid.columns, rows=len(grid.rows))

    def log_audio(
        self, key: str, audio: Any, sample_rate: int | None = None, step: int | None = None
    ) -> None:
        """Record a sound."""
        encoded = media.encode_audio(audio, sample_rate)
        self._add_media(Audio, key, encoded, step, sample_rate=sample_rate)

    def log_video(self, key: str, video: Any, fps: float = 4, step: int | None = None) -> None:
        """Record a video."""
        self._add_media(Video, key, media.encode_video(video, fps), step)

    def log_artifact(
        self,
        path: Path,
        name: str | None = None,
        kind: str = "file",
        step: int | None = None,
        aliases: Sequence[str] = (),
        metadata: Tree | None = None,
    ) -> None:
        """Record a file or folder."""
        self._add(
            Artifact,
            step=self._step(step),
            name=safe_name(name or path.name),
            kind=kind,
            files=stage_path(self.folder, path),
            folder=path.is_dir(),
            aliases=list(aliases),
            metadata=metadata or {},
        )

    def finish(self, status: EndStatus = "finished", error: str | None = None) -> None:
        """Record the outcome and close the journal."""
        self._add(End, status=status, error=error)
        self.stop()

    def stop(self) -> None:
        """Close the journal without an outcome, as a process that dies does."""
        self._journal.close()

    def _add(self, record: type[Any], **fields: Any) -> None:
        self._journal.append(record(time=time.time(), **fields))

    def _add_media(
        self, record: type[Any], key: str, encoded: media.Encoded, step: int | None, **fields: Any
    ) -> None:
        file = stage_bytes(self.folder, encoded.content, f"{key}{encoded.suffix}")
        self._add(record, key=key, step=self._step(step), file=file, **fields)

    def _step(self, step: int | None) -> int:
        return next(self._next) if step is None else step
