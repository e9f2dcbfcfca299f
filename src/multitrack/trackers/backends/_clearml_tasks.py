"""ClearML's client, driven: a task on a server, and a task in an offline session."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

from multitrack.trackers.backends._clearml import (
    PROPERTIES,
    Event,
    Output,
    Task,
    long_enough,
    project_name,
)
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.beneath import copy_file
from multitrack.trackers.bounded import call_within
from multitrack.trackers.names import component
from multitrack.trackers.protocol import (
    Parked,
    Refused,
    Retry,
    TrackerError,
    classify_by_default,
)
from multitrack.trackers.records import EndStatus

PATIENCE = {"total": 3, "connect": 3, "read": 3, "redirect": 3, "status": 3, "backoff_factor": 1}
"""How often a call is tried; the courier tries again later. The client's own way takes hours."""
UPLOAD_TIMEOUT = 120.0
"""Seconds that the upload of a file may take, beside those that its size takes."""
SLOWEST_UPLOAD = 100_000
"""Bytes a second."""
EVENTS = 1000
"""Events in one call."""
ENDS = {"finished": "completed", "failed": "failed", "interrupted": "stopped", "killed": "failed"}
"""What ClearML calls an outcome, and the call that tells it."""
HOST = "https://api.clear.ml"
"""The client's own default."""
KEY = r"access_key"
"""What stands in a configuration file with a key."""
_API_SERVER = re.compile(r"api_server\s*[:=]\s*\"?(?P<host>https?://[^\s\",}]+)")
REMEDY = (
    "Run clearml-init, or set CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, "
    "or set CLEARML_OFFLINE_MODE to 1."
)


class Wanted(NamedTuple):
    """The task that is wanted.

    Attributes:
        id: of the task to go on with; None for a new one.
        claimed: an id that somebody else wrote down; None for none.
        run_id: multitrack's id of the run, which the task of a claimed id must have.
        project: name of its project.
        name: its name.
        output: address for its files; None for the server's own place.
    """

    id: str | None
    project: str
    name: str
    output: str | None
    claimed: str | None = None
    run_id: str = ""

    def is_in(self, hyperparams: Any) -> bool:
        """Tell whether hyperparameters say that they are of the run."""
        with suppress(AttributeError, KeyError, TypeError):
            item = hyperparams[PROPERTIES]["multitrack/run_id"]
            return bool((item["value"] if isinstance(item, dict) else item.value) == self.run_id)
        return False

    def root(self, task: str) -> str:
        """Return the first part of the keys of the task's files."""
        return f"{component(self.project)}/{component(self.name)}.{task}"


def host_in(file: Path) -> str | None:
    """Return the server that a configuration file of the client names."""
    try:
        found = _API_SERVER.search(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return found["host"] if found else None


@contextmanager
def client(offline: bool, variables: Mapping[str, str]) -> Iterator[None]:
    """Let ClearML's client be loaded, and read the settings, without leaving a trace of them.

    It is either online or offline in a whole process, and its own way to change that would take
    the user's task along.

    Args:
        offline: which of both.
        variables: what the settings say, as the client's variables.

    Raises:
        Parked: it is the other of both in this process already.
    """
    mode = {"CLEARML_OFFLINE_MODE": str(int(offline)), "CLEARML_TASK_ID": None}
    with undisturbed(mode | {"CLEARML_SUPPRESS_UPDATE_MESSAGE": "1"} | dict(variables)):
        import clearml

        if clearml.Task.is_offline() is not offline:
            raise Parked(
                f"ClearML's client is {'online' if offline else 'offline'} in this process",
                "Deliver by a process: delivery='process'.",
            )
        yield


class OnlineTask(Task):
    """A task on a server, through the client's API, which neither runs threads nor tries for ever.

    Args:
        wanted: which task.
    """

    holds_models: ClassVar[bool] = True

    def __init__(self, wanted: Wanted) -> None:
        from clearml import Task as ClientTask
        from clearml.backend_api.session.client import APIClient, StrictSession

        self._session = StrictSession(http_retries_config=dict(PATIENCE))
        self._api = APIClient(session=self._session)
        ClientTask._get_default_session()  # noqa: SLF001 - uploads take theirs from it, later
        self._files = (wanted.output or self._session.get_files_server_host()).rstrip("/")
        self._project = self._find_project(project_name(wanted.project))
        self.id = wanted.id or self._claimed(wanted) or self._create(long_enough(wanted.name))
        self.root = wanted.root(self.id)
        self.url = ClientTask.get_task_output_log_web_page(
            self.id, self._project, self._session.get_app_server_host()
        )
        self._api.tasks.started(task=self.id, force=True)
        self._by_hand: Any = None

    def _find_project(self, name: str) -> str:
        found = self._api.projects.get_all(name=f"^{re.escape(name)}$", only_fields=["id"])
        ids = [project.id for project in found]
        return str(ids[0] if ids else self._api.projects.create(name=name, description="").id)

    def _claimed(self, wanted: Wanted) -> str | None:
        """Return the id that somebody else wrote down, if the task says that it is this run's."""
        if not _is_id(wanted.claimed):
            return None
        found = self._api.tasks.get_all(id=[wanted.claimed], only_fields=["id", "hyperparams"])
        return next((str(task.id) for task in found if wanted.is_in(task.hyperparams)), None)

    def _create(self, name: str) -> str:
        created = self._api.tasks.create(name=name, type="training", project=self._project)
        return str(created.id)

    def set_hyperparams(self, items: Sequence[dict[str, str]]) -> None:
        """Add or replace hyperparameters; others stay."""
        self._api.tasks.edit_hyper_params(task=self.id, hyperparams=list(items), force=True)

    def set_comment(self, comment: str) -> None:
        """Set the description."""
        self._api.tasks.edit(task=self.id, comment=comment, force=True)

    def add_tags(self, tags: Sequence[str]) -> None:
        """Add tags to those that the task has, some of them perhaps from its page."""
        has = self._api.tasks.get_by_id(task=self.id).tags or []
        self._api.tasks.edit(task=self.id, tags=list(dict.fromkeys([*has, *tags])), force=True)

    def send(self, events: Sequence[Event]) -> None:
        """Send events; the server says what it does not take."""
        from clearml.backend_api.services import events as api

        for start in range(0, len(events), EVENTS):
            requests = [
                api.AddRequest(event=self._payload(event))
                for event in events[start : start + EVENTS]
            ]
            answer = self._session.send(api.AddBatchRequest(requests=requests)).response
            if answer.errors:
                raise Refused(f"ClearML did not take {answer.errors} events: {answer.errors_info}")

    def _payload(self, event: Event) -> Any:
        from clearml.backend_api.services import events as api

        about, content = event.about | {"task": self.id}, event.content
        if event.type == "training_stats_scalar":
            return api.MetricsScalarEvent(value=content, **about)
        if event.type == "plot":
            return api.MetricsPlotEvent(plot_str=content, **about)
        return api.MetricsImageEvent(key=content, url=self._address(content), **about)

    def _address(self, key: str) -> str:
        return f"{self._files}/{quote(key)}"

    def upload(self, path: Path, key: str) -> str:
        """Upload a file to the file server, or wherever the files go."""
        from clearml import StorageManager

        seconds = UPLOAD_TIMEOUT + path.stat().st_size / SLOWEST_UPLOAD
        upload = StorageManager.upload_file
        try:
            call_within(seconds, upload, str(path), f"{self._files}/{key}", retries=1)
        except ValueError as error:  # it says the status in its text, and nowhere else
            is_final = re.search(r"\(4\d\d\)", str(error))
            raise (Refused if is_final else Retry)(f"{path.name}: {error}") from error
        return self._address(key)

    def add_artifact(self, output: Output) -> None:
        """Add an artifact, or replace the one of its name."""
        self._api.tasks.add_or_update_artifacts(
            task=self.id, artifacts=[output.artifact], force=True
        )

    def add_model(self, output: Output) -> None:
        """Add a model, unless a repeat finds it, and make it the task's of this name."""
        models = self._api.models
        found = [model.id for model in models.get_all(uri=[output.uri], only_fields=["id"])]
        model = found[0] if found else self._create_model(output)
        self._api.tasks.add_or_update_model(
            task=self.id, name=output.name, model=model, type="output", iteration=output.step
        )

    def _create_model(self, output: Output) -> str:
        created = self._api.models.create(
            uri=output.uri,
            name=long_enough(output.name),
            comment=json.dumps(output.about),
            tags=output.aliases,
            project=self._project,
            task=self.id,
        )
        return str(created.id)

    def native(self) -> Any:
        """Return the client's object of the task, which has threads of its own."""
        from clearml import Task as ClientTask

        if self._by_hand is None:
            self._by_hand = ClientTask.get_task(task_id=self.id)
        return self._by_hand

    def end(self, status: EndStatus) -> None:
        """Set the outcome."""
        if self._by_hand:
            self._by_hand.flush(wait_for_uploads=True)
        tell = getattr(self._api.tasks, ENDS[status])
        tell(task=self.id, force=True, status_reason=status)


class OfflineTask(Task):
    """A task in an offline session: a folder, packed at the end, that the client imports later.

    The client's folder is written at once, so that a courier that dies leaves all that it
    acknowledged, and the next one goes on in the same folder.

    Args:
        wanted: which task.
    """

    holds_models: ClassVar[bool] = False  # an import looks for their files on this machine
    _is_shared = False

    def __init__(self, wanted: Wanted) -> None:
        from clearml import Task as ClientTask

        name = long_enough(wanted.name)
        known = wanted.id or self._claimed(wanted)
        if known:
            self._task = ClientTask.get_task(task_id=known)
        else:
            # What Task.create calls, too; init would take the whole process.
            self._task = ClientTask._create(project_name(wanted.project), name)  # noqa: SLF001
        self.id = self._task.id
        self.root = wanted.root(self.id)
        self._folder = Path(self._task.get_offline_mode_folder())
        self._about = self._folder / "task.json"
        self._kept = self._folder.with_name(f"{self.id}.task.json")
        self._zip = self._folder.with_name(f"{self.id}.zip")
        self.url = f"clearml-task --import-offline-session {self._zip}"
        if known:
            self._mend()
            self._task.reload()
        self._edit(name=name)

    def _claimed(self, wanted: Wanted) -> str | None:
        """Return the id that somebody else wrote down, if the session says it is this run's."""
        if not _is_id(wanted.claimed):
            return None
        from clearml.config import get_offline_dir

        try:
            about = json.loads(Path(get_offline_dir(wanted.claimed), "task.json").read_bytes())
        except (OSError, ValueError):
            return None
        return wanted.claimed if wanted.is_in(about.get("hyperparams")) else None

    def _mend(self) -> None:
        """Take back what a courier that died amid it wrote by half."""
        try:
            json.loads(self._about.read_bytes())
        except FileNotFoundError:
            remedy = "Set CLEARML_CACHE_DIR to where it is, or unset CLEARML_TASK_ID."
            raise Parked(f"there is no session {self._folder}", remedy) from None
        except ValueError:
            shutil.copyfile(self._kept, self._about)
        cut_torn_line(self._folder / "metrics.jsonl")

    def _edit(self, **values: Any) -> None:
        self._task._edit(**values)  # noqa: SLF001 - the public ways read and write all each time
        unfinished = self._kept.with_suffix(".tmp")
        shutil.copyfile(self._about, unfinished)
        unfinished.replace(self._kept)

    def set_hyperparams(self, items: Sequence[dict[str, str]]) -> None:
        """Add or replace hyperparameters; others stay."""
        sections = dict(self._task.data.hyperparams or {})
        for item in items:
            sections.setdefault(item["section"], {})[item["name"]] = item
        self._edit(hyperparams=sections)

    def set_comment(self, comment: str) -> None:
        """Set the description."""
        self._edit(comment=comment)

    def add_tags(self, tags: Sequence[str]) -> None:
        """Add tags."""
        self._edit(tags=list(dict.fromkeys([*(self._task.data.tags or []), *tags])))

    def send(self, events: Sequence[Event]) -> None:
        """Append events to the session."""
        writer = self._task.metrics_manager
        writer.write_events([_adapted(event) for event in events], async_enable=False)

    def upload(self, path: Path, key: str) -> str:
        """Copy a file into the session."""
        return str(copy_file(path, self._folder, Path("data", key)))

    def add_artifact(self, output: Output) -> None:
        """Add an artifact, or replace the one of its name."""
        from clearml.backend_api.services import tasks as api

        execution = self._task.data.execution
        others = [a for a in execution.artifacts or [] if a.key != output.name]
        execution.artifacts = [*others, api.Artifact(**output.artifact)]
        self._edit(execution=execution)

    def add_model(self, output: Output) -> None:
        """Never called: a session holds no models."""
        raise NotImplementedError

    def native(self) -> Any:
        """Return the client's object of the task, which has threads of its own."""
        self._is_shared = True
        return self._task

    def end(self, status: EndStatus) -> None:
        """Pack the folder, as the client would, but without printing where."""
        if self._is_shared:
            self._task.flush(wait_for_uploads=True)
        unfinished = self._zip.with_suffix(".tmp")
        with zipfile.ZipFile(unfinished, "w", compression=zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(self._folder.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(self._folder))
        unfinished.replace(self._zip)


def _is_id(text: str | None) -> bool:
    """Tell whether a text is an id as ClearML gives them, and so no path."""
    return bool(text and re.fullmatch(r"[0-9a-f]{32}|offline-[0-9a-f]{32}", text))


def cut_torn_line(path: Path) -> None:
    """Cut a last line that was not written to its end."""
    if path.is_file():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def _adapted(event: Event) -> Any:
    """Return an event as the client's writer takes it."""
    from clearml.backend_interface.metrics import events as writer

    about = event.about
    if event.type == "training_stats_scalar":
        return writer.ScalarEvent(value=event.content, **about)
    if event.type == "plot":
        return writer.PlotEvent(plot_str=event.content, **about)
    return writer.ImageEventNoUpload(src=event.content, **about)


def name_error(error: Exception) -> TrackerError:
    """Tell missing or wrong credentials from a server that is away, and from what it refuses."""
    reason = f"{type(error).__name__}: {error}"
    kind = type(error).__name__
    if kind == "MissingConfigError" or (kind == "LoginError" and re.search(r"error 4\d\d", reason)):
        return Parked(reason.strip(), REMEDY)
    if kind == "LoginError":  # which is what the client makes of a dead server, too
        return Retry(reason)
    code = getattr(error, "code", None)  # of an answer of the server
    if code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Parked(reason, REMEDY)
    if isinstance(code, int) and code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Retry(reason)
    return classify_by_default(error)
