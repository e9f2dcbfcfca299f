"""A notebook: a third party's tracker, which keeps a run as JSON lines and files in a folder.

It stores what it is given, and makes the trouble that real backends make when it is told to:
``NOTEBOOK_TROUBLE`` names a JSON file of orders, which is read at every call (see `Trouble`).
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from multitrack.trackers.access import Access
from multitrack.trackers.folder import replace_file
from multitrack.trackers.names import flatten
from multitrack.trackers.protocol import (
    Attachment,
    Parked,
    Refused,
    Repeat,
    Restart,
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
    Histogram,
    Image,
    Metrics,
    Params,
    Stepped,
    Summary,
    Table,
    Tags,
    Text,
    Video,
)
from multitrack.trackers.settings import Env, LogModel, Settings, switch


class NotebookSettings(Settings, frozen=True):
    """Where the notebooks lie, and what they look like."""

    dir: Annotated[Path, Env("NOTEBOOK_DIR", help="Folder of all notebooks.")] = Path("notebooks")
    paper: Annotated[Literal["plain", "squared"], Env("NOTEBOOK_PAPER", help="Its kind.")] = "plain"
    token: Annotated[str | None, Env("NOTEBOOK_TOKEN", help="Seals it.", secret=True)] = None
    log_model: Annotated[
        LogModel,
        Env(
            "NOTEBOOK_KEEP",
            words={"end": "last", **switch("all")},
            help="Which checkpoints it gets.",
        ),
    ] = "none"
    disabled: Annotated[bool, Env("NOTEBOOK_DISABLED", help="Leave it out.")] = False
    trouble: Annotated[Path | None, Env("NOTEBOOK_TROUBLE", help="File of orders.")] = None
    server: Annotated[str | None, Env("NOTEBOOK_SERVER", help="Where it is shown.")] = None

    def access(self) -> Access:
        if self.server is None:
            return Access(folder=self.dir)
        key = self.source_of("token")
        return Access(mode="online", address=self.server, key=key, remedy="set NOTEBOOK_TOKEN")


def read_notebook(directory: Path, run_id: str) -> list[dict[str, Any]]:
    """Return the lines of a run's notebook; one that is being written is not yet there."""
    page = directory / run_id / "page.jsonl"
    written = page.read_text().rpartition("\n")[0] if page.exists() else ""
    return [json.loads(line) for line in written.splitlines()]


class Trouble:
    """What goes wrong, as the orders say.

    ``at``: the methods that the orders are for; all, without it. ``park``: wait for a person.
    ``retry``: so many calls fail, and may be repeated ``after`` so many seconds. ``restart``:
    likewise, and what is not acknowledged is lost. ``raise``: an exception of Python, by name.
    ``slow`` or ``hang``: seconds that a call takes. ``crash_on``: a name or a method that kills the
    process. ``exit``: die once, in the middle of a batch. ``refuse``: names that are refused, one
    by one. ``refuse_call``: names whose whole call is. ``session_ack``: acknowledge at the end.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @property
    def orders(self) -> dict[str, Any]:
        try:
            return json.loads(self._path.read_bytes()) if self._path else {}
        except FileNotFoundError:
            return {}

    def strike(self, method: str, names: Iterable[str] = ()) -> dict[str, str]:
        """Do what is ordered; return why names are to be refused, by name."""
        orders, given = self.orders, set(names)
        if method not in orders.get("at", [method]):
            return {}
        time.sleep(orders.get("hang") or orders.get("slow") or 0)
        if orders.get("crash_on") in {method, *given}:
            os._exit(9)
        if orders.get("park"):
            raise Parked("the notebook is locked", "unlock the notebook")
        if error := orders.get("raise"):
            raise getattr(builtins, error)("the ink is dry")
        self._fail_for_a_while(orders)
        if wrong := given.intersection(orders.get("refuse_call", [])):
            raise Refused(f"nothing with {', '.join(sorted(wrong))}")
        return {name: f"no {name} here" for name in given.intersection(orders.get("refuse", []))}

    def die(self) -> None:
        """Kill the process, once."""
        if self.orders.get("exit"):
            self._path.unlink()
            os._exit(9)

    def _fail_for_a_while(self, orders: dict[str, Any]) -> None:
        for order, answer in (("retry", Retry), ("restart", Restart)):
            if left := orders.get(order, 0):
                replace_file(self._path, json.dumps(orders | {order: left - 1}).encode())
                raise answer("the pen is empty", orders.get("after"))


class NotebookTracker(Tracker):
    """Write one run's notebook."""

    name: ClassVar[str] = "notebook"
    distributions: ClassVar[tuple[str, ...]] = ("multitrack-notebook",)
    settings_type: ClassVar[type[Settings]] = NotebookSettings
    repeat: ClassVar[Repeat] = Repeat.DUPLICATES
    batch_size: ClassVar[int] = 100

    def __init__(self, settings: NotebookSettings) -> None:
        self._settings = settings
        self._trouble = Trouble(settings.trouble)

    def start(self, run: RunInfo) -> Attachment:
        self._trouble.strike("start")
        self._run = run
        self._folder = self._settings.dir / run.run_id
        self._folder.mkdir(parents=True, exist_ok=True)
        self._page, self._draft = self._folder / "page.jsonl", self._folder / "draft.jsonl"
        self._draft.unlink(missing_ok=True)  # of a session that ended before it was acknowledged
        header, token = run.header, self._settings.token
        seal = hashlib.sha256(token.encode()).hexdigest() if token else None
        about = {"project": header.project, "name": header.name, "notes": header.notes}
        self._write("start", **about, paper=self._settings.paper, seal=seal, pid=os.getpid())
        return Attachment(id=run.run_id, url=self._page.as_uri())

    @stored_as("line `params`")
    def log_params(self, params: Params) -> None:
        self._write_values("log_params", "params", dict(flatten(params.values)))

    @stored_as("line `tags`")
    def set_tags(self, tags: Tags) -> None:
        self._write_values("set_tags", "tags", tags.values)

    @stored_as("line `summary`")
    def log_summary(self, summary: Summary) -> None:
        self._write_values("log_summary", "summary", summary.values)

    @stored_as("line `metrics`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        refused = self._trouble.strike("log_metrics", {n for p in points for n in p.values})
        for number, point in enumerate(points):
            if number == len(points) // 2:
                self._trouble.die()
            values = {name: v for name, v in point.values.items() if name not in refused}
            about = {"step": point.step, "epoch": point.epoch, "time": point.time}
            self._write("metrics", **about, values=values)
        if refused:
            raise Refused("some names are refused", refused)

    @stored_as("line `text`")
    def log_text(self, text: Text) -> None:
        self._write_item("text", text, content=text.text)

    @stored_as("line `histogram`")
    def log_histogram(self, histogram: Histogram) -> None:
        self._write_item("histogram", histogram, content=[histogram.edges, histogram.counts])

    @stored_as("file")
    def log_image(self, image: Image) -> None:
        self._write_item("image", image, image.file)

    @stored_as("file")
    def log_figure(self, figure: Figure) -> None:
        self._write_item("figure", figure, figure.file)

    @stored_as("file")
    def log_table(self, table: Table) -> None:
        self._write_item("table", table, table.file)

    @stored_as("file")
    def log_audio(self, audio: Audio) -> None:
        self._write_item("audio", audio, audio.file)

    @stored_as("file")
    def log_video(self, video: Video) -> None:
        self._write_item("video", video, video.file)

    @stored_as("files")
    def log_artifact(self, artifact: Artifact) -> None:
        self._write_item("artifact", artifact, *artifact.files)

    def flush(self) -> bool:
        self._trouble.strike("flush")
        return not self._trouble.orders.get("session_ack")

    def finish(self, status: EndStatus) -> None:
        self._trouble.strike("finish")
        self._write("finish", status=status)
        if self._draft.exists():
            with self._page.open("ab") as page:
                page.write(self._draft.read_bytes())
            self._draft.unlink()

    def abandon(self) -> None:
        """Nothing is open."""

    def classify(self, error: Exception) -> TrackerError:
        if isinstance(error, PermissionError):
            return Parked(str(error), f"chmod u+w {self._settings.dir}")
        return classify_by_default(error)

    def _write(self, kind: str, **fields: Any) -> None:
        """Add a line."""
        page = self._draft if self._trouble.orders.get("session_ack") else self._page
        with page.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **fields}) + "\n")

    def _write_values(self, method: str, kind: str, values: dict[str, Any]) -> None:
        refused = self._trouble.strike(method, values)
        self._write(kind, values={name: v for name, v in values.items() if name not in refused})
        if refused:
            raise Refused("some names are refused", refused)

    def _write_item(self, kind: str, record: Stepped, *files: Any, content: Any = None) -> None:
        """Add a line, after its files."""
        about = msgspec.to_builtins(record)
        name = about.get("key") or about["name"]
        if refused := self._trouble.strike(f"log_{kind}", [name]):
            raise Refused(refused[name])
        places = {file.name: self._copy(file) for file in files}
        caption = about.get("caption")
        self._write(
            kind, key=name, step=record.step, content=content, files=places, caption=caption
        )

    def _copy(self, file: Any) -> str:
        place = Path("files", secrets.token_hex(4), Path(file.name).name)
        (self._folder / place).parent.mkdir(parents=True)
        shutil.copyfile(self._run.path(file), self._folder / place)
        return str(place)
