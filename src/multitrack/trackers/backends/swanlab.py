"""SwanLab: online, or offline in folders that ``swanlab sync`` uploads."""

from __future__ import annotations

import glob
import json
import wave
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from multitrack.trackers.access import Access, in_file
from multitrack.trackers.backends import _swanlab as rules
from multitrack.trackers.backends._config import RunConfig
from multitrack.trackers.backends._sessions import sessions_of
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.beneath import copy_file, remove
from multitrack.trackers.bounded import call_within
from multitrack.trackers.names import component
from multitrack.trackers.protocol import (
    Attachment,
    Parked,
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
)
from multitrack.trackers.settings import Env, Settings

if TYPE_CHECKING:
    from swanlab import Run

STATES: dict[EndStatus, Literal["success", "crashed", "aborted"]] = {
    "finished": "success",
    "failed": "crashed",
    "interrupted": "aborted",
    "killed": "crashed",
}
START_TIMEOUT = 60.0
"""Seconds that a start may take; the client itself tries a dead server for 15."""
CLOSE_TIMEOUT = 10.0
"""Seconds that a client that is abandoned gets."""
MOST_TAGS, LONGEST_TAG, LONGEST_NOTES = 30, 512, 1024


class SwanLabSettings(Settings, frozen=True):
    """Where the run goes, and what is said of it."""

    project: Annotated[
        str | None,
        Env(
            "SWANLAB_PROJECT",
            help="Project of a run that names none. Without it: the folder's name.",
            fallbacks=("SWANLAB_PROJECT_NAME", "SWANLAB_PROJ_NAME"),
        ),
    ] = None
    workspace: Annotated[
        str | None,
        Env("SWANLAB_WORKSPACE", client=True, help="User or team that owns the project."),
    ] = None
    public: Annotated[
        bool | None, Env("SWANLAB_PUBLIC", client=True, help="Whether a new project is public.")
    ] = None
    run_name: Annotated[
        str | None,
        Env(
            "SWANLAB_EXP_NAME",
            client=True,
            help="Name of a run that has none.",
            fallbacks=("SWANLAB_EXPERIMENT_NAME",),
        ),
    ] = None
    description: Annotated[
        str | None, Env("SWANLAB_DESCRIPTION", client=True, help="Notes of a run that has none.")
    ] = None
    tags: Annotated[
        list[str] | None, Env("SWANLAB_TAGS", client=True, help="More tags of the run.")
    ] = None
    group: Annotated[str | None, Env("SWANLAB_GROUP", client=True, help="Group of the run.")] = None
    job_type: Annotated[
        str | None, Env("SWANLAB_JOB_TYPE", client=True, help="Type of job, such as `train`.")
    ] = None
    run_id: Annotated[
        str | None,
        Env(
            "SWANLAB_RUN_ID",
            client=True,
            help="SwanLab's id of the run, to go on with one. Without it: multitrack's id.",
        ),
    ] = None
    resume: Annotated[
        Literal["must", "allow"],
        Env("SWANLAB_RESUME", client=True, help="Whether a run of this id must exist online."),
    ] = "allow"
    mode: Annotated[
        Literal["online", "cloud", "offline", "local", "disabled"],
        Env(
            "SWANLAB_MODE",
            client=True,
            help="`offline` stores for `swanlab sync`; `local` for `swanlab watch`; `disabled` "
            "leaves the run in the journal.",
        ),
    ] = "online"
    log_dir: Annotated[
        Path | None,
        Env(
            "SWANLAB_LOG_DIR",
            place="folder",
            client=True,
            help="Where runs are stored. Without it: swanlog/ where the run runs.",
            fallbacks=("SWANLAB_LOGDIR",),
        ),
    ] = None
    api_key: Annotated[
        str | None, Env("SWANLAB_API_KEY", client=True, secret=True, help="Key for the server.")
    ] = None
    api_host: Annotated[
        str | None,
        Env("SWANLAB_API_HOST", place="address", client=True, help="Address of the server."),
    ] = None
    web_host: Annotated[
        str | None,
        Env("SWANLAB_WEB_HOST", place="address", client=True, help="Address of its pages."),
    ] = None
    finish_timeout: Annotated[
        float, Env("SWANLAB_FINISH_TIMEOUT", help="Seconds that the last upload may take.")
    ] = 600.0

    def access(self) -> Access:
        """Return the server and where its key is, or the folder of the runs."""
        if self.mode not in {"online", "cloud"}:
            return Access(mode=self.mode, folder=self.log_dir or Path("swanlog"))
        kept = [in_file(folder / ".netrc", r"password\s+\S") for folder in rules.config_folders()]
        return Access(
            mode="online",
            address=self.api_host or rules.HOST,
            key=self.source_of("api_key") or next(filter(None, kept), None),
            remedy=rules.LOGIN,
        )


class SwanLabTracker(Tracker):
    """Store one run through the client's own ``Run`` object.

    The client buffers what it takes, and says only at its end that it is stored. So a session
    is acknowledged as a whole by `finish`; one that ended without that comes again as a whole,
    and offline its folder is removed first. Its points carry the time of their delivery, since
    the client takes none.

    The client has one run a process, which becomes ``swanlab.get_run()``, and a hook at exit.
    It is started on a thread of its own, so that it takes no signals.

    Args:
        settings: where the run goes, and what is said of it.
    """

    name: ClassVar[str] = "swanlab"
    distributions: ClassVar[tuple[str, ...]] = ("swanlab",)
    settings_type: ClassVar[type[Settings]] = SwanLabSettings
    repeat: ClassVar[Repeat] = Repeat.DUPLICATES

    def __init__(self, settings: SwanLabSettings) -> None:
        self._settings = settings
        self._open: Run | None = None

    def start(self, run: RunInfo) -> Attachment:
        """Start a session of the run, after those that were acknowledged."""
        if self._settings.mode == "disabled":
            raise Parked("SWANLAB_MODE is disabled", "Set SWANLAB_MODE to online or offline.")
        self._run = run
        sessions = sessions_of(run, self.name)
        if sessions.dead:
            folder = Path(sessions.dead["folder"])
            remove(folder.parent, folder.name)
        # the client expects JSON in this variable, which holds a name for transformers' callback
        with undisturbed({"SWANLAB_PROJECT": None}):
            self._open = client = call_within(START_TIMEOUT, self._start_client, run)
        self._columns = rules.Columns(run)
        self._config = RunConfig(run)
        self._store_config()
        is_online = client.mode == "online"
        url = client.url if is_online else f"swanlab sync {client.dir}"
        return Attachment(id=client.id, url=url, state=sessions.opened(folder=str(client.dir)))

    @stored_as("config")
    def log_params(self, params: Params) -> None:
        """Merge the tree into the config."""
        self._config.add_params(params.values)
        self._store_config()

    @stored_as("config, under `multitrack/tags`; those of the start as tags, too")
    def set_tags(self, tags: Tags) -> None:
        """Merge the tags into the config."""
        self._config.add("tags", tags.values)
        self._store_config()

    @stored_as("charts, as float64, the first value of a step; epoch as `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Log one row a point."""
        refused: dict[str, str] = {}
        for point in points:
            if row := self._columns.row(point, refused):
                self._client.log(row, step=point.step)
        if refused:
            raise Refused("SwanLab does not take all of it", refused)

    @stored_as("config, under `multitrack/summary`")
    def log_summary(self, summary: Summary) -> None:
        """Merge the values into the config."""
        self._config.add("summary", summary.values)
        self._store_config()

    @stored_as("text")
    def log_text(self, text: Text) -> None:
        """Log the text as it is."""
        import swanlab

        self._log(text, swanlab.Text(text.text))

    @stored_as("image, as PNG or GIF; others as file under `media/`")
    def log_image(self, image: Image) -> None:
        """Log the picture."""
        self._log_picture(image)

    @stored_as("image; an interactive one as HTML")
    def log_figure(self, figure: Figure) -> None:
        """Log a drawn figure as picture, a page as page."""
        import swanlab

        if figure.file.path.endswith(".html"):
            page = self._run.path(figure.file)
            self._log(figure, swanlab.Html(page, caption=figure.caption))
        else:
            self._log_picture(figure)

    @stored_as("bar chart")
    def log_histogram(self, histogram: Histogram) -> None:
        """Draw the bins."""
        import swanlab

        bins = [f"{left!r} … {right!r}" for left, right in pairwise(histogram.edges)]
        chart: Any = swanlab.echarts.Bar()
        chart.add_xaxis(bins).add_yaxis("count", histogram.counts, category_gap=0)
        self._log(histogram, chart)

    @stored_as("table")
    def log_table(self, table: Table) -> None:
        """Log all rows."""
        import swanlab

        if len(set(table.columns)) < len(table.columns):
            raise Refused(f"SwanLab's tables cannot have two columns of one name: {table.columns}")
        grid = json.loads(self._run.path(table.file).read_bytes())
        self._log(table, swanlab.echarts.Table().add(grid["columns"], grid["data"]))

    @stored_as("audio, for WAV of 16 bits; others as file under `media/`")
    def log_audio(self, audio: Audio) -> None:
        """Log a sound that the client stores without loss; keep others as files."""
        import swanlab

        path = self._run.path(audio.file)
        if _is_plain_wav(path):
            self._log(audio, swanlab.Audio(str(path), caption=audio.caption))
        else:
            self._keep(audio)

    @stored_as("image, for a GIF; others as file under `media/`")
    def log_video(self, video: Video) -> None:
        """Log an animation; keep other videos as files."""
        self._log_picture(video)

    @stored_as("files under `artifacts/<name>/<step>/`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Keep the files with the run's, and what is said of them as JSON beside."""
        place = Path("artifacts", component(artifact.name), str(artifact.step))
        for file in artifact.files:
            self._save(self._run.path(file), place / file.name)
        versions = {str(artifact.step): artifact.about}
        self._config.add("artifacts", {artifact.name: versions})
        self._store_config()

    def flush(self) -> bool:
        """Return False: the client tells only at its end what is stored."""
        return False

    def finish(self, status: EndStatus) -> None:
        """Set the outcome; the client then writes, and online sends, all that it holds."""
        self._config.end(status)
        self._store_config()
        error = None if status == "finished" else f"the run {_VERBS[status]}"
        try:
            limit = self._settings.finish_timeout
            call_within(limit, rules.finish, self._client, state=STATES[status], error=error)
        except Exception as failure:
            raise Restart(f"SwanLab's client could not end: {failure}") from failure
        self._open = None

    def abandon(self) -> None:
        """End the session; the next one takes its place."""
        if self._open:
            with suppress(Exception):
                call_within(CLOSE_TIMEOUT, self._open.finish, state="aborted", error="abandoned")
        self._open = None

    def native(self) -> Run:
        """Return SwanLab's ``Run``.

        Any thread may log with it. Of one name and step, the client keeps what came first: keep
        to names of your own.
        """
        return self._client

    def classify(self, error: Exception) -> TrackerError:
        """Tell a missing or wrong key from a server that is away."""
        return rules.name_error(error, self._settings.api_host)

    # -- how -------------------------------------------------------------------------------

    @property
    def _client(self) -> Run:
        if self._open is None:
            raise Restart("SwanLab's client has ended")
        return self._open

    def _start_client(self, run: RunInfo) -> Run:
        import swanlab

        if swanlab.has_run():
            raise Parked(
                "this process has a run of SwanLab already, and its client takes one at a time",
                "Use delivery='process', where every run has a client of its own.",
            )
        settings, header = self._settings, run.header
        project = settings.prefer("project", header.project) or run.directory.name
        notes = settings.prefer("description", header.notes)
        tags = [*header.tags, *(settings.tags or [])]
        return swanlab.init(
            project=rules.project_name(project),
            workspace=settings.workspace,
            public=settings.public,
            name=(settings.prefer("run_name", header.name) or run.run_id)[:LONGEST_TAG],
            description=notes[:LONGEST_NOTES] if notes else None,
            tags=[tag for tag in tags if len(tag) <= LONGEST_TAG][:MOST_TAGS],
            group=settings.group,
            job_type=settings.job_type,
            id=(run.attachment and run.attachment.id) or settings.run_id or run.run_id,
            resume=settings.resume,
            mode="online" if settings.mode == "cloud" else settings.mode,
            log_dir=str(settings.log_dir or run.default("swanlog")),
            settings=_client_settings(settings),
        )

    def _store_config(self) -> None:
        # the client makes {} of None where it is the value of a first name
        tree = {k: "None" if v is None else v for k, v in self._config.tree.items()}
        self._client.config.update(tree)

    def _log(self, record: Text | Histogram | Table | Media, value: Any) -> None:
        kind = type(record).__name__.lower()
        column = self._columns.claim(record.key, kind, record.step)
        self._client.log({column: value}, step=record.step)

    def _log_picture(self, record: Image | Figure | Video) -> None:
        import swanlab

        path = self._run.path(record.file)
        if path.suffix == ".gif":
            self._log(record, swanlab.Video(str(path), caption=record.caption))
        elif path.suffix in {".png", ".jpg", ".jpeg"}:
            self._log(record, swanlab.Image(str(path), caption=record.caption))
        else:
            self._keep(record)

    def _keep(self, record: Media) -> None:
        """Keep a file that the client cannot show, and log a text that says where it is."""
        import swanlab

        kind = type(record).__name__.lower()
        name = f"{record.step}{Path(record.file.path).suffix}"
        place = Path("media", kind, component(record.key), name)
        self._save(self._run.path(record.file), place)
        self._log(record, swanlab.Text(f"files/{place.as_posix()}", caption=record.caption))

    def _save(self, source: Path, place: Path) -> None:
        """Copy a file to where the client keeps those of the run; it would link it otherwise."""
        files = self._client.dir / "files"
        target = copy_file(source, files, place)
        self._client.save(glob.escape(str(target)), base_path=str(files), policy="now")


_VERBS = {"failed": "failed", "interrupted": "was interrupted", "killed": "was killed"}


def _client_settings(settings: SwanLabSettings) -> Any:
    """Return the client's settings: no questions, no look at machine, packages or terminal."""
    import swanlab

    names = ("hardware", "runtime", "requirements", "conda", "git", "swanlab", "monitor")
    given = {
        "api_key": settings.api_key,
        "api_host": settings.api_host,
        "web_host": settings.web_host,
    }
    return swanlab.Settings(
        interactive=False,
        terminal={"proxy_type": "none"},
        probe=dict.fromkeys(names, False),
        **{name: value for name, value in given.items() if value},
    )


def _is_plain_wav(path: Path) -> bool:
    """Tell whether a sound is what the client makes of every sound."""
    try:
        with wave.open(str(path)) as file:
            return bool(file.getsampwidth() == 2)  # noqa: PLR2004
    except (wave.Error, EOFError):
        return False
