"""Neptune: its client's offline folders. The hosted service was closed in 2026."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from multitrack.trackers.access import Access
from multitrack.trackers.backends import _neptune as rules
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.bounded import call_within
from multitrack.trackers.names import flatten, tag_word
from multitrack.trackers.protocol import (
    Attachment,
    Parked,
    Repeat,
    Restart,
    Retry,
    RunInfo,
    Tracker,
    TrackerError,
    classify_by_default,
    stored_as,
)
from multitrack.trackers.records import (
    Artifact,
    Audio,
    EndStatus,
    Figure,
    Histogram,
    Image,
    Media,
    Metrics,
    Params,
    Scalar,
    Stepped,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Env, Settings

if TYPE_CHECKING:
    from neptune import Run

START_TIMEOUT = 60.0
CLOSE_TIMEOUT = 10.0
"""Seconds that the client gets to start and to stop."""

LOUD = {"NEPTUNE_RAISE_ERROR_ON_DISK_USAGE_EXCEEDED": "True"}
"""What has the client say that it does not write; it reads this when it is imported."""

OFFLINE = "Set NEPTUNE_MODE to offline: the run is then stored in NEPTUNE_DATA_DIRECTORY."


class NeptuneSettings(Settings, frozen=True):
    """Where the run goes."""

    project: Annotated[
        str | None,
        Env(
            "NEPTUNE_PROJECT",
            client=True,
            help="Project of a run that names none, as `workspace/project`.",
        ),
    ] = None
    mode: Annotated[
        Literal["offline", "async", "sync", "read-only", "debug"],
        Env(
            "NEPTUNE_MODE",
            client=True,
            help="Only `offline` delivers: the other modes talk to the service that was closed.",
        ),
    ] = "offline"
    data_directory: Annotated[
        Path | None,
        Env(
            "NEPTUNE_DATA_DIRECTORY",
            place="folder",
            client=True,
            help="Folder of the offline runs. Without it: .neptune/ where the run runs.",
        ),
    ] = None
    custom_run_id: Annotated[
        str | None,
        Env("NEPTUNE_CUSTOM_RUN_ID", client=True, help="Id of the run, for multitrack's."),
    ] = None

    def access(self) -> Access:
        """Return the folder of the offline runs; the service was closed."""
        if self.mode != "offline":
            return Access(mode=self.mode, remedy=OFFLINE)
        return Access(mode="offline", folder=self.data_directory or Path(".neptune"))


class NeptuneTracker(Tracker):
    """Store one run through the client's own ``Run`` object, in its offline mode.

    The client writes operations to a file as they come, and `flush` waits for that file. Each
    courier of a run makes a folder; ``multitrack/run_id`` in each says that they belong
    together. Uploaded files are not copied: the operations name those that the run's own folder
    keeps.

    Args:
        settings: where the run goes.
    """

    name: ClassVar[str] = "neptune"
    distributions: ClassVar[tuple[str, ...]] = ("neptune",)
    settings_type: ClassVar[type[Settings]] = NeptuneSettings
    repeat: ClassVar[Repeat] = Repeat.DUPLICATES

    def __init__(self, settings: NeptuneSettings) -> None:
        self._settings = settings
        self._open: Run | None = None
        self._paths = rules.Paths()
        self._types: dict[str, type] = {}
        self._long: set[str] = set()
        self._tags: dict[str, str] = {}

    def start(self, run: RunInfo) -> Attachment:
        """Begin a folder of the run."""
        if self._settings.mode != "offline":
            raise Parked("Neptune's hosted service was closed in 2026", OFFLINE)
        self._run = run
        header = run.header
        store = (self._settings.data_directory or run.default(".neptune")) / "offline"
        project = self._settings.prefer("project", header.project) or "multitrack"
        with undisturbed({"NEPTUNE_DATA_DIRECTORY": str(store.parent), **LOUD}):
            self._open = call_within(START_TIMEOUT, self._start_client, project)
        [self._folder] = store.glob(f"run__{self._open._id}__*")  # noqa: SLF001 - nothing else names it
        run_id = self._settings.custom_run_id or run.run_id
        for key, value in {
            "project": project,
            "run_id": run_id,
            "host": header.host.hostname,
        }.items():
            self._assign(f"multitrack/{key}", value)
        self._assign("multitrack/status", "running")
        folders = run.attachment.state["folders"] if run.attachment else []
        folders = [*folders, str(self._folder)]
        return Attachment(id=run_id, url=folders[-1], state={"folders": folders})

    @stored_as("attributes `parameters/…`; a long value as file, too")
    def log_params(self, params: Params) -> None:
        """Assign the leaves of the tree, with their types; lists as JSON."""
        for name, value in flatten(params.values):
            plain = value if isinstance(value, int | float | str) else json.dumps(value)
            self._assign(self._paths.place("parameters", name), plain)

    @stored_as("tags; with a value as `name=value`")
    def set_tags(self, tags: Tags) -> None:
        """Add tags; one with a new value replaces the old."""
        field = self._client["sys/tags"]
        for name, value in tags.values.items():
            if name in self._tags and self._tags[name] != value:
                field.remove(tag_word(name, self._tags[name]))
            field.add(tag_word(name, value))
        self._tags |= tags.values

    @stored_as("series `metrics/…`, as float64; NaN and infinities as text series `non_finite/…`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Extend the series, one call a name."""
        for (root, name), rows in rules.series_of(points).items():
            values, steps, times = map(list, zip(*rows, strict=True))
            field = self._client[self._paths.place(root, name)]
            field.extend(values, steps=steps, timestamps=times)

    @stored_as("attributes `summary/…`")
    def log_summary(self, summary: Summary) -> None:
        """Assign the values, with their types."""
        for name, value in summary.values.items():
            self._assign(self._paths.place("summary", name), value)

    @stored_as("text series `text/…`; a long text as file")
    def log_text(self, text: Text) -> None:
        """Append the text, or upload it."""
        if len(text.text) > rules.LONGEST_LINE:
            self._upload_content(self._place(text), text.text, "txt")
        else:
            field = self._client[self._paths.place("text", text.key)]
            field.append(text.text, step=text.step, timestamp=text.time)

    @stored_as("picture series `image/…`; above 32 MB as file")
    def log_image(self, image: Image) -> None:
        """Append the picture."""
        self._append_picture(image)

    @stored_as("picture series `figure/…`; an interactive one as HTML file")
    def log_figure(self, figure: Figure) -> None:
        """Append a drawn figure, upload a page."""
        if figure.file.path.endswith(".html"):
            self._upload_file(figure)
        else:
            self._append_picture(figure)

    @stored_as("JSON file `files/histogram/…`")
    def log_histogram(self, histogram: Histogram) -> None:
        """Upload its bins."""
        content = {"edges": histogram.edges, "counts": histogram.counts}
        self._upload_content(self._place(histogram), json.dumps(content), "json")

    @stored_as("JSON file `files/table/…`")
    def log_table(self, table: Table) -> None:
        """Upload its file."""
        self._upload_file(table)

    @stored_as("file `files/audio/…`")
    def log_audio(self, audio: Audio) -> None:
        """Upload the sound."""
        self._upload_file(audio)

    @stored_as("file `files/video/…`")
    def log_video(self, video: Video) -> None:
        """Upload the video."""
        self._upload_file(video)

    @stored_as("files `artifacts/<name>/<step>-<time>/…`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Upload its files, with what is said of them beside."""
        version = f"{rules.flat(artifact.name)}/{_moment(artifact)}"
        for file in artifact.files:
            place = self._paths.place(f"artifacts/{version}", file.name)
            self._client[place].upload(str(self._run.path(file)))
        self._assign(f"artifacts_about/{version}", json.dumps(artifact.about))

    def flush(self) -> bool:
        """Wait until the file of operations holds all."""
        self._client.wait(disk_only=True)
        return True

    def finish(self, status: EndStatus) -> None:
        """Set the outcome and close the folder."""
        self._assign("sys/failed", status != "finished")
        self._assign("multitrack/status", status)
        self.flush()
        call_within(CLOSE_TIMEOUT, self._client.stop)
        self._open = None

    def abandon(self) -> None:
        """Close the folder."""
        if self._open:
            with suppress(Exception):
                call_within(CLOSE_TIMEOUT, self._open.stop)
        self._open = None

    def native(self) -> Run:
        """Return Neptune's ``Run``.

        Any thread may log with it. A path has one type for ever: keep to paths of your own.
        """
        return self._client

    def classify(self, error: Exception) -> TrackerError:
        """Start anew where the client has stopped, and wait while the disk is too full."""
        from neptune.exceptions import InactiveContainerException, NeptuneMaxDiskUtilizationExceeded

        if isinstance(error, InactiveContainerException):
            return Restart(f"Neptune's client has ended: {error}")
        if isinstance(error, NeptuneMaxDiskUtilizationExceeded):
            return Retry("the disk is fuller than NEPTUNE_MAX_DISK_USAGE allows")
        return classify_by_default(error)

    # -- how -------------------------------------------------------------------------------

    @property
    def _client(self) -> Run:
        if self._open is None:
            raise Restart("Neptune's client has ended")
        return self._open

    def _start_client(self, project: str) -> Run:
        import neptune

        header = self._run.header
        return neptune.init_run(
            project=project if "/" in project else f"multitrack/{project}",
            mode="offline",
            name=header.name or self._run.run_id,
            description=header.notes,
            source_files=[],
            git_ref=False,
            capture_stdout=False,
            capture_stderr=False,
            capture_hardware_metrics=False,
            capture_traceback=False,
        )

    def _place(self, record: Text | Histogram | Table | Media) -> str:
        """Return the path of a file of one step."""
        kind = type(record).__name__.lower()
        return self._paths.place(f"files/{kind}", f"{record.key}/{_moment(record)}")

    def _assign(self, path: str, value: Scalar) -> None:
        """Assign a value; one of another type takes the old one's place."""
        plain: Any = rules.attribute(value)
        if self._types.get(path, type(plain)) is not type(plain):
            self._client.pop(path)
        self._types[path] = type(plain)
        whole = f"long/{path}"
        if isinstance(plain, str) and len(plain) > rules.LONGEST_STRING:
            self._upload_content(whole, plain, "txt")
            self._long.add(whole)
            plain = plain[: rules.LONGEST_STRING]
        elif whole in self._long:
            self._client.pop(whole)
            self._long.remove(whole)
        self._client[path] = plain

    def _append_picture(self, record: Image | Figure) -> None:
        from neptune.types import File

        if record.file.size > rules.LARGEST_IMAGE:
            self._upload_file(record)
            return
        field = self._client[self._paths.place(type(record).__name__.lower(), record.key)]
        picture = File(str(self._run.path(record.file)))
        field.append(picture, step=record.step, timestamp=record.time, description=record.caption)

    def _upload_file(self, record: Table | Media) -> None:
        path = self._place(record)
        self._client[path].upload(str(self._run.path(record.file)))
        caption = None if isinstance(record, Table) else record.caption
        if caption:
            self._assign(f"captions/{path}", caption)

    def _upload_content(self, path: str, content: str, extension: str) -> None:
        """Upload a text; where its path is too long for the client's name of a file, by ours."""
        from neptune.types import File

        if len(path.encode()) <= rules.LONGEST_PATH:
            self._client[path].upload(File.from_content(content, extension=extension))
            return
        digest = hashlib.sha256(f"{path}\n{content}".encode()).hexdigest()
        kept = self._folder / "upload_path" / f"{digest}.{extension}"
        kept.write_text(content)
        self._client[path].upload(str(kept))


def _moment(record: Stepped) -> str:
    """Return step and time, in microseconds: two of one step are two."""
    return f"{record.step}-{int(record.time * 1_000_000)}"
