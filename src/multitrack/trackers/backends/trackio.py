"""Trackio: a local SQLite database, a self-hosted server, or a Space on Hugging Face."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from multitrack.trackers.access import Access
from multitrack.trackers.backends import _trackio as place
from multitrack.trackers.backends._config import RunConfig
from multitrack.trackers.protocol import (
    Attachment,
    Refused,
    Repeat,
    RunInfo,
    Tracker,
    TrackerError,
    stored_as,
)
from multitrack.trackers.records import (
    AnyRecord,
    Artifact,
    Audio,
    Codec,
    EndStatus,
    Figure,
    Histogram,
    Image,
    Media,
    Metrics,
    Params,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
)
from multitrack.trackers.settings import Env, Settings

if TYPE_CHECKING:
    from trackio.run import Run


class TrackioSettings(Settings, frozen=True):
    """Where the runs go: a folder, unless a server or a Space is named."""

    group: Annotated[
        str | None, Env("TRACKIO_GROUP", help="Group of the run in the dashboard.")
    ] = None
    dir: Annotated[
        Path | None,
        Env(
            "TRACKIO_DIR",
            place="folder",
            client=True,
            help="Folder of the databases, media and artifacts.",
        ),
    ] = None
    server_url: Annotated[
        str | None,
        Env(
            "TRACKIO_SERVER_URL",
            place="address",
            client=True,
            secret=True,
            help="Self-hosted server; the address that `trackio show` prints holds its token.",
        ),
    ] = None
    write_token: Annotated[
        str | None,
        Env("TRACKIO_WRITE_TOKEN", client=True, secret=True, help="Token of that server."),
    ] = None
    space_id: Annotated[
        str | None,
        Env(
            "TRACKIO_SPACE_ID",
            place="address",
            client=True,
            help="Space, made where there is none: `me/board`.",
        ),
    ] = None
    bucket_id: Annotated[
        str | None,
        Env(
            "TRACKIO_BUCKET_ID",
            place="address",
            client=True,
            help="Bucket in which a new Space keeps its data.",
        ),
    ] = None
    private: Annotated[
        bool | None, Env("TRACKIO_PRIVATE", help="Whether a new Space is private.")
    ] = None

    def access(self) -> Access:
        """Return the Space's host or the server, else the folder of the databases."""
        if self.space_id:
            key = place.hub_token()
            return Access(mode="Space", address=place.HUB, key=key, remedy=place.LOGIN)
        if self.server_url:
            return Access(mode="server", address=self.server_url.partition("?")[0])
        default = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface", "trackio")
        return Access(folder=self.dir or default.expanduser())


class TrackioTracker(Tracker):
    """Write rows with trackio's own storage layer, or send them with its own HTTP client.

    Nothing fluent is touched: no current run, no hook at exit. Only ``TRACKIO_DIR`` is set
    where ``dir`` was given in code, since the client reads it from nowhere else.

    Args:
        settings: where to write.
    """

    name: ClassVar[str] = "trackio"
    distributions: ClassVar[tuple[str, ...]] = ("trackio",)
    settings_type: ClassVar[type[Settings]] = TrackioSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING

    def __init__(self, settings: TrackioSettings) -> None:
        self._settings = settings
        self._open = ExitStack()

    def start(self, run: RunInfo) -> Attachment:
        """Connect, and store the run's config anew."""
        place.load_client(self._settings.dir)
        self._run = run
        known = run.attachment.state if run.attachment else {}
        project = known.get("project") or run.header.project or "multitrack"
        self._store = place.Store(project, run.header.name or run.run_id, run.run_id)
        self._open.callback(self._store.close)
        self._connect(known)
        started = datetime.fromtimestamp(run.header.time, timezone.utc)
        self._config = RunConfig(run, is_reserved=lambda name: name.startswith("_"))
        self._config.tree |= {"_Created": started.isoformat(), "_Group": self._settings.group}
        self._store_config()
        state = {"project": project, **self._store.state}
        return Attachment(id=run.run_id, url=self._store.url, state=state)

    @stored_as("config of the run")
    def log_params(self, params: Params) -> None:
        """Merge the tree into the config; names that trackio reserves go under `multitrack`."""
        self._config.add_params(params.values)
        self._store_config()

    @stored_as("config, under `multitrack/tags`")
    def set_tags(self, tags: Tags) -> None:
        """Merge the tags into the config."""
        self._config.add("tags", tags.values)
        self._store_config()

    @stored_as("metrics; epoch as metric `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Write one row a point."""
        rows = []
        for point in points:
            epoch = {} if point.epoch is None else {"epoch": point.epoch}
            rows.append(self._row(point, epoch | point.values))
        self._store.add(rows)

    @stored_as("config, under `multitrack/summary`")
    def log_summary(self, summary: Summary) -> None:
        """Merge the values into the config."""
        self._config.add("summary", summary.values)
        self._store_config()

    @stored_as("Markdown")
    def log_text(self, text: Text) -> None:
        """Write the text as it is."""
        from trackio import Markdown

        self._store_value(text, {"_type": Markdown.TYPE, "_value": text.text})

    @stored_as("image")
    def log_image(self, image: Image) -> None:
        """Store the picture as it is."""
        from trackio import Image as Picture

        self._store_media(image, Picture.TYPE)

    @stored_as("image; an interactive one as HTML")
    def log_figure(self, figure: Figure) -> None:
        """Store a drawn figure as picture, a page as page."""
        from trackio import Html
        from trackio import Image as Picture

        is_page = figure.file.path.endswith(".html")
        self._store_media(figure, Html.TYPE if is_page else Picture.TYPE)

    @stored_as("histogram")
    def log_histogram(self, histogram: Histogram) -> None:
        """Write its bins."""
        from trackio import Histogram as Bins

        value = {"_type": Bins.TYPE, "bins": histogram.edges, "values": histogram.counts}
        self._store_value(histogram, value)

    @stored_as("table")
    def log_table(self, table: Table) -> None:
        """Write all rows, and beside them the columns, which no row tells where there is none."""
        from trackio import Table as Rows

        if len(set(table.columns)) < len(table.columns):
            raise Refused(f"trackio's tables cannot have two columns of one name: {table.columns}")
        grid = json.loads(self._run.path(table.file).read_bytes())
        rows = [dict(zip(grid["columns"], row, strict=True)) for row in grid["data"]]
        value = {"_type": Rows.TYPE, "_value": rows, "columns": grid["columns"]}
        self._store_value(table, value)

    @stored_as("audio")
    def log_audio(self, audio: Audio) -> None:
        """Store the sound file as it is."""
        from trackio import Audio as Sound

        self._store_media(audio, Sound.TYPE)

    @stored_as("video")
    def log_video(self, video: Video) -> None:
        """Store the video file as it is."""
        from trackio import Video as Film

        self._store_media(video, Film.TYPE)

    @stored_as("artifact of the project, with versions and aliases")
    def log_artifact(self, artifact: Artifact) -> None:
        """Store a new version, unless one with the same files is there."""
        from trackio import Artifact as Bundle

        about = {"step": artifact.step, "name": artifact.name, **artifact.metadata}
        bundle = Bundle(place.component(artifact.name), type=artifact.kind, metadata=about)
        for file in artifact.files:
            bundle.add_file(self._run.path(file), name=file.name)
        aliases = [place.component(alias) for alias in artifact.aliases]
        self._store.run_of_client().log_artifact(bundle, aliases=aliases)

    def flush(self) -> bool:
        """Return True: every call above returns after the database has committed."""
        return True

    def finish(self, status: EndStatus) -> None:
        """Write the outcome into the config."""
        self._config.end(status)
        self._store_config()
        self.abandon()

    def abandon(self) -> None:
        """Let go of the client; with artifacts, this may take half a minute."""
        self._open.close()

    def native(self) -> Run:
        """Return Trackio's ``Run``.

        Any thread may log with it. Its rows are stored half a second later, with the time of
        that, and count their own steps unless ``step`` is given.
        """
        return self._store.run_of_client()

    def classify(self, error: Exception) -> TrackerError:
        """Tell a missing token from a server that is down and from a busy database."""
        return place.name_error(error)

    # -- how -------------------------------------------------------------------------------

    def _connect(self, known: Mapping[str, str]) -> None:
        settings = self._settings
        if space := settings.space_id:
            self._store.use_space(
                known.get("space_id", space), settings.bucket_id, settings.private
            )
        elif address := settings.server_url or known.get("server_base_url"):
            self._store.use_server(address, settings.write_token)

    def _store_config(self) -> None:
        """Replace the config: it travels with a row, which is stored once and is empty."""
        self._store.add([self._row(self._run.header, {}) | {"config": self._config.tree}])

    def _store_value(self, record: Text | Histogram | Table | Media, value: Tree) -> None:
        self._store.add([self._row(record, {record.key: value})])

    def _store_media(self, record: Media, kind: str) -> None:
        name = f"{type(record).__name__.lower()}-{Path(record.file.path).name}"
        path = self._store.add_file(self._run.path(record.file), name, record.step)
        self._store_value(record, {"_type": kind, "file_path": path, "caption": record.caption})

    def _row(self, record: AnyRecord, values: Mapping[str, Any]) -> dict[str, Any]:
        moment = datetime.fromtimestamp(record.time, timezone.utc)
        identity = self._run.run_id.encode() + Codec.encode(record)
        return {
            "metrics": {place.key(key): value for key, value in values.items()},
            "step": getattr(record, "step", 0),
            "timestamp": moment.isoformat(timespec="microseconds"),
            "log_id": hashlib.sha256(identity).hexdigest()[:32],
        }
