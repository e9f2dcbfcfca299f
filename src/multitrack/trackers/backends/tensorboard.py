"""TensorBoard: event files in a folder, which ``tensorboard --logdir`` shows."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from multitrack.trackers.backends import _tensorboard as files
from multitrack.trackers.protocol import (
    Attachment,
    Parked,
    Refused,
    Repeat,
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
    Media,
    Metrics,
    Params,
    Record,
    Stepped,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
    spell,
)
from multitrack.trackers.settings import Env, Settings
from multitrack.trackers.staging import safe_name

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary as SummaryProto


class TensorBoardSettings(Settings, frozen=True):
    """Where the event files go."""

    logging_dir: Annotated[
        Path | None,
        Env(
            "TENSORBOARD_LOGGING_DIR",
            help="Folder of the run's event files. Without it: runs/ and the run's name or id.",
        ),
    ] = None


class TensorBoardTracker(Tracker):
    """Write one run's event files with tensorboard's own messages and record writer.

    A second courier of a run opens a new event file in the same folder. What stands there
    already is not written again. Where the run went back to an earlier step, the first point
    that lies before the latest of its name is preceded by TensorBoard's mark for a restart:
    readers then drop what the earlier attempt stored from that step on. Step 0 stays.

    Args:
        settings: where to write.
    """

    name: ClassVar[str] = "tensorboard"
    distributions: ClassVar[tuple[str, ...]] = ("tensorboard", "tb-nightly")
    settings_type: ClassVar[type[Settings]] = TensorBoardSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING
    batch_size: ClassVar[int] = 1000
    placement: ClassVar[Literal["courier", "trainer"]] = "courier"

    def __init__(self, settings: TensorBoardSettings) -> None:
        self._settings = settings
        self._open = ExitStack()

    def start(self, run: RunInfo) -> Attachment:
        """Take a folder that no other run uses, or the run's own, and open a new event file."""
        self._run = run
        self._latest = run.header.time
        self._folder, board = self._claim(run)
        self._history = files.read_history(self._folder)
        self._session = files.load_session(self._folder)
        self._session.status = None
        files.save_session(self._folder, self._session)
        self._events = self._open.enter_context(closing(files.EventFile(self._folder)))
        self._show("run", run.header, files.markdown_json(_about(run.header)))
        if run.header.notes:
            self._show("notes", run.header, run.header.notes)
        return Attachment(
            id=self._folder.name,
            url=f"tensorboard --logdir {shlex.quote(str(board))}",
            state={"folder": str(self._folder), "board": str(board)},
        )

    @stored_as("HPARAMS tab; text `params`")
    def log_params(self, params: Params) -> None:
        """Merge the tree into the run's params."""
        _merge(self._session.params, params.values)
        files.save_session(self._folder, self._session)
        self._show("params", params, files.markdown_json(self._session.params))

    @stored_as("text `tags`")
    def set_tags(self, tags: Tags) -> None:
        """Show all tags so far."""
        self._session.tags |= tags.values
        files.save_session(self._folder, self._session)
        rows = self._session.tags.items()
        self._show("tags", tags, files.markdown_table(["tag", "value"], rows))

    @stored_as("scalars, as float32; epoch as scalar `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Write one event a point."""
        for point in points:
            epoch = {} if point.epoch is None else {"epoch": point.epoch}
            values = [
                files.scalar(self._tag(name, files.SCALAR), float(value))
                for name, value in (epoch | point.values).items()
            ]
            self._add(point, *values)

    @stored_as("text `summary`")
    def log_summary(self, summary: Summary) -> None:
        """Show all single values so far."""
        for key, value in summary.values.items():
            self._session.summary[key] = spell(value) if isinstance(value, float) else value
        files.save_session(self._folder, self._session)
        self._show("summary", summary, files.markdown_json(self._session.summary))

    @stored_as("text")
    def log_text(self, text: Text) -> None:
        """Write the text."""
        self._add_text(text, text.text, "text")

    @stored_as("image")
    def log_image(self, image: Image) -> None:
        """Write the encoded picture as it is."""
        self._add_image(image, "image")

    @stored_as("image; an HTML page as file under `media/`")
    def log_figure(self, figure: Figure) -> None:
        """Write a drawn figure as picture; keep a page beside the event files."""
        if figure.file.path.endswith(".html"):
            self._keep(figure, "figure")
        else:
            self._add_image(figure, "figure")

    @stored_as("histogram")
    def log_histogram(self, histogram: Histogram) -> None:
        """Write its bins."""
        tag = self._tag(histogram.key, files.HISTOGRAM)
        self._add(histogram, files.histogram(tag, histogram))

    @stored_as("text, as Markdown table")
    def log_table(self, table: Table) -> None:
        """Write all rows."""
        grid = json.loads(self._run.path(table.file).read_bytes())
        self._add_text(table, files.markdown_table(grid["columns"], grid["data"]), "table")

    @stored_as("audio; all but WAV as file under `media/`")
    def log_audio(self, audio: Audio) -> None:
        """Write a WAV file as it is; keep others beside the event files."""
        content = self._run.path(audio.file).read_bytes()
        if not content.startswith(b"RIFF"):
            self._keep(audio, files.AUDIO)
            return
        tag = self._tag(audio.key, files.AUDIO)
        self._add(audio, files.wav(tag, content, audio.sample_rate))
        self._add_caption(audio)

    @stored_as("image, for a GIF; others as file under `media/`")
    def log_video(self, video: Video) -> None:
        """Write a GIF as picture, which TensorBoard animates; keep others beside the files."""
        if video.file.path.endswith(".gif"):
            self._add_image(video, "video")
        else:
            self._keep(video, "video")

    @stored_as("files under `artifacts/<name>/<step>/`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Copy the files beside the event files, and write a text that says where they are."""
        place = Path("artifacts", files.component(artifact.name), str(artifact.step))
        shutil.rmtree(self._folder / place, ignore_errors=True)
        for file in artifact.files:
            self._copy(self._run.path(file), place / safe_name(file.name))
        about = {
            "path": place.as_posix(),
            "kind": artifact.kind,
            "aliases": artifact.aliases,
            "metadata": artifact.metadata,
        }
        tag = self._tag(f"artifacts/{artifact.name}", "artifact")
        self._add(artifact, files.text(tag, files.markdown_json(about), "artifact"))

    def flush(self) -> bool:
        """Bring all to the disk."""
        self._events.flush()
        return True

    def finish(self, status: EndStatus) -> None:
        """Write the outcome: success or failure, and the exact word as text."""
        self._session.status, self._session.ended = status, self._latest
        outcome = files.session_values(self._session)[-1]
        word = files.text(self._tag("status", "run"), status, "run")
        self._append(files.event(self._latest, 0, [outcome, word]))
        self._events.flush()
        files.save_session(self._folder, self._session)
        self.abandon()

    def abandon(self) -> None:
        """Close the event file."""
        self._open.close()

    def classify(self, error: Exception) -> TrackerError:
        """Wait for a person where the folder cannot be written."""
        if isinstance(error, PermissionError | NotADirectoryError):
            return Parked(str(error), "Set TENSORBOARD_LOGGING_DIR to a folder you may write to.")
        return classify_by_default(error)

    # -- where -----------------------------------------------------------------------------

    def _claim(self, run: RunInfo) -> tuple[Path, Path]:
        """Return the run's folder, and the one that TensorBoard is pointed at."""
        if run.attachment:
            state = run.attachment.state
            wanted, board = Path(state["folder"]), Path(state["board"])
        elif self._settings.logging_dir:
            wanted = board = self._settings.logging_dir
        else:
            board = Path(run.header.cwd, "runs")
            wanted = board / files.component(run.header.name or run.run_id)
        for folder in (wanted, wanted / run.run_id):
            if files.claim(folder, run.run_id, run.header.time):
                return folder, board
        raise Refused(f"{wanted} and {wanted / run.run_id} hold event files of something else")

    def _tag(self, key: str, kind: str) -> str:
        """Return a tag that holds nothing of another kind: TensorBoard would not show both."""
        for tag in (key, f"{key} ({kind})"):
            if self._history.kinds.setdefault(tag, kind) == kind:
                return tag
        raise Refused(f"{key!r} and '{key} ({kind})' name things of another kind already")

    # -- writing ---------------------------------------------------------------------------

    def _add(self, record: Stepped, *values: SummaryProto.Value) -> None:
        """Write values of one step, after the mark for a restart if the run went back to it."""
        event = files.event(record.time, record.step, values)
        steps = self._history.steps
        goes_back = any(record.step < steps.get(value.tag, record.step) for value in values)
        if goes_back and not self._is_written(event):
            self._append(files.restart(record.time, max(record.step, 1)))
            steps.clear()
        self._append(event)

    def _show(self, tag: str, record: Record, content: str) -> None:
        """Write a text that belongs to the whole run."""
        value = files.text(self._tag(tag, "run"), content, "run")
        self._append(files.event(record.time, 0, [value]))

    def _append(self, event: Event) -> None:
        if not self._is_written(event):
            self._events.write(event.SerializeToString())
        self._latest = max(self._latest, event.wall_time)

    def _is_written(self, event: Event) -> bool:
        """Tell whether an earlier courier wrote the very same event."""
        return hash(event.SerializeToString()) in self._history.events

    def _add_text(self, record: Text | Table | Media, content: str, kind: str) -> None:
        self._add(record, files.text(self._tag(record.key, kind), content, kind))

    def _add_image(self, record: Image | Figure | Video, kind: str) -> None:
        content = self._run.path(record.file).read_bytes()
        self._add(record, files.image(self._tag(record.key, kind), content, kind))
        self._add_caption(record)

    def _add_caption(self, record: Media) -> None:
        if record.caption:
            tag = self._tag(f"{record.key}/caption", "caption")
            self._add(record, files.text(tag, record.caption, "caption"))

    def _keep(self, record: Media, kind: str) -> None:
        """Keep a file that TensorBoard cannot show, and write a text that says where it is."""
        name = f"{record.step}{Path(record.file.path).suffix}"
        place = Path("media", kind, files.component(record.key), name)
        self._copy(self._run.path(record.file), place)
        self._add_text(record, f"`{place.as_posix()}`", f"{kind} file")
        self._add_caption(record)

    def _copy(self, source: Path, place: Path) -> None:
        target = self._folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _about(header: Header) -> Tree:
    """Return what a header says that is shown nowhere else."""
    about: Tree = msgspec.to_builtins(header)
    return {key: about[key] for key in about if key not in {"type", "config", "tags", "notes"}}


def _merge(tree: Tree, later: Tree) -> None:
    for key, value in later.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value
