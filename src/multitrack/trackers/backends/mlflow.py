"""MLflow: runs of an experiment, in a database, in a folder, or at a tracking server."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from multitrack.trackers.backends import _mlflow_files as files
from multitrack.trackers.backends import _mlflow_names as names
from multitrack.trackers.backends import _mlflow_store as store
from multitrack.trackers.backends._mlflow_errors import name_error
from multitrack.trackers.names import flatten
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
    Record,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Env, Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run, RunData

PARAM_LIMIT, TAG_LIMIT = 6000, 5000
"""Characters that a value may have; later releases take tags of 8000."""
RUN_ID, TABLES, NOTE = "multitrack.run_id", "mlflow.loggedArtifacts", "mlflow.note.content"
"""Tags with a meaning of their own."""
STATUSES: dict[EndStatus, str] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "killed": "KILLED",
}


class MLflowSettings(Settings, frozen=True):
    """Where the run goes, and what is said of it."""

    tracking_uri: Annotated[
        str | None,
        Env(
            "MLFLOW_TRACKING_URI",
            help="A server, a database or a folder. Without it: `mlflow.db` where the run runs.",
            client=True,
        ),
    ] = None
    experiment_name: Annotated[
        str | None,
        Env(
            "MLFLOW_EXPERIMENT_NAME",
            help="Experiment of a run that names no project; created if there is none.",
            client=True,
            fallbacks=("MULTITRACK_PROJECT",),
        ),
    ] = None
    experiment_id: Annotated[
        str | None,
        Env("MLFLOW_EXPERIMENT_ID", help="An experiment; wins over every name.", client=True),
    ] = None
    run_id: Annotated[
        str | None,
        Env("MLFLOW_RUN_ID", help="MLflow's id of a run to go on with.", client=True),
    ] = None
    nested_run: Annotated[
        bool,
        Env("MLFLOW_NESTED_RUN", help="Make a new run, as a child of the one in MLFLOW_RUN_ID."),
    ] = False
    tags: Annotated[
        dict[str, Any] | None,
        Env("MLFLOW_TAGS", help='More tags of the run, as JSON: `{"team": "vision"}`.'),
    ] = None
    flatten_params: Annotated[
        bool,
        Env(
            "MLFLOW_FLATTEN_PARAMS",
            help="If false, what is nested below a group such as `model` stays one param.",
        ),
    ] = True
    max_log_params: Annotated[
        int | None,
        Env(
            "MLFLOW_MAX_LOG_PARAMS",
            help="Most params of the run; the rest goes into an artifact only.",
        ),
    ] = None
    tracking_token: Annotated[
        str | None,
        Env("MLFLOW_TRACKING_TOKEN", help="Token for the server.", client=True, secret=True),
    ] = None
    tracking_username: Annotated[
        str | None,
        Env("MLFLOW_TRACKING_USERNAME", help="User at the server.", client=True, secret=True),
    ] = None
    tracking_password: Annotated[
        str | None,
        Env("MLFLOW_TRACKING_PASSWORD", help="The user's password.", client=True, secret=True),
    ] = None


class MLflowTracker(Tracker):
    """Store one run through ``MlflowClient`` and the run's id; no run becomes the active one.

    Args:
        settings: where the run goes, and what is said of it.
    """

    name: ClassVar[str] = "mlflow"
    distributions: ClassVar[tuple[str, ...]] = ("mlflow", "mlflow-skinny")
    settings_type: ClassVar[type[Settings]] = MLflowSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING
    batch_size: ClassVar[int] = 1000
    placement: ClassVar[Literal["courier", "trainer"]] = "courier"

    _client: MlflowClient
    _run: RunInfo
    _uri: str
    _id: str
    _latest: int | None = None

    def __init__(self, settings: MLflowSettings) -> None:
        self._settings = settings

    def start(self, run: RunInfo) -> Attachment:
        """Create the run, or find it again, and mark it as running."""
        self._run = run
        self._uri = store.locate(self._settings.tracking_uri, run.header.cwd)
        store.set_defaults(self._uri)
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        info = self._find().info
        self._id = info.run_id
        self._client.update_run(self._id, status="RUNNING")
        if self._settings.tags:
            tags = {name: str(value) for name, value in self._settings.tags.items()}
            self.set_tags(Tags(time=run.header.time, values=tags))
        self._latest = None
        url = store.address(self._uri, info.experiment_id, self._id)
        return Attachment(id=self._id, url=url)

    @stored_as(
        "params, flat; a later value: tag `params/…`; the tree, if one is too long: artifact"
    )
    def log_params(self, params: Params) -> None:
        """Store each leaf as a param once, since MLflow takes no second value for it."""
        refused: dict[str, str] = {}
        flat = flatten if self._settings.flatten_params else names.flatten_groups
        found = names.keys(flat(params.values), refused, names.PARAMS)
        texts = {key.removeprefix(names.PARAMS): str(value) for key, value in found.items()}
        stored = self._client.get_run(self._id).data
        new = self._first({k: text for k, text in texts.items() if k not in stored.params}, stored)
        self._write(params, params=new, tags=_later_values(texts, stored))
        is_whole = texts.keys() <= new.keys() | stored.params.keys()
        if refused or not is_whole or any(len(text) > PARAM_LIMIT for text in texts.values()):
            self._keep(params, "params", params.values)
        _refuse(refused)

    @stored_as("tags; what is too long for one: artifact")
    def set_tags(self, tags: Tags) -> None:
        """Set the tags."""
        refused: dict[str, str] = {}
        self._set_texts(tags, "tags", names.keys(tags.values.items(), refused))
        _refuse(refused)

    @stored_as("metrics, as float64; epoch as metric `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Store the points with their own times, by which MLflow knows a repeated one."""
        refused: dict[str, str] = {}
        metrics: list[Metric] = []
        for point in points:
            epoch = {} if point.epoch is None else {"epoch": point.epoch}
            values = names.keys((epoch | point.values).items(), refused)
            metrics += _metrics(point, values, point.step)
        self._write(points[-1], metrics=metrics)
        _refuse(refused)

    @stored_as("numbers: metrics `summary/…` at step 0; words: tags `summary/…`")
    def log_summary(self, summary: Summary) -> None:
        """Store numbers so that runs can be sorted by them, and words as tags."""
        refused: dict[str, str] = {}
        values = names.keys(summary.values.items(), refused, names.SUMMARY)
        words = {key: value for key, value in values.items() if isinstance(value, str)}
        numbers = {key: value for key, value in values.items() if key not in words}
        self._write(summary, metrics=_metrics(summary, numbers, step=0))
        self._set_texts(summary, "summary", words)
        _refuse(refused)

    @stored_as("artifact `text/<key>/<step>-<time>.txt`")
    def log_text(self, text: Text) -> None:
        """Store a text file."""
        path = f"{files.place('text', text.key, text)}.txt"
        self._upload(text, {path: text.text.encode()})

    @stored_as("artifact under `images/`, shown in the picture grid")
    def log_image(self, image: Image) -> None:
        """Store the picture as it is, and what the grid shows of it."""
        place = files.image_place(image, self._run.run_id)
        views = files.views(self._run.path(image.file))
        self._upload_media(image, place, {place + ending: view for ending, view in views.items()})
        self._write(image, tags={"mlflow.loggedImages": "True"})

    @stored_as("artifact `figures/<key>/<step>-<time>.png` or `.html`")
    def log_figure(self, figure: Figure) -> None:
        """Store the figure's file."""
        self._upload_media(figure, files.place("figures", figure.key, figure))

    @stored_as("artifact `histograms/<key>/<step>-<time>.json`")
    def log_histogram(self, histogram: Histogram) -> None:
        """Store edges, counts and sums."""
        content = {
            "edges": histogram.edges,
            "counts": histogram.counts,
            "total": histogram.total,
            "squares": histogram.squares,
        }
        path = f"{files.place('histograms', histogram.key, histogram)}.json"
        self._upload(histogram, {path: msgspec.json.encode(content)})

    @stored_as("artifact `tables/<key>/<step>-<time>.json`, which `mlflow.load_table` reads")
    def log_table(self, table: Table) -> None:
        """Store the table, and name it in the tag by which MLflow finds tables."""
        path = f"{files.place('tables', table.key, table)}.json"
        self._upload(table, {path: self._run.path(table.file)})
        entry = {"path": path, "type": "table"}
        listed = json.loads(self._client.get_run(self._id).data.tags.get(TABLES, "[]"))
        listed = [*(other for other in listed if other != entry), entry]
        while len(json.dumps(listed)) > TAG_LIMIT:
            del listed[0]
        self._write(table, tags={TABLES: json.dumps(listed)})

    @stored_as("artifact `audio/<key>/<step>-<time>.<format>`")
    def log_audio(self, audio: Audio) -> None:
        """Store the sound's file."""
        self._upload_media(audio, files.place("audio", audio.key, audio))

    @stored_as("artifact `video/<key>/<step>-<time>.<format>`")
    def log_video(self, video: Video) -> None:
        """Store the video's file."""
        self._upload_media(video, files.place("video", video.key, video))

    @stored_as("artifact `artifacts/<name>/<step>-<time>/…`; kind, aliases and metadata as JSON")
    def log_artifact(self, artifact: Artifact) -> None:
        """Store the files, and beside their folder what is known of them."""
        place = files.place("artifacts", artifact.name, artifact)
        about = {
            "kind": artifact.kind,
            "step": artifact.step,
            "aliases": artifact.aliases,
            "metadata": artifact.metadata,
        }
        contents: dict[str, files.Content] = {f"{place}.json": msgspec.json.encode(about)}
        for file in artifact.files:
            contents[f"{place}/{names.path(file.name)}"] = self._run.path(file)
        self._upload(artifact, contents)

    def flush(self) -> bool:
        """Every call has been answered."""
        return True

    def finish(self, status: EndStatus) -> None:
        """Set the outcome; the run ends at the time of its last record."""
        self._client.set_terminated(self._id, STATUSES[status], end_time=self._latest)

    def abandon(self) -> None:
        """Leave everything as it is: the client holds nothing open."""

    def classify(self, error: Exception) -> TrackerError:
        """Tell an outage from missing rights, and both from what MLflow cannot take."""
        return name_error(error)

    # -- the run -----------------------------------------------------------------------------

    def _find(self) -> Run:
        if self._run.attachment and self._run.attachment.id:
            return self._client.get_run(self._run.attachment.id)
        if self._settings.run_id and not self._settings.nested_run:
            return self._client.get_run(self._settings.run_id)
        experiment_id = self._experiment_id(self._run.header)
        mine = f"tags.`{RUN_ID}` = '{self._run.run_id}'"  # made by a courier that died at once
        created = self._client.search_runs([experiment_id], mine, max_results=1)
        return created[0] if created else self._create(experiment_id)

    def _experiment_id(self, header: Header) -> str:
        """Return the experiment's id; it is the client's own default if nothing names one."""
        if self._settings.experiment_id:
            return self._settings.experiment_id
        name = header.project or self._settings.experiment_name or "Default"
        if found := self._client.get_experiment_by_name(name):
            return found.experiment_id
        try:
            return self._client.create_experiment(name, self._artifact_location(name))
        except Exception:
            if found := self._client.get_experiment_by_name(name):  # another run was faster
                return found.experiment_id
            raise

    def _artifact_location(self, experiment: str) -> str | None:
        """Return where the client puts artifacts that no server takes: below the run's folder."""
        if not store.is_database(self._uri):
            return None
        return str(Path(self._run.header.cwd, "mlruns", names.path(experiment)))

    def _create(self, experiment_id: str) -> Run:
        header = self._run.header
        tags = _provenance(header)
        if self._settings.nested_run and self._settings.run_id:
            tags["mlflow.parentRunId"] = self._settings.run_id
        created = self._client.create_run(
            experiment_id,
            start_time=files.milliseconds(header),
            tags=tags,
            run_name=header.name or header.run_id,
        )
        self._id = created.info.run_id
        if header.notes:
            self._set_texts(header, "notes", {NOTE: header.notes})
        return created

    def _first(self, new: dict[str, str], stored: RunData) -> dict[str, str]:
        """Return those of the new params for which the user's limit leaves room."""
        limit = self._settings.max_log_params
        if limit is None:
            return new
        return dict(islice(new.items(), max(0, limit - len(stored.params))))

    # -- writing -------------------------------------------------------------------------------

    def _set_texts(self, record: Record, folder: str, texts: Mapping[str, str]) -> None:
        self._write(record, tags=texts)
        if any(len(text) > TAG_LIMIT for text in texts.values()):
            self._keep(record, folder, texts)

    def _keep(self, record: Record, folder: str, values: Mapping[str, Any]) -> None:
        """Keep what does not fit as an artifact, whole."""
        path = f"{folder}/{files.microseconds(record)}.json"
        self._upload(record, {path: msgspec.json.encode(values)})

    def _write(
        self,
        record: Record,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write in as few calls as the client can; repeating one changes nothing."""
        from mlflow.entities import Param, RunTag

        self._client.log_batch(
            self._id,
            metrics=metrics,
            params=[Param(k, _shorten(v, PARAM_LIMIT)) for k, v in (params or {}).items()],
            tags=[RunTag(k, _shorten(v, TAG_LIMIT)) for k, v in (tags or {}).items()],
            synchronous=True,
        )
        self._latest = files.milliseconds(record)

    def _upload_media(
        self, record: Media, place: str, views: Mapping[str, files.Content] | None = None
    ) -> None:
        """Store a file under its own suffix, and beside it what is known of it."""
        source = self._run.path(record.file)
        contents: dict[str, files.Content] = {f"{place}{source.suffix}": source, **(views or {})}
        about = {"caption": record.caption, "sample_rate": getattr(record, "sample_rate", None)}
        if known := {name: value for name, value in about.items() if value is not None}:
            contents[f"{place}.json"] = msgspec.json.encode(known)
        self._upload(record, contents)

    def _upload(self, record: Record, contents: Mapping[str, files.Content]) -> None:
        files.upload(self._client, self._id, contents)
        self._latest = files.milliseconds(record)


def _metrics(record: Record, values: Mapping[str, Any], step: int) -> list[Metric]:
    from mlflow.entities import Metric

    time = files.milliseconds(record)
    return [Metric(key, float(value), time, step) for key, value in values.items()]


def _later_values(texts: Mapping[str, str], stored: RunData) -> dict[str, str]:
    """Return tags for the params that have another value now than at first, or had one."""
    return {
        names.PARAMS + key: text
        for key, text in texts.items()
        if key in stored.params
        and (_shorten(text, PARAM_LIMIT) != stored.params[key] or names.PARAMS + key in stored.tags)
    }


def _refuse(refused: dict[str, str]) -> None:
    if refused:
        raise Refused("MLflow cannot hold some of the names", parts=refused)


def _shorten(text: str, limit: int) -> str:
    """Return a text that fits, with a mark that tells what is missing."""
    if len(text) <= limit:
        return text
    mark = f" … [{len(text)} characters in all: see the artifacts]"
    return text[: limit - len(mark)] + mark


def _provenance(header: Header) -> dict[str, str]:
    """Return the tags in which MLflow looks for a run's origin, and our own id."""
    tags = {RUN_ID: header.run_id, "mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if header.command:
        scripts = [word for word in header.command if word.endswith((".py", ".ipynb"))]
        tags["mlflow.source.name"] = (scripts or header.command)[0]
    if header.git:
        tags["mlflow.source.git.commit"] = header.git.commit
    if header.git and header.git.branch:
        tags["mlflow.source.git.branch"] = header.git.branch
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
