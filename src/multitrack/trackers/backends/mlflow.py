"""MLflow: runs of an experiment, in a database, in a folder, or at a tracking server."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec

from multitrack.trackers.backends import _mlflow_files as files
from multitrack.trackers.backends import _mlflow_names as names
from multitrack.trackers.backends import _mlflow_store as store
from multitrack.trackers.backends._layout import Content
from multitrack.trackers.backends._mlflow_errors import name_error, stands_already
from multitrack.trackers.backends._mlflow_run import find_run
from multitrack.trackers.backends._mlflow_settings import MLflowSettings
from multitrack.trackers.beneath import beneath
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
from multitrack.trackers.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunData

TABLES, IMAGES = "mlflow.loggedArtifacts", "mlflow.loggedImages"
"""Tags by which MLflow knows that a run has tables and pictures."""
STATUSES: dict[EndStatus, str] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "killed": "KILLED",
}


class ClientAndRun(NamedTuple):
    """What logs to the run by hand.

    Attributes:
        client: knows the tracking server or store.
        run_id: MLflow's id of the run.
    """

    client: MlflowClient
    run_id: str


class MLflowTracker(Tracker):
    """Store one run through ``MlflowClient`` and the run's id; no run becomes the active one.

    Args:
        settings: where the run goes, and what is said of it.
    """

    name: ClassVar[str] = "mlflow"
    distributions: ClassVar[tuple[str, ...]] = ("mlflow", "mlflow-skinny")
    settings_type: ClassVar[type[Settings]] = MLflowSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING

    _client: MlflowClient
    _run: RunInfo
    _id: str
    _artifacts: Path | None = None
    _latest: int | None = None

    def __init__(self, settings: MLflowSettings) -> None:
        self._settings = settings

    def start(self, run: RunInfo) -> Attachment:
        """Create the run, or find it again, and mark it as running."""
        self._run = run
        uri = store.locate_for(self._settings.tracking_uri, run)
        store.set_defaults(uri)
        from mlflow import MlflowClient

        with store.alone_in_store(uri), store.made_in(run):
            self._client = MlflowClient(tracking_uri=uri)
            info = find_run(self._client, uri, run, self._settings).info
        self._id = info.run_id
        self._artifacts = files.local_root(info.artifact_uri)
        if run.is_foreign and not self._settings.tracking_uri:
            files.see_that_it_stays(info.artifact_uri, run.directory)
        if not (run.is_unsure and info.status in STATUSES.values()):
            self._client.update_run(self._id, status="RUNNING")
        self._describe(run.header)
        self._latest = None
        return Attachment(id=self._id, url=store.address(uri, info.experiment_id, self._id))

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
        if refused or not is_whole or any(len(text) > names.PARAM_LIMIT for text in texts.values()):
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
        self._write_points(points[-1], metrics)
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
        self._write(image, tags={IMAGES: "True"})

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
        while len(json.dumps(listed)) > names.TAG_LIMIT:
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
        about = {**artifact.about, "step": artifact.step}
        contents: dict[str, Content] = {f"{place}.json": msgspec.json.encode(about)}
        for file in artifact.files:
            contents[f"{place}/{names.file_path(file.name)}"] = self._run.path(file)
        self._upload(artifact, contents)

    def flush(self) -> bool:
        """Every call has been answered."""
        return True

    def finish(self, status: EndStatus) -> None:
        """Set the outcome; the run ends at the time of its last record."""
        self._client.set_terminated(self._id, STATUSES[status], end_time=self._latest)

    def abandon(self) -> None:
        """Leave everything as it is: the client holds nothing open."""

    def native(self) -> ClientAndRun:
        """Return a pair: the ``MlflowClient``, as ``client``, and MLflow's ``run_id``.

        Any thread may log with it. For ``mlflow.log_metric`` and its like, call
        ``mlflow.set_tracking_uri(client.tracking_uri)`` once, and give them ``run_id=run_id``.
        Without ``mlflow.start_run``: MLflow would show the run as finished at the program's end,
        whatever became of it. A param has one value for ever.
        """
        return ClientAndRun(self._client, self._id)

    def classify(self, error: Exception) -> TrackerError:
        """Tell an outage from missing rights, and both from what MLflow cannot take."""
        return name_error(error)

    # -- parts of the above ------------------------------------------------------------------

    def _describe(self, header: Header) -> None:
        """Store what the user says of the run beside its records."""
        if header.notes and len(header.notes) > names.TAG_LIMIT:
            self._keep(header, "notes", {"notes": header.notes})
        if self._settings.tags:
            texts = {name: str(value) for name, value in self._settings.tags.items()}
            self.set_tags(Tags(time=header.time, values=texts))

    def _first(self, new: dict[str, str], stored: RunData) -> dict[str, str]:
        """Return those of the new params for which the user's limit leaves room."""
        limit = self._settings.max_log_params
        if limit is None:
            return new
        return dict(islice(new.items(), max(0, limit - len(stored.params))))

    # -- writing -------------------------------------------------------------------------------

    def _set_texts(self, record: Record, folder: str, texts: Mapping[str, str]) -> None:
        self._write(record, tags=texts)
        if any(len(text) > names.TAG_LIMIT for text in texts.values()):
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
            params=[
                Param(k, names.shorten(v, names.PARAM_LIMIT)) for k, v in (params or {}).items()
            ],
            tags=[RunTag(k, names.shorten(v, names.TAG_LIMIT)) for k, v in (tags or {}).items()],
            synchronous=True,
        )
        self._latest = files.milliseconds(record)

    def _write_points(self, record: Record, metrics: Sequence[Metric]) -> None:
        """Write points; before MLflow 3.16, a NaN that stands there already is an error."""
        try:
            self._write(record, metrics=metrics)
        except Exception as error:
            lost = [[metric] for metric in metrics if math.isnan(metric.value)]
            if not lost or not stands_already(error):
                raise
            if len(metrics) > 1:
                for part in ([m for m in metrics if not math.isnan(m.value)], *lost):
                    self._write_points(record, part)

    def _upload_media(
        self, record: Media, place: str, views: Mapping[str, Content] | None = None
    ) -> None:
        """Store a file under its own suffix, and beside it what is known of it."""
        source = self._run.path(record.file)
        contents: dict[str, Content] = {f"{place}{source.suffix}": source, **(views or {})}
        about = {"caption": record.caption, "sample_rate": getattr(record, "sample_rate", None)}
        if known := {name: value for name, value in about.items() if value is not None}:
            contents[f"{place}.json"] = msgspec.json.encode(known)
        self._upload(record, contents)

    def _upload(self, record: Record, contents: Mapping[str, Content]) -> None:
        if self._artifacts:
            for path in contents:
                beneath(self._artifacts, path)
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
        and (
            names.shorten(text, names.PARAM_LIMIT) != stored.params[key]
            or names.PARAMS + key in stored.tags
        )
    }


def _refuse(refused: dict[str, str]) -> None:
    if refused:
        raise Refused("MLflow cannot hold some of the names", parts=refused)
