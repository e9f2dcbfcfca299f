"""TensorBoard: event files in a folder, which ``tensorboard --logdir`` shows."""

from __future__ import annotations

import errno
import json
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from multitrack.trackers.access import Access
from multitrack.trackers.backends import _tensorboard_messages as messages
from multitrack.trackers.backends._tensorboard_folder import LogFolder, Session, claim, component
from multitrack.trackers.backends._tensorboard_messages import SCALAR
from multitrack.trackers.beneath import beneath, remove, see_that_all_stays
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
    Scalar,
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


class TensorBoardSettings(Settings, frozen=True):
    """Where the event files go."""

    logging_dir: Annotated[
        Path | None,
        Env(
            "TENSORBOARD_LOGGING_DIR",
            place="folder",
            help="Folder of the run's event files. Without it: runs/ and the run's name or id.",
        ),
    ] = None

    def access(self) -> Access:
        """Return the folder of the event files."""
        return Access(folder=self.logging_dir or Path("runs"))


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

    def __init__(self, settings: TensorBoardSettings) -> None:
        self._settings = settings
        self._open = ExitStack()

    def start(self, run: RunInfo) -> Attachment:
        """Take a folder that no other run uses, or the run's own, and open a new event file."""
        header = run.header
        session = Session(run_id=run.run_id, started=header.time)
        path, board = self._place(run, session)
        self._run = run
        self._log = LogFolder(path, session)
        self._open.callback(self._log.close)
        self._log.show("run", header.time, messages.markdown_json(_about(header)))
        if header.notes:
            self._log.show("notes", header.time, header.notes)
        return Attachment(
            id=str(path),
            url=f"tensorboard --logdir {shlex.quote(str(board))}",
            state={"board": str(board)},
        )

    @stored_as("HPARAMS tab; text `params`")
    def log_params(self, params: Params) -> None:
        """Show all params so far."""
        session = self._log.session
        session.params = _merge(session.params, params.values)
        self._log.save()
        self._log.show("params", params.time, messages.markdown_json(session.params))

    @stored_as("text `tags`")
    def set_tags(self, tags: Tags) -> None:
        """Show all tags so far."""
        session = self._log.session
        session.tags |= tags.values
        self._log.save()
        table = messages.markdown_table(["tag", "value"], session.tags.items())
        self._log.show("tags", tags.time, table)

    @stored_as("scalars (float32); the epoch as scalar `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Write one event a point."""
        for point in points:
            numbers = {} if point.epoch is None else {"epoch": point.epoch}
            numbers |= {name: float(value) for name, value in point.values.items()}
            tagged = ((self._log.tag(name, SCALAR), name) for name in numbers)
            self._log.add(point, [messages.scalar(tag, numbers[n], n) for tag, n in tagged])

    @stored_as("text `summary`")
    def log_summary(self, summary: Summary) -> None:
        """Show all single values so far."""
        session = self._log.session
        session.summary |= {name: _spelled(value) for name, value in summary.values.items()}
        self._log.save()
        self._log.show("summary", summary.time, messages.markdown_json(session.summary))

    @stored_as("text")
    def log_text(self, text: Text) -> None:
        """Write the text."""
        self._add_text(text, text.key, text.text, "text")

    @stored_as("image")
    def log_image(self, image: Image) -> None:
        """Write the encoded picture as it is."""
        self._add_image(image, "image")

    @stored_as("image; an HTML page as file in `media/`")
    def log_figure(self, figure: Figure) -> None:
        """Write a drawn figure as picture; keep a page beside the event files."""
        if figure.file.path.endswith(".html"):
            self._add_file(figure, "figure")
        else:
            self._add_image(figure, "figure")

    @stored_as("histogram")
    def log_histogram(self, histogram: Histogram) -> None:
        """Write its bins."""
        tag = self._log.tag(histogram.key, "histogram")
        self._log.add(histogram, [messages.histogram(tag, histogram)])

    @stored_as("text, as Markdown table")
    def log_table(self, table: Table) -> None:
        """Write all rows."""
        grid = json.loads(self._run.path(table.file).read_bytes())
        text = messages.markdown_table(grid["columns"], grid["data"])
        self._add_text(table, table.key, text, "table")

    @stored_as("audio (WAV); others as file in `media/`")
    def log_audio(self, audio: Audio) -> None:
        """Write a WAV file as it is; keep others beside the event files."""
        content = self._run.path(audio.file).read_bytes()
        if content.startswith(b"RIFF"):
            tag = self._log.tag(audio.key, "audio")
            self._log.add(audio, [messages.wav(tag, content, audio)])
        else:
            self._add_file(audio, "audio")

    @stored_as("image (GIF, animated); others as file in `media/`")
    def log_video(self, video: Video) -> None:
        """Write a GIF as picture; keep others beside the event files."""
        if video.file.path.endswith(".gif"):
            self._add_image(video, "video")
        else:
            self._add_file(video, "video")

    @stored_as("files in `artifacts/<name>/<step>/`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Copy the files beside the event files, and write a text that says what they are."""
        place = f"artifacts/{component(artifact.name)}/{artifact.step}"
        remove(self._log.path, place)
        for file in artifact.files:
            self._log.keep(self._run.path(file), f"{place}/{file.name}")
        text = messages.markdown_json({"path": place, **artifact.about})
        self._add_text(artifact, f"artifacts/{artifact.name}", text, "artifact")

    def flush(self) -> bool:
        """Bring all to the disk."""
        self._log.flush()
        return True

    def finish(self, status: EndStatus) -> None:
        """Write the outcome: success or failure for the HPARAMS tab, the exact word as text."""
        self._log.end(status)
        self.abandon()

    def abandon(self) -> None:
        """Close the event file."""
        self._open.close()

    def native(self) -> Path:
        """Return the folder of the run's event files: its client has no other object.

        Give a ``SummaryWriter`` of yours a folder in it, such as ``folder / "by-hand"``, which
        TensorBoard shows as a run beside: of two growing files in one folder it reads one.
        """
        return self._log.path

    def classify(self, error: Exception) -> TrackerError:
        """Wait for a person where the folder cannot be written, pass over what has no place."""
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
            remedy = (
                "Make the folder writable; for a run that was never delivered, "
                "TENSORBOARD_LOGGING_DIR may name another."
            )
            return Parked(str(error), remedy)
        if isinstance(error, OSError) and error.errno in {errno.ENAMETOOLONG, errno.EINVAL}:
            return Refused(str(error))
        return classify_by_default(error)

    def _place(self, run: RunInfo, session: Session) -> tuple[Path, Path]:
        """Return the run's folder, and the one that TensorBoard is pointed at."""
        if run.attachment and run.attachment.id:
            return Path(run.attachment.id), Path(run.attachment.state["board"])
        if self._settings.logging_dir:
            path = board = self._settings.logging_dir
        else:
            board = run.default("runs")
            path = beneath(board, component(run.header.name or run.run_id))
        if run.is_foreign:
            see_that_all_stays(path)
        return (path if claim(path, session) else beneath(path, run.run_id)), board

    def _add_text(self, record: Stepped, key: str, text: str, kind: str) -> None:
        value = messages.text(self._log.tag(key, kind), text, kind, key)
        self._log.add(record, [value])

    def _add_image(self, record: Image | Figure | Video, kind: str) -> None:
        content = self._run.path(record.file).read_bytes()
        value = messages.image(self._log.tag(record.key, kind), content, kind, record.key)
        self._log.add(record, [value])
        self._add_caption(record, kind)

    def _add_caption(self, record: Media, kind: str) -> None:
        if record.caption:
            self._add_text(record, f"{record.key}/caption", record.caption, f"{kind} caption")

    def _add_file(self, record: Media, kind: str) -> None:
        """Keep a file that TensorBoard cannot show, and write a text that says where it is."""
        suffix = Path(record.file.path).suffix
        place = f"media/{kind}/{component(record.key)}/{record.step}{suffix}"
        self._log.keep(self._run.path(record.file), place)
        self._add_text(record, record.key, f"`{place}`", f"{kind} file")
        self._add_caption(record, kind)


def _about(header: Header) -> Tree:
    """Return what a header says that is shown nowhere else."""
    about: Tree = msgspec.to_builtins(header)
    return {key: about[key] for key in about if key not in {"type", "config", "tags", "notes"}}


def _spelled(value: Scalar) -> Scalar:
    return spell(value) if isinstance(value, float) else value


def _merge(tree: Tree, later: Tree) -> Tree:
    both = {
        key: _merge(tree[key], value)
        for key, value in later.items()
        if isinstance(value, dict) and isinstance(tree.get(key), dict)
    }
    return tree | later | both
