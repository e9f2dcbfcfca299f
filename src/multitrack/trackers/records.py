"""The journal's records: one tagged struct each, one line of JSON each.

Values follow one rule. A number is a JSON number, exactly: float64, int64 and booleans come
back as they went in. JSON has no word for the non-finite numbers, so those are the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which `decode` turns back into floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, get_args

import msgspec

SCHEMA = 1
"""Version of the journal's layout, written into every header."""

Number: TypeAlias = bool | int | float
Scalar: TypeAlias = bool | int | float | str
Tree: TypeAlias = dict[str, Any]
"""A nested dict of strings, numbers, booleans, None and lists: what JSON can hold."""

Status: TypeAlias = Literal["running", "finished", "failed", "interrupted", "killed"]
EndStatus: TypeAlias = Literal["finished", "failed", "interrupted", "killed"]
STATUSES: tuple[Status, ...] = get_args(Status)
END_STATUSES: tuple[EndStatus, ...] = get_args(EndStatus)

MAX_DEPTH = 200
"""Levels of a tree that are read; none that we write has more than 64."""

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How the numbers that JSON lacks are spelled in the journal."""


def spell(value: float) -> float | str:
    """Return ``value``, or its journal spelling when it is NaN or infinite.

    >>> spell(0.5), spell(float("-inf"))
    (0.5, '-Infinity')
    """
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def spelled(value: Any) -> Any:
    """Return a copy of nested builtins in which every float has a JSON form."""
    if isinstance(value, dict):
        return {key: spelled(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(inner) for inner in value]
    return spell(value) if isinstance(value, float) else value


class StagedFile(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A file kept for delivery inside the run's folder.

    Attributes:
        path: where it lies, relative to the run's folder, with forward slashes.
        name: its name for the user; for a file of a folder artifact, its path in that folder.
        size: bytes.
        mtime_ns: of a hard-linked file, the modification time when it was staged; a later one
            shows that the original was overwritten in place.
        sha256: hexadecimal digest, where staging computed one.
    """

    path: str
    name: str
    size: int
    mtime_ns: int | None = None
    sha256: str | None = None


class Host(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The machine and process that a run (or its continuation) runs in."""

    hostname: str
    pid: int
    platform: str
    python: str
    cpu_count: int | None = None


class Git(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state of the working directory's repository when the run started."""

    commit: str
    branch: str | None = None
    dirty: bool = False


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type"):
    """What all records have: the Unix time, in seconds, of the call that wrote them."""

    time: float


class Header(Record, tag="run", frozen=True, kw_only=True):
    """First line of a journal: what the run is and where it runs."""

    schema: int = SCHEMA
    run_id: str
    project: str | None = None
    name: str | None = None
    notes: str | None = None
    tags: dict[str, str] = {}
    config: Tree = {}
    report_to: list[str] = []
    host: Host
    git: Git | None = None
    command: list[str] = []
    cwd: str
    versions: dict[str, str] = {}


class Resumed(Record, tag="resumed", frozen=True, kw_only=True):
    """The run goes on: a new process took it up, or more was logged after its end."""

    host: Host
    report_to: list[str] = []
    command: list[str] = []


class Params(Record, tag="params", frozen=True, kw_only=True):
    """Hyper-parameters, as one nested tree; later values win."""

    values: Tree


class Tags(Record, tag="tags", frozen=True, kw_only=True):
    """Tags by name; a bare tag has the empty string as value."""

    values: dict[str, str]


class Summary(Record, tag="summary", frozen=True, kw_only=True):
    """Single values of the whole run (best accuracy, total time); later values win."""

    values: dict[str, Scalar]


class Refused(Record, tag="refused", frozen=True, kw_only=True):
    """A value that could not be logged, by name: written the first time it happens."""

    key: str
    reason: str


class End(Record, tag="end", frozen=True, kw_only=True):
    """The outcome of the run.

    Attributes:
        status: how it ended.
        error: the exception that ended it, as one line.
        refused: how often each name was refused at the call, in the whole run.
    """

    status: EndStatus
    error: str | None = None
    refused: dict[str, int] = {}


class Stepped(Record, frozen=True, kw_only=True):
    """What belongs to a step of the run."""

    step: int
    epoch: float | None = None


class Metrics(Stepped, tag="metrics", frozen=True, kw_only=True):
    """Scalars of one step, by name."""

    values: dict[str, Scalar]


class Text(Stepped, tag="text", frozen=True, kw_only=True):
    """A piece of text under a name."""

    key: str
    text: str


class Image(Stepped, tag="image", frozen=True, kw_only=True):
    """A picture: PNG, JPEG, GIF or WebP."""

    key: str
    file: StagedFile
    caption: str | None = None


class Figure(Stepped, tag="figure", frozen=True, kw_only=True):
    """A drawn figure: a PNG, or an HTML page for an interactive one (``file.name`` tells)."""

    key: str
    file: StagedFile
    caption: str | None = None


class Histogram(Stepped, tag="histogram", frozen=True, kw_only=True):
    """A distribution: ``len(counts) + 1`` rising bin edges and the count in each bin."""

    key: str
    edges: list[float]
    counts: list[float]
    total: float
    """Sum of the values."""
    squares: float
    """Sum of the squared values."""


class Table(Stepped, tag="table", frozen=True, kw_only=True):
    """A table; its file is JSON: ``{"columns": [...], "data": [[...], ...]}``."""

    key: str
    file: StagedFile
    columns: list[str]
    rows: int


class Audio(Stepped, tag="audio", frozen=True, kw_only=True):
    """A sound file."""

    key: str
    file: StagedFile
    sample_rate: int | None = None
    caption: str | None = None


class Video(Stepped, tag="video", frozen=True, kw_only=True):
    """A video file or an animated GIF."""

    key: str
    file: StagedFile
    caption: str | None = None


class Artifact(Stepped, tag="artifact", frozen=True, kw_only=True):
    """A file or a folder as it was when it was logged.

    Attributes:
        name: name of the artifact.
        kind: what it is: ``"file"``, ``"checkpoint"``, ``"model"``, ``"dataset"``, or any word.
        files: its files; for a folder, ``StagedFile.name`` is the path inside it.
        folder: whether it was a folder.
        aliases: names of this version, such as ``"best"``.
        metadata: anything that JSON can hold.
        withheld_from: backends of the run that shall not get it.
    """

    name: str
    kind: str
    files: list[StagedFile]
    folder: bool = False
    aliases: list[str] = []
    metadata: Tree = {}
    withheld_from: list[str] = []

    @property
    def about(self) -> Tree:
        """What is known of it beside its files, for a backend that has no place for each."""
        return {"kind": self.kind, "aliases": self.aliases, "metadata": self.metadata}


Media: TypeAlias = Image | Figure | Audio | Video
"""The records that are one file under a name."""


def files_of(record: Record) -> list[StagedFile]:
    """Return the staged files that a record names."""
    if isinstance(record, Artifact):
        return record.files
    file = getattr(record, "file", None)
    return [file] if isinstance(file, StagedFile) else []


AnyRecord: TypeAlias = (
    Header
    | Resumed
    | Params
    | Tags
    | Summary
    | Refused
    | End
    | Metrics
    | Text
    | Image
    | Figure
    | Histogram
    | Table
    | Audio
    | Video
    | Artifact
)


def _simplify(value: object) -> object:
    """Return what derives from a type that JSON has, such as numpy's ``str_``, as that type."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = msgspec.json.Encoder(enc_hook=_simplify)
_DECODER = msgspec.json.Decoder(AnyRecord)


class Codec:
    """Encode records to lines of the journal, and decode them."""

    @staticmethod
    def encode(record: AnyRecord) -> bytes:
        """Return the record as one line of JSON, with its newline.

        Raises:
            TypeError: a value has no JSON form.
            UnicodeEncodeError: a string holds a lone surrogate.
        """
        return _ENCODER.encode(record) + b"\n"

    @staticmethod
    def encode_escaped(record: AnyRecord) -> bytes:
        """Return the record's line with lone surrogates, as in odd file names, as escapes."""
        return (
            _ENCODER.encode(_without_surrogates(msgspec.to_builtins(record, enc_hook=_simplify)))
            + b"\n"
        )

    @staticmethod
    def decode(line: bytes | memoryview) -> AnyRecord:
        """Return the record that a line holds.

        Raises:
            msgspec.DecodeError: the line is not a record: torn, corrupt, or of a later schema.
            RecursionError: it is nested too deeply.
        """
        record: AnyRecord = _DECODER.decode(line)
        if isinstance(record, (Metrics, Summary)):
            _restore_non_finite(record.values)
        elif isinstance(record, (Header, Params, Artifact)):
            _check_depth(record)
        return record


def _check_depth(record: Header | Params | Artifact) -> None:
    level: list[Any] = [msgspec.structs.asdict(record)]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise RecursionError(f"nested more than {MAX_DEPTH} levels deep")


def _inner(value: Any) -> Iterable[Any]:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (inner for inner in found if isinstance(inner, dict | list))


def _restore_non_finite(values: dict[str, Scalar]) -> None:
    for key, value in values.items():
        if type(value) is str and value in NON_FINITE:
            values[key] = NON_FINITE[value]


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value
