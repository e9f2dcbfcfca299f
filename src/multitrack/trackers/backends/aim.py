"""Aim: a repository on disk or behind ``aim server``, which ``aim up`` shows."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from multitrack.trackers.access import Access
from multitrack.trackers.backends import _aim as repository
from multitrack.trackers.beneath import see_that_all_stays
from multitrack.trackers.names import component, flatten, merge, tag_word
from multitrack.trackers.protocol import (
    Attachment,
    Parked,
    Refused,
    Repeat,
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
    Header,
    Histogram,
    Image,
    Metrics,
    Params,
    Status,
    Stepped,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
)
from multitrack.trackers.settings import Env, Settings
from multitrack.trackers.staging import safe_name

if TYPE_CHECKING:
    from aim import Run

PASSING = {"OperationalError", "RocksIOError", "RunLockingError", "RuntimeError"}
"""Names of the errors of a repository that is busy, being made, or out of reach."""
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}
SOUNDS = {".wav", ".mp3", ".flac"}


class AimSettings(Settings, frozen=True):
    """Where Aim keeps the run."""

    repo: Annotated[
        str | None,
        Env(
            "AIM_REPO",
            place="address",
            help="Folder of the repository, or `aim://host:port` of an `aim server`. Without it, "
            "as for Aim itself: the nearest folder with `.aim` from the working directory up.",
        ),
    ] = None
    experiment: Annotated[
        str | None,
        Env(
            "AIM_EXPERIMENT",
            help="Experiment of a run that was started without a project.",
        ),
    ] = None
    artifacts_uri: Annotated[
        str | None,
        Env(
            "AIM_ARTIFACTS_URI",
            place="files",
            help="`file://` or `s3://` address for files. Without it: `artifacts` in the `.aim` "
            "of a repository on disk.",
        ),
    ] = None

    def access(self) -> Access:
        """Return the server, or the folder of the repository."""
        if self.repo and repository.is_remote(self.repo):
            return Access(mode="online", address=self.repo)
        return Access(folder=Path(self.repo or ""))


class AimTracker(Tracker):
    """Write one run of an Aim repository.

    Aim holds one value of a name, context and step: a later one replaces it. Metrics have no
    context; all else has ``{"kind": …}``, so that one name can stand for several kinds.

    Args:
        settings: where to write.
    """

    name: ClassVar[str] = "aim"
    distributions: ClassVar[tuple[str, ...]] = ("aim",)
    settings_type: ClassVar[type[Settings]] = AimSettings
    repeat: ClassVar[Repeat] = Repeat.OVERWRITES

    def __init__(self, settings: AimSettings) -> None:
        self._settings = settings
        self._aim: Run | None = None

    def start(self, run: RunInfo) -> Attachment:
        """Create the run, or open it again."""
        self._run = run
        known = run.attachment
        repo = known.state["repo"] if known else self._find_repo(run)
        if run.is_foreign and not repository.is_remote(repo):
            see_that_all_stays(Path(repo, ".aim"))
        found = known.id if known else repository.claimed(repo, run)
        self._aim = aim = repository.open_run(repo, found)
        if uri := self._settings.artifacts_uri or repository.artifacts_of(repo):
            aim.set_artifacts_uri(uri)
        if not found:
            aim.name = run.header.name or run.run_id
            aim.description = run.header.notes or ""
            aim.experiment = self._settings.prefer("experiment", run.header.project) or "default"
        self._merge("multitrack", _about(run.header, "running"))
        url = repo if repository.is_remote(repo) else f"aim up --repo {shlex.quote(repo)}"
        return Attachment(id=aim.hash, url=url, state={"repo": repo})

    @stored_as("run params `hparams`")
    def log_params(self, params: Params) -> None:
        """Merge the tree into the run's params."""
        named = _named(params.values)
        self._merge("hparams", named)
        if unnamed := dict(flatten(params.values)).keys() - dict(flatten(named)).keys():
            reason = "Aim makes up a name for a value that has none"
            raise Refused(reason, dict.fromkeys(unnamed, reason))

    @stored_as("tags, as `name` or `name=value`")
    def set_tags(self, tags: Tags) -> None:
        """Add tags; a new value of a name replaces the old."""
        held = self._live.get("multitrack", {}).get("tags", {})
        for name, value in tags.values.items():
            if name in held:
                self._live.remove_tag(tag_word(name, held[name]))
            self._live.add_tag(tag_word(name, value))
        self._merge("multitrack", {"tags": tags.values})

    @stored_as("metrics")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Track each value at its step, with epoch and time."""
        for point in points:
            self._track(point, point.values)

    @stored_as("run params `summary`")
    def log_summary(self, summary: Summary) -> None:
        """Merge the values into the run's."""
        self._merge("summary", summary.values)

    @stored_as("text")
    def log_text(self, text: Text) -> None:
        """Track a text; Aim's readers skip an empty one."""
        self._track_text(text, text.text or " ", "text")

    @stored_as("image")
    def log_image(self, image: Image) -> None:
        """Track a picture."""
        self._track_image(image, "image")

    @stored_as("image; an HTML page as artifact under `media/`")
    def log_figure(self, figure: Figure) -> None:
        """Track a drawn figure as picture; keep a page as file."""
        self._track_image(figure, "figure")

    @stored_as("distribution; text, as JSON, for bins of unequal width")
    def log_histogram(self, histogram: Histogram) -> None:
        """Track bins of one width; a Distribution has no others."""
        from aim import Distribution

        edges, counts = histogram.edges, histogram.counts
        width = (edges[-1] - edges[0]) / len(counts)
        if all(math.isclose(right - left, width, rel_tol=1e-6) for left, right in pairwise(edges)):
            bins = Distribution.from_histogram(counts, (edges[0], edges[-1]))
            self._track(histogram, {histogram.key: bins}, "histogram")
        else:
            bins = msgspec.json.encode({"edges": edges, "counts": counts}).decode()
            self._track_text(histogram, bins, "bins")

    @stored_as("text, as JSON")
    def log_table(self, table: Table) -> None:
        """Track the table's columns and rows."""
        self._track_text(table, self._run.path(table.file).read_text("utf-8"), "table")

    @stored_as("audio; all but WAV, MP3 and FLAC as artifact under `media/`")
    def log_audio(self, audio: Audio) -> None:
        """Track a sound in a format that Aim plays; keep others as file."""
        from aim import Audio as AimAudio

        path = self._run.path(audio.file)
        if path.suffix in SOUNDS:
            sound = AimAudio(str(path), format=path.suffix[1:], caption=audio.caption or "")
            self._track(audio, {audio.key: sound}, "audio")
        else:
            self._keep(audio, "audio")

    @stored_as("image, for a GIF; others as artifact under `media/`")
    def log_video(self, video: Video) -> None:
        """Track a GIF as picture; keep others as file."""
        self._track_image(video, "video")

    @stored_as("artifacts `<name>/<step>/…`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Store the files, and note what they are."""
        place = f"{component(artifact.name)}/{artifact.step}"
        for file in artifact.files:
            self._store(self._run.path(file), f"{place}/{safe_name(file.name)}")
        self._merge("multitrack", {"artifacts": {place: artifact.about}})

    def flush(self) -> bool:
        """Wait until a server has taken all; on disk, it stands in the write-ahead log already."""
        repository.await_server(self._live)
        return True

    def finish(self, status: EndStatus) -> None:
        """Note the exact word; Aim itself knows only of success."""
        self._merge("multitrack", {"status": status})
        if status == "finished":
            self._live.report_successful_finish(block=True)
        self.flush()
        self.abandon()

    def abandon(self) -> None:
        """Close the run, which Aim then shows as inactive."""
        if self._aim:
            repository.leave(self._aim)
        self._aim = None

    def native(self) -> Run:
        """Return Aim's ``Run``.

        Any thread may log with it. A later value of one name, context and step replaces the
        earlier: keep to names, or a context, of your own. Never log under an empty name.
        """
        return self._live

    def classify(self, error: Exception) -> TrackerError:
        """Tell a repository that is busy or away from one that a person must see to."""
        reason = str(error) or type(error).__name__
        if isinstance(error, PermissionError | NotADirectoryError):
            return Parked(reason, "Set AIM_REPO to a folder that you may write to.")
        if type(error).__name__ == "MissingRunError":
            return Parked(reason, "Bring the repository back to where it was.")
        if type(error).__name__ in PASSING:
            return Retry(f"the Aim repository cannot be written now: {reason}")
        return classify_by_default(error)

    # -- within ----------------------------------------------------------------------------

    @property
    def _live(self) -> Run:
        assert self._aim, "start() comes first"
        return self._aim

    def _find_repo(self, run: RunInfo) -> str:
        from aim.sdk.utils import search_aim_repo

        asked = self._settings.repo
        if asked and repository.is_remote(asked):
            return asked
        if asked:
            return str(Path(run.directory, asked).expanduser())
        found: str | None = search_aim_repo(str(run.directory))[0]
        return found or str(run.default(".aim").parent)

    def _merge(self, section: str, values: Tree) -> None:
        """Add values to one of the run's params, as a whole: Aim would mix leaf and branch."""
        held = self._live.get(section, {})
        merge(held, values)
        self._live[section] = held

    def _track(self, record: Stepped, values: Mapping[str, Any], kind: str | None = None) -> None:
        """Track values as Aim's own importers do: its public `track` takes no time."""
        self._live._tracker._track(  # noqa: SLF001
            values,
            record.time,
            step=record.step,
            epoch=record.epoch,  # type: ignore[arg-type]  # Aim keeps fractions, too
            context={"kind": kind} if kind else {},
        )

    def _track_text(self, record: Text | Table | Histogram, content: str, kind: str) -> None:
        from aim import Text as AimText

        self._track(record, {record.key: AimText(content)}, kind)

    def _track_image(self, record: Image | Figure | Video, kind: str) -> None:
        from aim import Image as AimImage
        from aim.storage.types import BLOB

        path = self._run.path(record.file)
        if path.suffix not in PICTURES:
            self._keep(record, kind)
            return
        picture = AimImage(str(path), caption=record.caption or "")
        storage = picture.storage  # type: ignore[attr-defined]
        storage["data"] = BLOB(data=path.read_bytes())  # as logged, not encoded once more
        self._track(record, {record.key: picture}, kind)

    def _keep(self, record: Figure | Image | Video | Audio, kind: str) -> None:
        path = self._run.path(record.file)
        name = f"media/{kind}/{component(record.key)}/{record.step}{path.suffix}"
        self._store(path, name)
        if record.caption:
            self._merge("multitrack", {"captions": {name: record.caption}})

    def _store(self, path: Path, name: str) -> None:
        if self._live.artifacts_uri is None:
            raise Refused("files need a place beside an Aim server: set AIM_ARTIFACTS_URI")
        self._live.log_artifact(str(path), name, block=True)


def _named(tree: Tree) -> Tree:
    """Return a tree without what has an empty name in it."""
    return {k: _named(v) if isinstance(v, dict) else v for k, v in tree.items() if k}


def _about(header: Header, status: Status) -> Tree:
    """Return what a header says that Aim shows nowhere else."""
    about: Tree = msgspec.to_builtins(header)
    shown = ("type", "config", "tags", "notes", "name", "project")
    return {**{key: about[key] for key in about if key not in shown}, "status": status}
