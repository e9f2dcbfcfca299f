"""Weights & Biases: online, or offline in folders that ``wandb sync`` uploads."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape as escape_html
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from packaging.version import Version

from multitrack.trackers.backends import _wandb_client as client
from multitrack.trackers.backends import _wandb_log as log
from multitrack.trackers.backends._wandb_settings import WandbSettings
from multitrack.trackers.beneath import remove, see_that_all_stays
from multitrack.trackers.bounded import call_within
from multitrack.trackers.names import escape, merge, tag_word
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
    Header,
    Histogram,
    Image,
    Media,
    Metrics,
    Params,
    Stepped,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
    spell,
)
from multitrack.trackers.settings import Settings

if TYPE_CHECKING:
    from wandb import Run

EXIT_CODES: dict[EndStatus, int] = {"finished": 0, "failed": 1, "interrupted": 255, "killed": 137}
"""What the client is told; 255 is its own code for Ctrl-C."""
TAG_LIMIT = 64
"""Characters that a tag may have."""
RESERVED = ("", "_step", "_timestamp", "_runtime", "_wandb")
"""Names that the client keeps for itself, and drops when others use them."""
TEXT_PAGE = '<meta charset="utf-8"><pre style="white-space: pre-wrap">{}</pre>'
JOINING = Version("0.29")
"""First release whose ``wandb sync`` joins the sessions of a run."""
CLOSE_TIMEOUT = 10.0
"""Seconds for which the client's file is waited for, and a client that is abandoned."""
CONFIRM_TIMEOUT = 30.0
"""Seconds until the server must show the outcome that it was sent."""


class WandbTracker(Tracker):
    """Store one run through its own ``Run`` object; it never becomes ``wandb.run``.

    The client takes everything at once and tells only at its end whether it is stored. So a
    session is acknowledged as a whole, by `finish`: when the client's file holds the outcome
    and, online, the server shows it; its folder is marked then. One without mark comes again.
    Offline, its folder is removed first. Online, its rows get the numbers (``_step``) that they
    had, and those that the server holds already are dropped by the client. Rows that an
    acknowledged session holds are known from its file, and are not written again.

    A row is one record, with its own time. Its number is the user's step as long as steps
    grow, else the next number; the step itself stands in ``train/global_step``, which is the x
    axis of all charts.

    Args:
        settings: where the run goes, and what is said of it.
    """

    name: ClassVar[str] = "wandb"
    distributions: ClassVar[tuple[str, ...]] = ("wandb",)
    settings_type: ClassVar[type[Settings]] = WandbSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING

    def __init__(self, settings: WandbSettings) -> None:
        self._settings = settings
        self._run: Run | None = None
        self._is_closed = self._is_shared = False
        self._lock = Lock()

    def start(self, run: RunInfo) -> Attachment:
        """Start a session of the run, after those that were acknowledged."""
        if self._settings.mode == "disabled":
            raise Parked("WANDB_MODE is disabled", "Set WANDB_MODE to online or offline.")
        client.leave_foreign_service()
        self._info = run
        earlier = [Path(folder) for folder in self._earlier(run)]
        done = [folder for folder in earlier if log.is_acknowledged(folder)]
        undone = [folder for folder in earlier if folder.exists() and folder not in done]
        for folder in undone:
            if folder.name.startswith("offline-run-"):
                remove(folder.parent, folder.name)
        self._run = self._open(run, is_resumed=len(earlier) > len(undone))
        is_repeat = run.claimed or any(not log.is_shared(folder) for folder in undone)
        self._take_up([log.read_run(folder) for folder in done], is_repeat=bool(is_repeat))
        self._describe(run.header)
        return Attachment(
            id=self._run.id,
            url=self._run.url if self._is_online else _sync_command(self._folder, self._run.id),
            state={"folders": [str(path) for path in [*done, self._folder]]},
        )

    @stored_as("config, nested")
    def log_params(self, params: Params) -> None:
        """Merge the tree into the run's config."""
        merge(self._params, params.values)
        changed = {key: self._params[key] for key in params.values}
        self._config.update(changed, allow_val_change=True)

    @stored_as("tags; with a value as `name=value`")
    def set_tags(self, tags: Tags) -> None:
        """Add tags; one with a new value replaces the old."""
        words = {name: tag_word(name, value) for name, value in tags.values.items()}
        parts = {
            name: f"a tag may have {TAG_LIMIT} characters, {word!r} has {len(word)}"
            for name, word in words.items()
            if len(word) > TAG_LIMIT
        }
        self._tags |= {name: word for name, word in words.items() if name not in parts}
        self._client.tags = tuple(self._tags.values())
        if parts:
            raise Refused("tags are too long", parts)

    @stored_as("history; epoch as `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Write one row a point."""
        reserved: set[str] = set()
        for point in points:
            reserved |= self._write(point, point.values)
        _refuse(reserved)

    @stored_as("summary")
    def log_summary(self, summary: Summary) -> None:
        """Set the values; the client drops NaN there, so non-finite ones are spelled."""
        taken = {name: value for name, value in summary.values.items() if name not in RESERVED}
        self._client.summary.update(
            {key: spell(v) if isinstance(v, float) else v for key, v in taken.items()}
        )
        _refuse(summary.values.keys() - taken.keys())

    @stored_as("media, as HTML")
    def log_text(self, text: Text) -> None:
        """Write a page that shows the text as it is."""
        import wandb

        page = TEXT_PAGE.format(escape_html(text.text, quote=False))
        self._show(text, wandb.Html(page, inject=False))

    @stored_as("media, as image")
    def log_image(self, image: Image) -> None:
        """Write the picture's file."""
        import wandb

        self._show(image, wandb.Image(self._path(image), caption=image.caption))

    @stored_as("media, as image; an HTML page as HTML")
    def log_figure(self, figure: Figure) -> None:
        """Write the figure's file."""
        import wandb

        path = self._path(figure)
        if path.endswith(".html"):
            caption = {f"{figure.key}/caption": figure.caption} if figure.caption else {}
            self._show(figure, wandb.Html(path, inject=False), caption)
        else:
            self._show(figure, wandb.Image(path, caption=figure.caption))

    @stored_as("history, as histogram of at most 512 bins")
    def log_histogram(self, histogram: Histogram) -> None:
        """Write edges and counts."""
        import wandb

        bins: Any = (histogram.counts, histogram.edges)
        self._show(histogram, wandb.Histogram(np_histogram=bins))

    @stored_as("table of at most 200,000 rows")
    def log_table(self, table: Table) -> None:
        """Write all rows."""
        import wandb

        if table.rows > wandb.Table.MAX_ARTIFACT_ROWS:
            raise Refused(f"a table may have {wandb.Table.MAX_ARTIFACT_ROWS} rows")
        grid = json.loads(self._info.path(table.file).read_bytes())
        media = wandb.Table(columns=grid["columns"], data=grid["data"], allow_mixed_types=True)
        self._show(table, media)

    @stored_as("media, as audio")
    def log_audio(self, audio: Audio) -> None:
        """Write the sound's file."""
        import wandb

        self._show(audio, wandb.Audio(self._path(audio), caption=audio.caption))

    @stored_as("media, as video: GIF, MP4, WebM, Ogg")
    def log_video(self, video: Video) -> None:
        """Write the video's file."""
        import wandb

        self._show(video, wandb.Video(self._path(video), caption=video.caption))

    @stored_as("artifact of its kind")
    def log_artifact(self, artifact: Artifact) -> None:
        """Log a version that refers to the staged files; online, wait until it is stored."""
        import wandb

        about = {"step": artifact.step, "epoch": artifact.epoch}
        version = wandb.Artifact(
            escape(artifact.name, _is_plain),
            type=escape(artifact.kind, _is_plain),
            metadata=about | artifact.metadata,
        )
        for file in artifact.files:
            path = str(self._info.path(file))
            version.add_file(path, name=file.name, policy="immutable", skip_cache=True)
        aliases = [escape(alias, _is_plain) for alias in artifact.aliases]
        logged = self._client.log_artifact(version, aliases=[*aliases, "latest"])
        if self._is_online:
            logged.wait()

    def flush(self) -> bool:
        """Return False: the client tells only at its end what is stored."""
        return False

    def finish(self, status: EndStatus) -> None:
        """Set the outcome, and wait until the client's file and the server show it."""
        run = self._client
        if not self._is_closed:
            self._is_closed = True
            try:
                run.summary["multitrack/status"] = status
                limit = self._settings.finish_timeout + CLOSE_TIMEOUT
                call_within(limit, run.finish, exit_code=EXIT_CODES[status])
            except Exception as error:
                raise Restart(f"W&B's client could not end: {error}") from error
        if not log.becomes_complete(self._folder, CLOSE_TIMEOUT):
            raise Restart(f"W&B's client did not write the outcome to {self._folder}")
        if self._is_online and (shown := client.why_not_ended(run, CONFIRM_TIMEOUT)):
            raise Restart(f"W&B did not take the run's end; it shows {shown}")
        log.acknowledge(self._folder)

    def abandon(self) -> None:
        """Close the session with an outcome that the next session takes back."""
        with suppress(Exception, SystemExit):
            call_within(CLOSE_TIMEOUT, client.close, self._run)

    def native(self) -> Run:
        """Return W&B's ``Run``; it is not ``wandb.run``.

        Any thread may log with it. Log without ``step``: the client drops what comes at a step
        below the last, and rows of both hands have one count. From the first call on, the rows
        of the journal take their numbers from it, too; ``train/global_step`` keeps their step.
        """
        with self._lock:
            self._is_shared = True
            log.share(self._folder)
        return self._client

    def classify(self, error: Exception) -> TrackerError:
        """Tell a client that died from a server that answers no, and from one that is away."""
        return client.classify(error, is_open=self._run is not None)

    # -- starting --------------------------------------------------------------------------

    @property
    def _is_online(self) -> bool:
        return self._settings.mode not in client.OFFLINE

    @property
    def _client(self) -> Run:
        if self._run is None:
            raise RuntimeError("start() comes first")
        return self._run

    @property
    def _folder(self) -> Path:
        """The session's, which the client made."""
        return Path(self._client.settings.sync_dir)

    @property
    def _config(self) -> Any:  # the client's methods have no annotations
        return self._client.config

    def _earlier(self, run: RunInfo) -> list[str]:
        """Return the folders of the run's sessions that may count, the oldest first."""
        return run.attachment.state.get("folders", []) if run.attachment else []

    def _open(self, run: RunInfo, *, is_resumed: bool) -> Run:
        settings, header = self._settings, run.header
        return client.open_run(
            {
                "mode": settings.mode,
                "root_dir": str(self._root(run)),
                "project": settings.prefer("project", header.project) or "uncategorized",
                "entity": settings.entity,
                "run_id": (run.attachment and run.attachment.id) or settings.run_id or run.run_id,
                "resume": "allow" if self._is_online or is_resumed else None,
                "run_name": settings.prefer("run_name", header.name),
                "run_notes": settings.prefer("notes", header.notes),
                "run_tags": settings.tags and tuple(settings.tags),
                "run_group": settings.run_group,
                "run_job_type": settings.run_job_type,
                "base_url": settings.base_url,
                "api_key": settings.api_key,
                "init_timeout": settings.init_timeout,
                "finish_timeout": settings.finish_timeout,
                "host": header.host.hostname,
                "program": shlex.join(header.command) or None,
                "git_commit": header.git.commit if header.git else None,
            }
        )

    def _root(self, run: RunInfo) -> Path:
        """Return where the client makes its folder, or the run's own where it may not."""
        if self._settings.dir:
            self._settings.dir.mkdir(parents=True, exist_ok=True)
            return self._settings.dir
        for name in ("wandb", ".wandb"):
            if (folder := run.default(name)).exists() and run.is_foreign:
                see_that_all_stays(folder)
        if os.access(run.directory, os.W_OK) or run.is_foreign:
            return run.directory
        return run.folder

    def _take_up(self, sessions: Sequence[log.WrittenRun], *, is_repeat: bool) -> None:
        """Go on after the acknowledged sessions.

        Args:
            sessions: what their files hold.
            is_repeat: whether a session that was not acknowledged comes again.
        """
        run = self._client
        self._known = {row for session in sessions for row in session.rows}
        self._number = max([-1, *(session.last for session in sessions)])
        if not is_repeat:
            self._number = max(self._number, run.starting_step - 1)
        self._params: Tree = {}
        words = list(run.tags or ())
        if self._is_online:
            self._params = self._config.as_dict()
        else:
            words = [*self._carry_over(sessions), *words]
        self._tags = {word.partition("=")[0]: word for word in words}

    def _carry_over(self, sessions: Sequence[log.WrittenRun]) -> list[str]:
        """Write again what the next session would replace; return the tags that stood last.

        `wandb sync` joins the rows of sessions, but may keep the last config and summary only.
        """
        summary: Tree = {}
        for session in sessions:
            merge(self._params, session.params)
            summary |= session.summary
        self._config.update(self._params, allow_val_change=True)
        self._client.summary.update(summary)
        return sessions[-1].tags if sessions else []

    def _describe(self, header: Header) -> None:
        """Say what the header says, and which column is the x axis."""
        run = self._client
        run.define_metric(log.STEP)
        run.define_metric("*", step_metric=log.STEP)
        self._config.update({"multitrack": _about(header)}, allow_val_change=True)

    # -- writing ---------------------------------------------------------------------------

    def _write(self, record: Stepped, values: Mapping[str, Any]) -> set[str]:
        """Write one row, unless an acknowledged session holds it; return the names left out."""
        epoch = {} if record.epoch is None else {"epoch": record.epoch}
        taken = {name: value for name, value in values.items() if name not in RESERVED}
        row = {log.STEP: record.step, **epoch, **taken, "_timestamp": record.time}
        if taken and log.fingerprint(row) not in self._known:
            self._number = max(record.step, self._number + 1)
            with self._lock:
                number = None if self._is_shared else self._number
                self._client.log(row, step=number, commit=True)
        return values.keys() - taken.keys()

    def _show(
        self,
        record: Text | Histogram | Table | Media,
        media: object,
        beside: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        _refuse(self._write(record, {record.key: media, **beside}))

    def _path(self, record: Media) -> str:
        return str(self._info.path(record.file))


def _refuse(names: Iterable[str]) -> None:
    if parts := dict.fromkeys(names, "the client keeps this name for itself"):
        raise Refused("names are reserved", parts)


def _about(header: Header) -> Tree:
    """Return what a header says that has no place of its own at W&B."""
    about: Tree = msgspec.to_builtins(header)
    kept = ("run_id", "host", "git", "command", "cwd", "versions")
    return {key: about[key] for key in kept if about.get(key)}


def _sync_command(folder: Path, run_id: str) -> str:
    """Return what uploads all sessions of an offline run, one after another."""
    import wandb

    joins = Version(wandb.__version__) >= JOINING  # before, a session replaced the one before
    command = "wandb sync" if joins else "wandb beta sync"
    return f"{command} {shlex.quote(str(folder.parent))}/offline-run-*-{run_id}*"


def _is_plain(character: str) -> bool:
    """Tell whether W&B takes a character in names of artifacts, their types and aliases."""
    return character.isalnum() or character in "-_."
