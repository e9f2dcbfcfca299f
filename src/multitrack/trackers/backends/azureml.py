"""Azure ML: the run of a submitted job; more runs of one job become its children."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from multitrack.trackers.access import Access
from multitrack.trackers.backends import _azureml as client
from multitrack.trackers.backends._config import RunConfig
from multitrack.trackers.backends._layout import Content, laid_out, size_of
from multitrack.trackers.protocol import (
    Attachment,
    Refused,
    Repeat,
    Restart,
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
    Number,
    Params,
    Stepped,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Env, Settings, variables

if TYPE_CHECKING:
    from azureml.core import Run

MOST_WAITING, FLUSH_TIMEOUT = 5000, 60
"""Points that are sent at once, and seconds that the service gets to take them."""
UPLOAD_TIMEOUT, SLOWEST = 300, 100_000
"""Seconds that an upload gets, and bytes a second of the slowest, which gets more."""


class AzureMLSettings(Settings, frozen=True):
    """Where the job runs: Azure ML sets all of these in it."""

    run_id: Annotated[str | None, Env("AZUREML_RUN_ID", client=True, help="The job's run.")] = None
    run_token: Annotated[
        str | None,
        Env("AZUREML_RUN_TOKEN", client=True, secret=True, help="The job's token."),
    ] = None
    service_endpoint: Annotated[
        str | None,
        Env(
            "AZUREML_SERVICE_ENDPOINT", place="address", client=True, help="Address of the service."
        ),
    ] = None
    discovery_endpoint: Annotated[
        str | None,
        Env(
            "AZUREML_DISCOVERY_SERVICE_ENDPOINT",
            place="address",
            client=True,
            help="Address that names the service's parts. Without it: asked of the service.",
        ),
    ] = None
    subscription: Annotated[
        str | None, Env("AZUREML_ARM_SUBSCRIPTION", client=True, help="Subscription.")
    ] = None
    resource_group: Annotated[
        str | None, Env("AZUREML_ARM_RESOURCEGROUP", client=True, help="Resource group.")
    ] = None
    workspace: Annotated[
        str | None, Env("AZUREML_ARM_WORKSPACE_NAME", client=True, help="Workspace.")
    ] = None
    workspace_id: Annotated[
        str | None, Env("AZUREML_WORKSPACE_ID", client=True, help="Id of the workspace.")
    ] = None
    experiment: Annotated[
        str | None, Env("AZUREML_ARM_PROJECT_NAME", client=True, help="The job's experiment.")
    ] = None
    experiment_id: Annotated[
        str | None, Env("AZUREML_EXPERIMENT_ID", client=True, help="Id of the experiment.")
    ] = None

    def access(self) -> Access:
        """Return the service and where its token is, in a job."""
        mode = "in a job" if self.run_id else "no job"
        key = self.source_of("run_token")
        return Access(mode=mode, address=self.service_endpoint, key=key, remedy=client.REMEDY)


class AzureMLTracker(Tracker):
    """Store one run in the run of the job, or in a child of it if that holds another one.

    Files of a run cannot be replaced at the service, so that each is stored under a path of its
    own: step and time of the delivery, in microseconds.

    Args:
        settings: where the job runs.
    """

    name: ClassVar[str] = "azureml"
    distributions: ClassVar[tuple[str, ...]] = ("azureml-core",)
    settings_type: ClassVar[type[Settings]] = AzureMLSettings
    repeat: ClassVar[Repeat] = Repeat.DUPLICATES

    _azure: Run
    _config: RunConfig

    def __init__(self, settings: AzureMLSettings) -> None:
        self._settings = settings
        self._watch = ExitStack()
        self._names: set[str] = set()
        self._is_child = self._has_news = False
        self._waiting = 0
        self._refusal: Refused | None = None

    def start(self, run: RunInfo) -> Attachment:
        """Find the run of the job, or make a child of it, and mark it as running."""
        self._run = run
        self._azure = self._find(run)
        self._watch.callback(client.stop_timers, self._azure)
        self._failures = self._watch.enter_context(client.watched(self._azure))
        self._config = RunConfig(run)
        self._describe(run.header)
        return Attachment(id=self._azure.id, url=self._azure.get_portal_url())

    @stored_as("`multitrack/run/<time>.json`, as one tree")
    def log_params(self, params: Params) -> None:
        """Add to the tree: a run takes no more than 50 tags and 50 properties."""
        self._config.add_params(params.values)
        self._has_news = True

    @stored_as("tags; what is too long or one too many, in `multitrack/run/<time>.json`")
    def set_tags(self, tags: Tags) -> None:
        """Set as many tags as a run can have, and keep all."""
        self._config.add("tags", tags.values)
        self._has_news = True
        self._azure.set_tags(client.shown_tags(tags.values, self._azure.tags))

    @stored_as("metrics, as float64; epoch as metric `epoch`, NaN and infinities as text")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Log the points."""
        for point in points:
            epoch = {} if point.epoch is None else {"epoch": point.epoch}
            for name, value in (epoch | point.values).items():
                if not isinstance(value, str):
                    self._log(name, value, step=point.step)

    @stored_as("`multitrack/run/<time>.json`; numbers as metrics `summary/…`, too")
    def log_summary(self, summary: Summary) -> None:
        """Keep the values as they are, and show the numbers."""
        self._config.add("summary", summary.values)
        self._has_news = True
        for name, value in summary.values.items():
            if not isinstance(value, str):
                self._log(name, value, under=client.SUMMARY)

    @stored_as("file `text/<key>/<step>-<time>.txt`")
    def log_text(self, text: Text) -> None:
        """Store a text file."""
        self._upload({f"{self._place(text, text.key)}.txt": text.text.encode()})

    @stored_as("file `image/<key>/<step>-<time>.<format>`")
    def log_image(self, image: Image) -> None:
        """Store the picture's file."""
        self._keep(image)

    @stored_as("file `figure/<key>/<step>-<time>.png` or `.html`")
    def log_figure(self, figure: Figure) -> None:
        """Store the figure's file."""
        self._keep(figure)

    @stored_as("file `histogram/<key>/<step>-<time>.json`")
    def log_histogram(self, histogram: Histogram) -> None:
        """Store edges, counts and sums."""
        content = {
            "edges": histogram.edges,
            "counts": histogram.counts,
            "total": histogram.total,
            "squares": histogram.squares,
        }
        place = self._place(histogram, histogram.key)
        self._upload({f"{place}.json": msgspec.json.encode(content)})

    @stored_as("file `table/<key>/<step>-<time>.json`")
    def log_table(self, table: Table) -> None:
        """Store the table's file: the service's tables have 15 columns."""
        self._upload({f"{self._place(table, table.key)}.json": self._run.path(table.file)})

    @stored_as("file `audio/<key>/<step>-<time>.<format>`")
    def log_audio(self, audio: Audio) -> None:
        """Store the sound's file."""
        self._keep(audio)

    @stored_as("file `video/<key>/<step>-<time>.<format>`")
    def log_video(self, video: Video) -> None:
        """Store the video's file."""
        self._keep(video)

    @stored_as("files `artifact/<name>/<step>-<time>/…`; kind, aliases and metadata as JSON")
    def log_artifact(self, artifact: Artifact) -> None:
        """Store the files, and beside their folder what is known of them."""
        place = self._place(artifact, artifact.name)
        files = {f"{place}/{client.path(f.name)}": self._run.path(f) for f in artifact.files}
        self._upload({f"{place}.json": msgspec.json.encode(artifact.about), **files})

    def flush(self) -> bool:
        """Wait until the service has all; it names the metrics that it did not take."""
        if self._has_news:
            path = f"multitrack/run/{_now()}.json"
            self._upload({path: msgspec.json.encode(self._config.tree)})
            self._has_news = False
        self._await_answers()
        refusal, self._refusal = self._refusal, None
        if refusal:
            raise refusal
        self._failures.check()
        return True

    def finish(self, status: EndStatus) -> None:
        """Set the outcome as tag; the status of a job's own run is the service's."""
        self._azure.tag(f"{client.OURS}status", status)
        self._config.end(status)
        self._has_news = True
        self.flush()
        if self._is_child:
            self._end_child(status)
        self._watch.close()

    def abandon(self) -> None:
        """Let go of the client."""
        self._watch.close()

    def native(self) -> Run:
        """Return Azure ML's ``Run``.

        Any thread may log with it. Never call ``complete()``: Azure ML ends the job's run.
        """
        return self._azure

    def classify(self, error: Exception) -> TrackerError:
        """Tell a token that no longer counts from a service that is away."""
        return client.name_error(error)

    # -- starting --------------------------------------------------------------------------

    def _find(self, run: RunInfo) -> Run:
        """Return the run of the job, if it is free or ours; else a child of it."""
        own = client.job_run(self._environment())
        known = run.attachment.id if run.attachment else client.claimed(own, run)
        owner = own.get_properties().get(client.RUN_ID)
        if owner is None and known is None:
            owner = client.claim(own, run.run_id)
        return own if owner == run.run_id else self._find_other(own, run, known)

    def _find_other(self, own: Run, run: RunInfo, known: str | None) -> Run:
        """Return the run that was delivered to before, even an earlier job's; else a child."""
        child = f"{own.id}_{run.run_id}"
        self._is_child = known is None or known.endswith(f"_{run.run_id}")
        if known is None:
            return own.child_run(name=run.header.name, run_id=child)
        found = client.attached(own, known)
        if self._is_child:
            found.start()
        return found

    def _environment(self) -> Mapping[str, str | None]:
        """Return the settings that were given or saved as the variables that the client reads."""
        return {
            variable.env.name: value
            for variable in variables(type(self._settings))
            if (value := getattr(self._settings, variable.field)) is not None
        }

    def _describe(self, header: Header) -> None:
        self._azure.tag(f"{client.OURS}status", "running")
        if header.name:
            self._azure.display_name = client.cut(header.name, client.LONGEST_NAME)
        if header.notes:
            self._azure.description = client.cut(header.notes, client.LONGEST_NOTES)

    def _end_child(self, status: EndStatus) -> None:
        if status == "finished":
            self._azure.complete()
        else:
            self._azure.fail(error_details=f"the run {status}")

    # -- logging ---------------------------------------------------------------------------

    def _log(self, name: str, value: Number, under: str = "", step: int | None = None) -> None:
        """Hand a point to the client, which sends it later; no more at once than get through."""
        stored, number = client.metric(name, value)
        self._azure.log(self._name(under + stored), number, step=step)
        self._waiting += 1
        if self._waiting >= MOST_WAITING:
            self._await_answers()

    def _await_answers(self) -> None:
        """Wait until the service has answered to all points; `flush` tells what it refused.

        Raises:
            Restart: it did not answer to some, or takes the token no longer; the client has
                forgotten those.
        """
        self._waiting = 0
        try:
            self._azure.flush(timeout_seconds=FLUSH_TIMEOUT)
        except Exception as error:
            answer = client.name_error(error)
            if not client.is_final(error):
                raise Restart(f"Azure ML has not taken all points: {answer.reason}") from error
            self._refusal = Refused(answer.reason)
        client.forget_points(self._azure)

    def _name(self, name: str) -> str:
        """Return a name that the service takes, and keep the whole of one that was cut."""
        short, digest = client.shorten(name)
        if digest and digest not in self._names:
            self._names.add(digest)
            self._upload({f"multitrack/names/{digest}-{_now()}.txt": name.encode()})
        return short

    def _place(self, record: Stepped, key: str) -> str:
        """Return a path, without suffix, that no other delivery has."""
        kind = type(record).__name__.lower()
        return f"{kind}/{client.path(key)}/{record.step}-{_now()}"

    def _keep(self, record: Media) -> None:
        """Store a file under its own suffix, and beside it what is known of it."""
        source, place = self._run.path(record.file), self._place(record, record.key)
        contents: dict[str, Content] = {f"{place}{source.suffix}": source}
        about = {"caption": record.caption, "sample_rate": getattr(record, "sample_rate", None)}
        if known := {name: value for name, value in about.items() if value is not None}:
            contents[f"{place}.json"] = msgspec.json.encode(known)
        self._upload(contents)

    def _upload(self, contents: Mapping[str, Content]) -> None:
        seconds = UPLOAD_TIMEOUT + sum(map(size_of, contents.values())) // SLOWEST
        with laid_out(contents) as folder:
            paths = [str(Path(folder, name)) for name in contents]
            answers: Any = self._azure.upload_files(list(contents), paths, timeout_seconds=seconds)
            list(answers)  # which raises what a worker of the client could not upload


def _now() -> int:
    """Return microseconds, which no two files of a run share."""
    return time.time_ns() // 1000
