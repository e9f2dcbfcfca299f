"""Tracker: what one backend is to multitrack.

A courier drives one `Tracker` for one run, on one thread, from the journal. An adapter says
how its backend differs and nothing else: it never retries, batches, sanitises twice or decides
what to do about an error. It calls the client, and `Tracker.classify` names what went wrong.
"""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

import msgspec

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
    Record,
    Scalar,
    StagedFile,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Settings


class TrackerError(Exception):
    """What a backend may answer to a record instead of taking it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(TrackerError):
    """It may work later: the network, a full queue, a server that restarts.

    Args:
        reason: one line for the user.
        after: seconds that the backend asked to wait (``Retry-After``), if it did.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Restart(Retry):
    """The client is gone, and with it what it took since the last acknowledgement.

    The courier abandons this tracker, starts another, and offers all of that again.
    """


class Refused(TrackerError):
    """The backend will never take this.

    Args:
        reason: one line for the user.
        parts: when only some names of the call were refused, the reason of each; everything
            else in the call was stored. None: nothing of the call was stored, and the courier
            offers its records one by one.
    """

    def __init__(self, reason: str, parts: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.parts = parts


class Parked(TrackerError):
    """Nothing goes through until a person acts: no credentials, a quota, a closed service.

    Args:
        reason: one line for the user.
        remedy: what to type or do, as a sentence or a command.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Gone(Parked):
    """The run that was delivered to is not there any more, or is in a bin.

    The courier adds to the remedy what delivers all of it to a new run.
    """


class Repeat(Enum):
    """What a backend shows when a batch reaches it a second time."""

    NOTHING = "nothing: the backend knows the points and keeps each once"
    OVERWRITES = "nothing: the second copy overwrites the first"
    DUPLICATES = "the repeated points stand twice"


class Gap(Enum):
    """Why a backend does not hold a kind of record."""

    NOT_DONE = "not done by multitrack yet"
    NOT_IN_CLIENT = "not possible with its client today"
    NEVER = "not what this backend is for"


Method = TypeVar("Method", bound=Callable[..., None])


def stored_as(description: str) -> Callable[[Method], Method]:
    """Declare where a backend keeps what this method gets: a cell of the capability table.

    Args:
        description: a few words, such as ``"scalars"`` or ``"file under media/"``.

    >>> @stored_as("scalars")
    ... def log_metrics(points): ...
    >>> describe(log_metrics)
    'scalars'
    """

    def mark(method: Method) -> Method:
        method.__dict__["stored_as"] = description
        return method

    return mark


class Unsupported:
    """A method that a backend cannot have: it refuses what it gets, by name."""

    def __init__(self, gap: Gap, reason: str) -> None:
        self.gap = gap
        self.reason = reason

    def __call__(self, _record: object, /) -> None:
        """Refuse the record.

        Raises:
            Refused: always, with the reason.
        """
        raise Refused(self.reason)


def unsupported(gap: Gap, reason: str) -> Any:
    """Declare a gap in place of a method.

    Args:
        gap: which of the three words for "no".
        reason: one line for the user, and for the capability table.

    >>> class Example:
    ...     log_video = unsupported(Gap.NEVER, "a terminal shows no video")
    """
    return Unsupported(gap, reason)


def describe(method: object) -> str | Unsupported:
    """Return what a tracker's method declares: where it stores, or its gap."""
    if isinstance(method, Unsupported):
        return method
    description: str = getattr(method, "stored_as", "")
    return description


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How to find the run again at the backend; kept beside the cursor.

    Attributes:
        id: the backend's own id of the run.
        url: where a person looks at it: a URL, or a command that shows it.
        state: anything else that the adapter needs to re-attach. Never a secret.
    """

    id: str | None = None
    url: str | None = None
    state: dict[str, Any] = {}


Placement: TypeAlias = Literal["courier", "trainer", "source"]
Emit: TypeAlias = Callable[[type[Metrics | Summary], dict[str, Scalar]], None]
"""Put what was measured into the run: metrics, at its last step, or summary; never raises."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter is told about the run that it stores.

    Attributes:
        header: the journal's first record.
        folder: the run's folder, absolute.
        attachment: what `Tracker.start` returned the last time, if this run was delivered
            before: re-attach to it, do not create a second run. It is there only if this user's
            own installation wrote it.
        claimed: the backend's id of the run as somebody else's folder has it. Go on with that
            one only if the run at the backend says itself that it is `run_id`.
        directory: where relative paths and places that nobody named lead: where the run ran,
            or where the person is who delivers it. Never use the header's ``cwd`` for that.
        is_foreign: whether somebody else's installation recorded the run.
        is_unsure: whether this is a copy of the run's folder that holds no outcome: a run that the
            backend shows as ended is not to be marked as running.
        emit: of a source, while the run is recorded; may be called from any thread. None: there
            is nothing to measure, as for ``multitrack sync``.
    """

    header: Header
    folder: Path
    attachment: Attachment | None = None
    claimed: str | None = None
    directory: Path = msgspec.field(default_factory=Path.cwd)
    is_foreign: bool = False
    is_unsure: bool = False
    emit: Emit | None = None

    @property
    def run_id(self) -> str:
        """The run's id: unique, and sorting by time."""
        return self.header.run_id

    def path(self, file: StagedFile) -> Path:
        """Return where a staged file lies."""
        return self.folder / file.path

    def default(self, name: str) -> Path:
        """Return the place, in `directory`, of what nobody named a place for.

        Raises:
            Parked: the run is somebody else's, and a link leads from there to elsewhere: it may
                have come with the run.
        """
        path = self.directory / name
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.directory))
        if self.is_foreign and not inside:
            raise Parked(f"{path} is a link that leads elsewhere", "Remove it, or name a place.")
        return path


class Tracker(Protocol):
    """One backend, for one run.

    Every method that takes records may raise `Retry`, `Refused` or `Parked`, or let the
    client's exception out for `classify` to name. Each is called on the courier's thread only,
    `native` aside.

    Class attributes:
        name: what users write in ``report_to``.
        distributions: names on PyPI, any one of which brings the client.
        settings_type: its settings, read from the environment when the run starts.
        repeat: what a repeated batch shows.
        batch_size: most records in one `log_metrics` call.
        placement: ``"trainer"`` for a client that must live in the trainer's process;
            ``"source"`` for one that measures there and takes no records: it starts with the run
            in every delivery mode, gets `RunInfo.emit`, and is abandoned just before the outcome
            is written, so that what it emits then still belongs to the run. All others are
            ``"courier"``.
    """

    name: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    settings_type: ClassVar[type[Settings]]
    repeat: ClassVar[Repeat]
    batch_size: ClassVar[int] = 1000
    placement: ClassVar[Placement] = "courier"

    @abstractmethod
    def __init__(self, settings: Any) -> None:
        """Keep the settings; open nothing."""

    @abstractmethod
    def start(self, run: RunInfo) -> Attachment:
        """Create the run at the backend, or re-attach to it, and mark it as running.

        The header's config and tags follow by `log_params` and `set_tags`.
        """

    @abstractmethod
    def log_params(self, params: Params) -> None:
        """Store hyper-parameters: one nested tree, flattened only where the backend must."""

    @abstractmethod
    def set_tags(self, tags: Tags) -> None:
        """Add tags; a bare tag has the empty string as value."""

    @abstractmethod
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Store points, in order; values are numbers, non-finite ones included."""

    @abstractmethod
    def log_summary(self, summary: Summary) -> None:
        """Store single values of the whole run."""

    @abstractmethod
    def log_text(self, text: Text) -> None:
        """Store a text."""

    @abstractmethod
    def log_image(self, image: Image) -> None:
        """Store a picture."""

    @abstractmethod
    def log_figure(self, figure: Figure) -> None:
        """Store a figure."""

    @abstractmethod
    def log_histogram(self, histogram: Histogram) -> None:
        """Store a distribution."""

    @abstractmethod
    def log_table(self, table: Table) -> None:
        """Store a table."""

    @abstractmethod
    def log_audio(self, audio: Audio) -> None:
        """Store a sound."""

    @abstractmethod
    def log_video(self, video: Video) -> None:
        """Store a video."""

    @abstractmethod
    def log_artifact(self, artifact: Artifact) -> None:
        """Store a file or folder."""

    @abstractmethod
    def flush(self) -> bool:
        """Push out what is buffered; return whether the backend now holds all it was given.

        The cursor moves only after True. A client that can acknowledge only at its end returns
        False until `finish`, and then a crash repeats its whole session, which `start` must
        supersede.
        """

    @abstractmethod
    def finish(self, status: EndStatus) -> None:
        """Set the run's final status and let go of the client; all is acknowledged on return."""

    @abstractmethod
    def abandon(self) -> None:
        """Let go of the client without an outcome, in bounded time: the courier must stop.

        Called after a failure, or when somebody else continues the run. Never raises.
        """

    @abstractmethod
    def classify(self, error: Exception) -> TrackerError:
        """Name an exception that the client raised: `Retry`, `Refused` or `Parked`."""

    def native(self) -> Any:
        """Return the client's object of the started run, for those who also log by hand.

        Called on the user's thread, while the courier works on. The first line of an adapter's
        docstring tells the user what it is, the rest what to mind; an adapter whose client has
        no such object leaves this method out.

        Raises:
            NotImplementedError: there is none.
        """
        raise NotImplementedError(f"the adapter of {self.name} hands out no object of its client")


def classify_by_default(error: Exception) -> TrackerError:
    """Name an exception by its type alone: what `Tracker.classify` falls back on.

    Connection, time-out and most other system errors may pass, and so may a lack of memory;
    anything else is refused, since repeating it would hold up all that follows.
    """
    if isinstance(error, TrackerError):
        return error
    reason = f"{type(error).__name__}: {error}"
    is_passing = isinstance(error, OSError) and not _is_about_a_name(error)
    return Retry(reason) if is_passing or isinstance(error, MemoryError) else Refused(reason)


def _is_about_a_name(error: OSError) -> bool:
    """Tell whether a call would fail again: nothing is there, or nothing can be called so."""
    lasting = FileNotFoundError | NotADirectoryError | IsADirectoryError
    return isinstance(error, lasting) or error.errno == errno.ENAMETOOLONG


METHOD_OF: dict[type[Record], str] = {
    Params: "log_params",
    Tags: "set_tags",
    Metrics: "log_metrics",
    Summary: "log_summary",
    Text: "log_text",
    Image: "log_image",
    Figure: "log_figure",
    Histogram: "log_histogram",
    Table: "log_table",
    Audio: "log_audio",
    Video: "log_video",
    Artifact: "log_artifact",
}
"""The method that takes a record, by its type; `Tracker.log_metrics` takes several at once."""

RECORD_METHODS = tuple(METHOD_OF.values())
"""The methods that take records: the rows of the capability table."""

METHODS = (*RECORD_METHODS, "start", "flush", "finish", "abandon", "classify")
"""All methods of a Tracker."""
