"""ClearML: a task on its server, or an offline session that its client imports later."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from multitrack.trackers.access import Access, in_file
from multitrack.trackers.backends import _clearml as told
from multitrack.trackers.backends import _clearml_tasks as tasks
from multitrack.trackers.bounded import call_within
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import read_history
from multitrack.trackers.names import component, flatten
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
    Artifact,
    Audio,
    EndStatus,
    Figure,
    Header,
    Histogram,
    Image,
    Media,
    Metrics,
    Params,
    Summary,
    Table,
    Tags,
    Text,
    Video,
    spell,
)
from multitrack.trackers.settings import Env, LogModel, Settings, switch

START_TIMEOUT = 90.0
"""Seconds that a start may take; the client itself tries a dead server for ever."""
LARGEST_TABLE = 1_000_000
"""Bytes of a table that is drawn; a larger one is stored as a file."""
MODELS = {"checkpoint", "model"}
"""Kinds of artifacts that are ClearML's models."""


class ClearMLSettings(Settings, frozen=True):
    """Where the run goes, and what is said of it."""

    project: Annotated[
        str | None,
        Env("CLEARML_PROJECT", help="Project of a run that names none, instead of `multitrack`."),
    ] = None
    run_name: Annotated[
        str | None,
        Env("CLEARML_TASK", help="Name of a run that has none. Without it: multitrack's id."),
    ] = None
    log_model: Annotated[
        LogModel,
        Env(
            "CLEARML_LOG_MODEL",
            help="Which checkpoints become models; true is all.",
            words=switch("all"),
        ),
    ] = "none"
    task_id: Annotated[
        str | None,
        Env("CLEARML_TASK_ID", client=True, help="ClearML's id of the run, to go on with one."),
    ] = None
    offline: Annotated[
        bool,
        Env("CLEARML_OFFLINE_MODE", client=True, help="Store a session that is imported later."),
    ] = False
    cache_dir: Annotated[
        Path | None,
        Env(
            "CLEARML_CACHE_DIR",
            place="folder",
            client=True,
            help="Sessions are below it, in `offline/`. Without it: ~/.clearml/cache.",
        ),
    ] = None
    output_uri: Annotated[
        str | None,
        Env(
            "CLEARML_DEFAULT_OUTPUT_URI",
            place="files",
            client=True,
            help="Where files go, such as `s3://bucket/folder`. Without it: ClearML's file server.",
        ),
    ] = None
    api_host: Annotated[
        str | None,
        Env("CLEARML_API_HOST", place="address", client=True, help="Address of the server."),
    ] = None
    web_host: Annotated[
        str | None,
        Env("CLEARML_WEB_HOST", place="address", client=True, help="Address of its pages."),
    ] = None
    files_host: Annotated[
        str | None,
        Env("CLEARML_FILES_HOST", place="address", client=True, help="Address of its file server."),
    ] = None
    access_key: Annotated[
        str | None,
        Env("CLEARML_API_ACCESS_KEY", client=True, secret=True, help="Key for the server."),
    ] = None
    secret_key: Annotated[
        str | None,
        Env("CLEARML_API_SECRET_KEY", client=True, secret=True, help="Secret of the key."),
    ] = None
    config_file: Annotated[
        Path | None,
        Env(
            "CLEARML_CONFIG_FILE",
            place="address",
            client=True,
            help="The client's file, for ~/clearml.conf.",
        ),
    ] = None

    def access(self) -> Access:
        """Return the server and where its key is, or the folder of the sessions."""
        if self.offline:
            cache = self.cache_dir or Path("~/.clearml/cache").expanduser()
            return Access(mode="offline", folder=cache)
        file = self.config_file or Path("~/clearml.conf").expanduser()
        return Access(
            mode="online",
            address=self.api_host or tasks.host_in(file) or tasks.HOST,
            key=self.source_of("access_key", "secret_key") or in_file(file, tasks.KEY),
            remedy=tasks.REMEDY,
        )

    @property
    def variables(self) -> dict[str, str]:
        """What tells the client where to go, as its variables."""
        values = {
            "CLEARML_CACHE_DIR": self.cache_dir,
            "CLEARML_API_HOST": self.api_host,
            "CLEARML_WEB_HOST": self.web_host,
            "CLEARML_FILES_HOST": self.files_host,
            "CLEARML_API_ACCESS_KEY": self.access_key,
            "CLEARML_API_SECRET_KEY": self.secret_key,
            "CLEARML_CONFIG_FILE": self.config_file,
        }
        return {name: str(value) for name, value in values.items() if value is not None}


class ClearMLTracker(Tracker):
    """Store one run as a task that is not the process's own: ``Task.init`` is never called.

    So nothing is patched, no thread reports, and a task of the user's goes on beside it.

    Args:
        settings: where the run goes, and what is said of it.
    """

    name: ClassVar[str] = "clearml"
    distributions: ClassVar[tuple[str, ...]] = ("clearml",)
    settings_type: ClassVar[type[Settings]] = ClearMLSettings
    repeat: ClassVar[Repeat] = Repeat.OVERWRITES

    def __init__(self, settings: ClearMLSettings) -> None:
        self._settings = settings
        self._names: dict[str, str] = {}

    def start(self, run: RunInfo) -> Attachment:
        """Create the task, or go on with it."""
        self._run = run
        settings, header = self._settings, run.header
        wanted = tasks.Wanted(
            id=(run.attachment and run.attachment.id) or settings.task_id,
            claimed=run.claimed,
            run_id=run.run_id,
            project=settings.prefer("project", header.project) or "multitrack",
            name=settings.prefer("run_name", header.name) or run.run_id,
            output=settings.output_uri,
        )
        open_task = tasks.OfflineTask if settings.offline else tasks.OnlineTask
        with tasks.client(settings.offline, settings.variables):
            self._task: told.Task = call_within(START_TIMEOUT, open_task, wanted)
        if run.attachment:
            for name in read_history(RunFolder(run.folder)).series:
                self._taken_for(name)
        self._describe(header)
        return Attachment(id=self._task.id, url=self._task.url)

    @stored_as("hyperparameters, section `General`, with their types")
    def log_params(self, params: Params) -> None:
        """Set the leaves of the tree."""
        leaves = flatten(params.values)
        self._task.set_hyperparams([told.hyperparam("General", *leaf) for leaf in leaves])

    @stored_as("tags; those with a value as user properties `tags/…`")
    def set_tags(self, tags: Tags) -> None:
        """Add bare tags, and set those whose value may change."""
        self._task.add_tags([name for name, value in tags.values.items() if not value])
        self._set_properties({f"tags/{n}": value for n, value in tags.values.items() if value})

    @stored_as("scalars, as float64; NaN and all beyond float32's range as plots; epoch as scalar")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Send the points, all of a batch at once."""
        events: list[told.Event] = []
        refused: dict[str, str] = {}
        for point in points:
            epoch = {} if point.epoch is None else {"epoch": point.epoch}
            for name, value in (epoch | point.values).items():
                if other := self._taken_for(name):
                    refused[name] = f"ClearML would take it for {other!r}; give it another name"
                else:
                    events.append(told.scalar(name, float(value), point.step, point.time))
        self._task.send(events)
        if refused:
            raise Refused("some names are others for ClearML", refused)

    @stored_as("single values; what no scalar can be as user properties `summary/…`")
    def log_summary(self, summary: Summary) -> None:
        """Set the values; later ones win."""
        numbers = {n: v for n, v in summary.values.items() if _is_single(v)}
        self._task.send(
            [
                told.Event(
                    "training_stats_scalar",
                    told.SUMMARY,
                    told.with_edges(name),
                    told.SUMMARY_STEP,
                    summary.time,
                    float(value),
                )
                for name, value in numbers.items()
            ]
        )
        others = {n: v for n, v in summary.values.items() if n not in numbers}
        self._set_properties({f"summary/{name}": value for name, value in others.items()})

    @stored_as("debug sample `text`")
    def log_text(self, text: Text) -> None:
        """Upload the text as a file."""
        self._sample_text("text", text, text.text)

    @stored_as("debug sample `image`")
    def log_image(self, image: Image) -> None:
        """Upload the picture."""
        self._keep(image)

    @stored_as("debug sample `figure`: picture or page")
    def log_figure(self, figure: Figure) -> None:
        """Upload the picture or page."""
        self._keep(figure)

    @stored_as("plot `histogram`")
    def log_histogram(self, histogram: Histogram) -> None:
        """Draw the bins that were given."""
        self._task.send([told.bars(histogram)])

    @stored_as("plot `table`; one of more than 1 MB as debug sample")
    def log_table(self, table: Table) -> None:
        """Draw the table, if it is not too large."""
        if table.file.size > LARGEST_TABLE:
            self._keep(table)
            return
        content = json.loads(self._run.path(table.file).read_bytes())
        plot = told.table_plot(content["columns"], content["data"])
        self._task.send([told.Event("plot", "table", table.key, table.step, table.time, plot)])

    @stored_as("debug sample `audio`")
    def log_audio(self, audio: Audio) -> None:
        """Upload the sound."""
        self._keep(audio)

    @stored_as("debug sample `video`")
    def log_video(self, video: Video) -> None:
        """Upload the video."""
        self._keep(video)

    @stored_as("artifact, a folder as zip; checkpoints and models as models, offline as artifacts")
    def log_artifact(self, artifact: Artifact) -> None:
        """Upload its file, or its folder as one archive."""
        with self._content(artifact) as (path, name):
            place = f"{self._task.root}/artifacts/{component(artifact.name)}/{artifact.step}"
            output = self._output(artifact, path, self._task.upload(path, f"{place}/{name}"))
        if artifact.kind in MODELS and self._task.holds_models:
            self._task.add_model(output)
        else:
            self._task.add_artifact(output)

    def flush(self) -> bool:
        """All was stored when it was logged."""
        return True

    def finish(self, status: EndStatus) -> None:
        """Set the outcome."""
        self._set_properties({"multitrack/status": status})
        self._task.end(status)

    def abandon(self) -> None:
        """There is nothing to let go of: no thread, no buffer, no file."""

    def native(self) -> Any:
        """Return ClearML's ``Task``; it is not the current task.

        Any thread may log with ``task.get_logger()``, which sends from threads of its own, every
        few seconds. Never call ``close()`` or ``mark_completed()``.
        """
        return self._task.native()

    def classify(self, error: Exception) -> TrackerError:
        """Tell missing credentials from a server that is away."""
        return tasks.name_error(error)

    # -- helpers ---------------------------------------------------------------------------

    def _describe(self, header: Header) -> None:
        about = {"run_id": self._run.run_id, "host": header.host.hostname, "status": "running"}
        self._set_properties({f"multitrack/{name}": value for name, value in about.items()})
        if header.notes:
            self._task.set_comment(header.notes)

    def _set_properties(self, values: dict[str, Any]) -> None:
        plain = {name: spell(v) if isinstance(v, float) else v for name, v in values.items()}
        items = [told.hyperparam(told.PROPERTIES, *item) for item in plain.items()]
        if items:
            self._task.set_hyperparams(items)

    def _taken_for(self, name: str) -> str | None:
        """Return the other metric that ClearML's server, which joins both by a dash, would see."""
        first = self._names.setdefault("-".join(told.split(name)), name)
        return None if first == name else first

    def _keep(self, record: Media | Table) -> None:
        kind = type(record).__name__.lower()
        self._sample(kind, record, self._run.path(record.file))
        if not isinstance(record, Table) and record.caption:
            self._sample_text(f"{kind} caption", record, record.caption)

    def _sample_text(self, kind: str, record: Text | Media, text: str) -> None:
        with _temporary(".txt") as path:
            path.write_text(text, encoding="utf-8", newline="")
            self._sample(kind, record, path)

    def _sample(self, kind: str, record: Text | Media | Table, path: Path) -> None:
        place = f"{self._task.root}/metrics/{kind}/{component(record.key)}"
        key = f"{place}/{record.step}{path.suffix}"
        self._task.upload(path, key)
        name = told.with_edges(record.key)
        event = told.Event("training_debug_image", kind, name, record.step, record.time, key)
        self._task.send([event])

    @contextmanager
    def _content(self, artifact: Artifact) -> Iterator[tuple[Path, str]]:
        """Give the file to upload, and its name."""
        if not artifact.folder:
            [file] = artifact.files
            yield self._run.path(file), component(file.name)
            return
        with _temporary(".zip") as path:
            with zipfile.ZipFile(path, "w") as packed:
                for file in artifact.files:
                    packed.write(self._run.path(file), file.name)
            yield path, f"{component(artifact.name)}.zip"

    def _output(self, artifact: Artifact, path: Path, uri: str) -> told.Output:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        metadata = {
            n: v if isinstance(v, str) else json.dumps(v) for n, v in artifact.metadata.items()
        }
        return told.Output(
            name=artifact.name,
            uri=uri,
            type="archive" if artifact.folder else "custom",
            size=path.stat().st_size,
            sha256=digest.hexdigest(),
            step=artifact.step,
            time=artifact.time,
            aliases=artifact.aliases,
            about={"kind": artifact.kind} | metadata,
        )


def _is_single(value: Any) -> bool:
    """Tell whether a value is one of ClearML's single values: a scalar that float64 keeps."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and told.is_held(value) and float(value) == value


@contextmanager
def _temporary(suffix: str) -> Iterator[Path]:
    """Give a path in a folder that is there meanwhile."""
    with tempfile.TemporaryDirectory(prefix="multitrack-") as folder:
        yield Path(folder, f"content{suffix}")
