"""Flyte: a Deck of the task that trains, the task's checkpoint, and its raw outputs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from typing import Any, ClassVar

from multitrack.trackers.backends._flyte_page import Page
from multitrack.trackers.backends._layout import laid_out
from multitrack.trackers.backends._sessions import sessions_of
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.names import component
from multitrack.trackers.protocol import (
    METHOD_OF,
    Attachment,
    Parked,
    Placement,
    Refused,
    Repeat,
    RunInfo,
    Tracker,
    TrackerError,
    classify_by_default,
    stored_as,
)
from multitrack.trackers.records import (
    AnyRecord,
    Artifact,
    Audio,
    EndStatus,
    Figure,
    Header,
    Histogram,
    Image,
    Metrics,
    Params,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Settings

_TRAIN_THERE = (
    "Start the run inside a task, @task(enable_deck=True), and let it end there; "
    "other trackers have it whether or not a task runs: multitrack sync."
)


class FlyteTracker(Tracker):
    """Show one run on a Deck of the task that it runs in.

    A Deck is written by flytekit when the task ends, so it is never acknowledged before the run's
    end, and each courier of a run shows the whole run: what an earlier one was offered is taken
    from the journal.

    Args:
        settings: it has none of its own.
    """

    name: ClassVar[str] = "flyte"
    distributions: ClassVar[tuple[str, ...]] = ("flytekit",)
    settings_type: ClassVar[type[Settings]] = Settings
    repeat: ClassVar[Repeat] = Repeat.NOTHING
    placement: ClassVar[Placement] = "trainer"

    def __init__(self, settings: Settings) -> None:
        self._page: Page | None = None

    def start(self, run: RunInfo) -> Attachment:
        """Add a Deck to the task, with what was delivered before."""
        with undisturbed():
            self._context = _task_context()
        self._run = run
        self._page = page = Page(run)
        for record in _delivered(run):
            self._replay(record)
        self._context.user_space_params.decks.append(page)
        place = shlex.quote(str(self._context.file_access.local_sandbox_dir))
        return Attachment(
            id=str(self._context.user_space_params.execution_id),
            url=os.environ.get("FLYTE_EXECUTION_URL") or f"find {place} -name deck.html",
        )

    @stored_as("Deck: table `params`")
    def log_params(self, params: Params) -> None:
        """Add the leaves to the table."""
        self._deck.add_params(params.values)

    @stored_as("Deck: table `tags`")
    def set_tags(self, tags: Tags) -> None:
        """Add the tags to the table."""
        self._deck.tags = self._deck.tags | tags.values

    @stored_as("Deck: curves, and all points as JSON")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Add the points to the curves."""
        self._deck.add_points(points)

    @stored_as("Deck: table `summary`")
    def log_summary(self, summary: Summary) -> None:
        """Add the values to the table."""
        self._deck.summary = self._deck.summary | summary.values

    @stored_as("Deck: text")
    def log_text(self, text: Text) -> None:
        """Show the text."""
        self._deck.add_text(text)

    @stored_as("Deck: image")
    def log_image(self, image: Image) -> None:
        """Show the picture."""
        self._deck.add_media(image)

    @stored_as("Deck: image; an interactive one as page in it")
    def log_figure(self, figure: Figure) -> None:
        """Show the figure."""
        self._deck.add_media(figure)

    @stored_as("Deck: table with bars")
    def log_histogram(self, histogram: Histogram) -> None:
        """Show the bins."""
        self._deck.add_histogram(histogram)

    @stored_as("Deck: table")
    def log_table(self, table: Table) -> None:
        """Show all rows."""
        self._deck.add_table(table)

    @stored_as("Deck: audio")
    def log_audio(self, audio: Audio) -> None:
        """Show a player."""
        self._deck.add_media(audio)

    @stored_as("Deck: video; a GIF as image")
    def log_video(self, video: Video) -> None:
        """Show a player."""
        self._deck.add_media(video)

    @stored_as("kind `checkpoint`: the task's checkpoint; others: raw outputs; Deck: where it is")
    def log_artifact(self, artifact: Artifact) -> None:
        """Store the files, and show where they are."""
        files = {file.name: self._run.path(file) for file in artifact.files}
        with laid_out(files) as folder, undisturbed():
            if artifact.kind == "checkpoint":
                self._context.user_space_params.checkpoint.save(folder)
                place = "the task's checkpoint"
            else:
                place = self._store(artifact, folder)
        about = {"kind": artifact.kind, "aliases": artifact.aliases, "place": place}
        words = escape(", ".join(f"{name}: {value}" for name, value in about.items() if value))
        self._deck.add(
            artifact, "artifact", artifact.name, f'<p data-place="{escape(place)}">{words}</p>'
        )

    def flush(self) -> bool:
        """Return False: flytekit writes the Deck when the task ends."""
        return False

    def finish(self, status: EndStatus) -> None:
        """Show the outcome; the Deck stays with the task."""
        self._deck.about = self._deck.about | {"status": status}
        self._page = None

    def abandon(self) -> None:
        """Take the Deck off: another courier will show the whole run, or the run goes on."""
        if self._page:
            with suppress(ValueError):
                self._context.user_space_params.decks.remove(self._page)
            self._page = None

    def classify(self, error: Exception) -> TrackerError:
        """Wait for what the system or a store may do later; refuse all else."""
        return classify_by_default(error)

    # -- parts of the above ------------------------------------------------------------------

    @property
    def _deck(self) -> Page:
        if self._page is None:
            raise Refused("the Deck is closed: start() comes first")
        return self._page

    def _replay(self, record: AnyRecord) -> None:
        """Take again what an earlier courier was offered: this task has nothing of it."""
        if isinstance(record, Header):
            self.log_params(Params(time=record.time, values=record.config))
            self.set_tags(Tags(time=record.time, values=record.tags))
        elif isinstance(record, Metrics):
            self.log_metrics([record])
        elif method := METHOD_OF.get(type(record)):
            with suppress(Refused, FileNotFoundError):  # told when it was offered
                getattr(self, method)(record)

    def _store(self, artifact: Artifact, folder: str) -> str:
        """Upload the files to a place of the task's own, the same if it is repeated."""
        access: Any = self._context.file_access
        version = f"{artifact.step}-{int(artifact.time * 1_000_000)}"
        parts = ("multitrack", self._run.run_id, component(artifact.name), version)
        place = access.join(access.raw_output_prefix, *parts)
        access.put_data(folder, place, is_multipart=True)
        return str(place)


def _delivered(run: RunInfo) -> Iterator[AnyRecord]:
    """Yield what the journal holds before the cursor."""
    cursor = sessions_of(run, "flyte").cursor
    reader = JournalReader(RunFolder(run.folder).journal)
    try:
        while batch := reader.read():
            for entry in batch:
                if entry.end > cursor:
                    return
                if isinstance(entry, Entry):
                    yield entry.record
    finally:
        reader.close()


def _task_context() -> Any:
    """Return flytekit's context of the task that this thread belongs to.

    Raises:
        Parked: there is none, or its Decks are switched off.
    """
    from flytekit.core.context_manager import FlyteContextManager

    context: Any = FlyteContextManager.current_context()
    if not _is_task(context):
        raise Parked("Flyte shows a run on a Deck of its task, and this is no task", _TRAIN_THERE)
    if not context.user_space_params.enable_deck:
        raise Parked(
            "the task's Decks are switched off", "Declare it with @task(enable_deck=True)."
        )
    return context


def _is_task(context: Any) -> bool:
    """Tell a task from a bare process; on one machine, only a task has a checkpoint."""
    state, params = context.execution_state, context.user_space_params
    if state is not None and "TASK_EXECUTION" in getattr(state.mode, "name", ""):
        return True
    with suppress(AttributeError, NotImplementedError):
        return params.checkpoint is not None
    return False
