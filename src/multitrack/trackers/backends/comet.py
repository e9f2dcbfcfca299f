"""Comet: online, or offline in archives that ``comet upload`` sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from multitrack.trackers.access import Access, in_file
from multitrack.trackers.backends import _comet as client
from multitrack.trackers.backends._sessions import sessions_of
from multitrack.trackers.beneath import remove
from multitrack.trackers.bounded import call_within
from multitrack.trackers.names import component, flatten
from multitrack.trackers.protocol import (
    Attachment,
    Refused,
    Repeat,
    Restart,
    Retry,
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
    Scalar,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
    spell,
)
from multitrack.trackers.settings import Env, LogModel, Settings, switch

if TYPE_CHECKING:
    from comet_ml import CometExperiment

START_TIMEOUT = 60.0
"""Seconds that a start may take; the client itself tries a dead server for 30."""
FLUSH_TIMEOUT = 60
"""Seconds that the server gets to take what was logged since the last acknowledgement."""
CLOSE_TIMEOUT = 10.0
"""Seconds that a client that is abandoned gets; it takes one at least."""
FILMS = {".mp4", ".mov", ".wmv", ".gif"}


class CometSettings(Settings, frozen=True):
    """Where the run goes, and what is said of it."""

    project: Annotated[
        str | None,
        Env(
            "COMET_PROJECT_NAME",
            client=True,
            help="Project of a run that names none.",
        ),
    ] = None
    workspace: Annotated[
        str | None,
        Env("COMET_WORKSPACE", client=True, help="User or team that owns the project."),
    ] = None
    run_name: Annotated[
        str | None,
        Env(
            "COMET_START_EXPERIMENT_NAME",
            client=True,
            help="Name of a run that has none.",
            fallbacks=("COMET_EXPERIMENT_NAME",),
        ),
    ] = None
    tags: Annotated[
        list[str] | None,
        Env("COMET_START_EXPERIMENT_TAGS", client=True, help="More tags of the run."),
    ] = None
    experiment_key: Annotated[
        str | None,
        Env(
            "COMET_EXPERIMENT_KEY",
            client=True,
            help="Comet's key of the run, of 32 to 50 letters and digits, to go on with one. "
            "Without it: a digest of multitrack's id.",
        ),
    ] = None
    mode: Annotated[
        Literal["get_or_create", "create", "get"],
        Env(
            "COMET_MODE",
            help="Whether an experiment of this key must be new, or must be there.",
            fallbacks=("COMET_START_MODE",),
        ),
    ] = "get_or_create"
    online: Annotated[
        bool,
        Env(
            "COMET_START_ONLINE",
            client=True,
            help="`false` stores archives for `comet upload`.",
        ),
    ] = True
    offline_directory: Annotated[
        Path | None,
        Env(
            "COMET_OFFLINE_DIRECTORY",
            place="folder",
            client=True,
            help="Where archives go. Without it: .cometml-runs/ where the run runs.",
        ),
    ] = None
    api_key: Annotated[
        str | None, Env("COMET_API_KEY", client=True, secret=True, help="Key for the server.")
    ] = None
    url: Annotated[
        str | None,
        Env("COMET_URL_OVERRIDE", place="address", client=True, help="Address of the server."),
    ] = None
    log_model: Annotated[
        LogModel,
        Env(
            "COMET_LOG_ASSETS",
            help="Which checkpoints become artifacts; true is all.",
            words=switch("all"),
        ),
    ] = "none"

    def access(self) -> Access:
        """Return the server and where its key is, or the folder of the archives."""
        if not self.online:
            return Access(mode="offline", folder=self.offline_directory or Path())
        places = (Path.cwd(), Path.home())
        kept = [in_file(place / ".comet.config", r"(?m)^\s*api_key\s*=") for place in places]
        key = self.source_of("api_key") or next(filter(None, kept), None)
        return Access(mode="online", address=self.url or client.HOST, key=key, remedy=client.LOGIN)


class CometTracker(Tracker):
    """Store one run through its own ``Experiment`` object, which is no global experiment.

    Online, `flush` waits until the server has taken all. Offline, the client writes its archive
    at its end; a session that ended without that comes again as a whole, and what it left is
    removed first. Points carry the time of their delivery, since the client takes none.

    It says only in its log what it could not send, so that is watched.

    Args:
        settings: where the run goes, and what is said of it.
    """

    name: ClassVar[str] = "comet"
    distributions: ClassVar[tuple[str, ...]] = ("comet-ml",)
    settings_type: ClassVar[type[Settings]] = CometSettings
    repeat: ClassVar[Repeat] = Repeat.DUPLICATES

    def __init__(self, settings: CometSettings) -> None:
        self._settings = settings
        self._open: CometExperiment | None = None
        self._watch = ExitStack()
        self._shortened: set[str] = set()

    def start(self, run: RunInfo) -> Attachment:
        """Create the experiment, or go on with it."""
        self._run = run
        sessions = sessions_of(run, self.name)
        if sessions.dead and not self._settings.online:
            _remove(sessions.dead)
        self._archives = self._settings.offline_directory or run.default(".cometml-runs")
        key = (run.attachment and run.attachment.id) or self._settings.experiment_key
        key = key or hashlib.sha256(run.run_id.encode()).hexdigest()[:40]
        before = set(self._archives.glob(f"{key}*.zip"))
        mode = "get_or_create" if run.attachment else self._settings.mode
        self._open = self._start_client(key, mode)
        if not self._open.alive:
            raise Retry("Comet's server does not answer")
        self._failures = self._watch.enter_context(client.watched())
        self._describe(run.header)
        made = [str(path) for path in set(self._archives.glob(f"{key}*.zip")) - before]
        return Attachment(
            id=key,
            url=self._open.url if self._settings.online else f"comet upload {made[0]}",
            state=sessions.opened(archives=made, scratch=self._open.tmpdir),
        )

    @stored_as("hyperparameters, flat; a long value as asset, too")
    def log_params(self, params: Params) -> None:
        """Log the leaves of the tree; lists as JSON."""
        for name, value in flatten(params.values):
            plain = value if isinstance(value, int | float | str) else json.dumps(value)
            self._experiment.log_parameter(self._name(name), plain)
            if isinstance(plain, str) and len(plain) > client.LONGEST_VALUE:
                self._attach(plain.encode(), f"params/{name}.txt", {"param": name})

    @stored_as("tags; those with a value as others, as `tags/…`")
    def set_tags(self, tags: Tags) -> None:
        """Add bare tags; Comet takes none back, so that a value would stay beside a later one."""
        self._experiment.add_tags([name for name, value in tags.values.items() if not value])
        for name, value in tags.values.items():
            if value:
                self._other(f"tags/{name}", value)

    @stored_as("metrics")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Log one row a point."""
        for point in points:
            self._experiment.curr_epoch = None  # the client would repeat the last one
            row = {
                self._name(name): int(value) if isinstance(value, bool) else value
                for name, value in point.values.items()
            }
            epoch: Any = point.epoch  # which need not be whole
            self._experiment.log_metrics(row, step=point.step, epoch=epoch)

    @stored_as("others, as `summary/…`")
    def log_summary(self, summary: Summary) -> None:
        """Log the values; later ones win."""
        for name, value in summary.values.items():
            self._other(f"summary/{name}", value)

    @stored_as("text sample")
    def log_text(self, text: Text) -> None:
        """Log the text, with its name as metadata."""
        about = {"key": text.key}
        self._check(self._experiment.log_text(text.text, step=text.step, metadata=about))

    @stored_as("graphics")
    def log_image(self, image: Image) -> None:
        """Log the picture's file."""
        self._log_picture(image)

    @stored_as("graphics; an interactive one as HTML asset")
    def log_figure(self, figure: Figure) -> None:
        """Log a drawn figure as picture, a page as file."""
        if figure.file.path.endswith(".html"):
            self._keep(figure)
        else:
            self._log_picture(figure)

    @stored_as("JSON asset `histogram/…`")
    def log_histogram(self, histogram: Histogram) -> None:
        """Attach its bins: Comet's own histograms choose theirs."""
        content = {"edges": histogram.edges, "counts": histogram.counts}
        name = f"histogram/{histogram.key}/{histogram.step}.json"
        about = {"key": histogram.key, "kind": "histogram"}
        self._attach(json.dumps(content).encode(), name, about, histogram.step)

    @stored_as("JSON asset `table/…`")
    def log_table(self, table: Table) -> None:
        """Attach its file."""
        self._keep(table)

    @stored_as("audio")
    def log_audio(self, audio: Audio) -> None:
        """Log the sound's file."""
        path = str(self._run.path(audio.file))
        log = self._experiment.log_audio
        about = _about(audio)
        self._check(log(path, file_name=audio.key, metadata=about, step=audio.step))

    @stored_as("video, for MP4, MOV, WMV and GIF; others as asset")
    def log_video(self, video: Video) -> None:
        """Log the video's file."""
        path = self._run.path(video.file)
        if path.suffix not in FILMS:
            self._keep(video)
            return
        log = self._experiment.log_video
        self._check(log(str(path), name=video.key, step=video.step, metadata=_about(video)))

    @stored_as("assets `artifacts/<name>/<step>/…`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Attach its files."""
        about = {"kind": artifact.kind, "aliases": artifact.aliases, **artifact.metadata}
        for file in artifact.files:
            name = f"artifacts/{component(artifact.name)}/{artifact.step}/{file.name}"
            self._attach(self._run.path(file), name, about, artifact.step)

    def flush(self) -> bool:
        """Wait until the server has all; offline, the archive is written at the end only."""
        if not self._settings.online:
            return False
        self._wait_for_server()
        return True

    def finish(self, status: EndStatus) -> None:
        """Set the outcome and end the session."""
        experiment = self._experiment
        experiment.log_other("multitrack/status", status)
        if self._settings.online:
            self._wait_for_server()
        try:
            call_within(FLUSH_TIMEOUT, experiment.end)
        except Exception as error:
            raise Restart(f"Comet's client could not end: {error}") from error
        if self._settings.online:
            client.check_connection(experiment)
        self._failures.check()
        self._watch.close()
        self._open = None

    def abandon(self) -> None:
        """End the session; offline, the next one takes its place."""
        self._watch.close()
        if self._open:
            with suppress(Exception):
                call_within(CLOSE_TIMEOUT, self._open.end)
        self._open = None

    def native(self) -> CometExperiment:
        """Return Comet's experiment.

        Any thread may log with it. Give each call its ``step``: without one, the client takes
        that of the journal's last row. An epoch must be given likewise.
        """
        return self._experiment

    def classify(self, error: Exception) -> TrackerError:
        """Tell a missing or wrong key from a server that is away."""
        return client.name_error(error)

    # -- starting --------------------------------------------------------------------------

    @property
    def _experiment(self) -> CometExperiment:
        if self._open is None or not self._open.alive:
            raise Restart("Comet's client has ended")
        return self._open

    def _start_client(self, key: str, mode: str) -> CometExperiment:
        settings, header = self._settings, self._run.header
        config = {
            "name": settings.prefer("run_name", header.name),
            "tags": settings.tags,
            "offline_directory": str(self._archives),
        }
        return client.start_experiment(
            settings.url,
            config,
            timeout=START_TIMEOUT,
            api_key=settings.api_key,
            workspace=settings.workspace,
            project_name=settings.prefer("project", header.project),
            experiment_key=key,
            mode=mode,
            online=settings.online,
        )

    def _describe(self, header: Header) -> None:
        self._experiment.log_other("multitrack/run_id", self._run.run_id)
        self._experiment.log_other("multitrack/host", header.host.hostname)
        if header.notes:
            self._other("notes", header.notes)

    def _wait_for_server(self) -> None:
        if not self._experiment.flush(timeout=FLUSH_TIMEOUT):
            raise Restart("Comet's server has not taken all that was logged")
        client.check_connection(self._experiment)
        self._failures.check()

    # -- logging ---------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        """Return a name that the client does not cut, and keep the whole name once."""
        short, digest = client.shorten(name)
        if digest and digest not in self._shortened:
            self._shortened.add(digest)
            self._other(f"multitrack/name/{digest}", name)
        return short

    def _other(self, key: str, value: Scalar) -> None:
        plain = spell(value) if isinstance(value, float) else value
        self._experiment.log_other(self._name(key), plain)
        if isinstance(plain, str) and len(plain) > client.LONGEST_VALUE:
            self._attach(plain.encode(), f"others/{key}.txt", {"other": key})

    def _log_picture(self, record: Image | Figure) -> None:
        path = str(self._run.path(record.file))
        log = self._experiment.log_image
        self._check(log(path, name=record.key, step=record.step, metadata=_about(record)))

    def _keep(self, record: Media | Table) -> None:
        path = self._run.path(record.file)
        about = _about(record)
        name = f"{about['kind']}/{record.key}/{record.step}{path.suffix}"
        self._attach(path, name, about, record.step)

    def _attach(
        self, content: Path | bytes, name: str, about: Tree, step: int | None = None
    ) -> None:
        if isinstance(content, bytes):
            log = self._experiment.log_asset_data
            done = log(content.decode(), name=name, step=step, metadata=about)
        else:
            done = self._experiment.log_asset(
                str(content), file_name=name, step=step, metadata=about
            )
        self._check(done)

    def _check(self, done: object) -> None:
        """Refuse what the client did not take: it says why in its log."""
        if not done:
            raise Refused("Comet's client did not take it; the courier's log says why")


def _about(record: Media | Table) -> dict[str, Any]:
    about = {"key": record.key, "kind": type(record).__name__.lower()}
    caption = None if isinstance(record, Table) else record.caption
    return about | ({"caption": caption} if caption else {})


def _remove(session: Mapping[str, Any]) -> None:
    """Remove what a session that died has left: an empty archive, and its scratch folder."""
    for path in map(Path, (*session["archives"], session["scratch"])):
        remove(path.parent, path.name)
