"""Where the rows of one Trackio run go: a local database, a server, or a Space.

``trackio.log`` answers before anything is stored, stamps rows with a time of its own, and turns
every error into a warning. The calls that its sender thread makes do none of that. They are made
here, each with the point's time and with an id that the database keeps once.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from multitrack.trackers.access import in_file
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.beneath import beneath, copy_file
from multitrack.trackers.names import escape
from multitrack.trackers.protocol import Parked, Refused, Retry, TrackerError, classify_by_default
from multitrack.trackers.records import spell

if TYPE_CHECKING:
    from trackio.fragments import FragmentWriter
    from trackio.remote_client import RemoteClient


HUB = "https://huggingface.co"
LOGIN = "hf auth login"


def hub_token() -> str | None:
    """Return where Hugging Face's client has a token, None if it has none."""
    if os.environ.get("HF_TOKEN"):
        return "HF_TOKEN"
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    file = Path(os.environ.get("HF_TOKEN_PATH") or f"{home}/token")
    return in_file(file.expanduser(), r"\S")


def load_client(folder: Path | None) -> None:
    """Import trackio, which reads ``TRACKIO_DIR`` once, when it is imported.

    Raises:
        Parked: it is imported already, and stores somewhere else.
    """
    if folder and "trackio" not in sys.modules:
        os.environ["TRACKIO_DIR"] = str(folder)
    with undisturbed():
        from trackio import utils

    if folder and utils.TRACKIO_DIR.absolute() != folder:
        raise Parked(
            f"this process already uses trackio with {utils.TRACKIO_DIR}, not {folder}",
            'Use delivery="process", where every run has a client of its own.',
        )


class Store:
    """The rows, files and artifacts of one run.

    Args:
        project: of the run.
        name: of the run.
        run_id: of the run.
    """

    def __init__(self, project: str, name: str, run_id: str) -> None:
        self.url = f"trackio show --project {shlex.quote(project)}"
        self.state: dict[str, Any] = {}
        self._run = {"project": project, "run": name, "run_id": run_id}
        self._remote: RemoteClient | None = None
        self._write_token: str | None = None
        self._hf_token: str | None = None
        self._inbox: FragmentWriter | None = None
        self._artifacts: Any = None
        self._lock = Lock()  # the user's thread may be the first to need the client's run

    def use_server(self, address: str, write_token: str | None) -> None:
        """Send to a self-hosted server, whose address may hold its token."""
        from trackio.remote_client import RemoteClient
        from trackio.utils import parse_trackio_server_url

        self.url, token = parse_trackio_server_url(address)
        self.state = {"server_base_url": self.url}
        self._write_token = token or write_token
        self._remote = RemoteClient(self.url, write_token=self._write_token)

    def use_space(self, space: str, bucket: str | None, private: bool | None) -> None:
        """Send to a Space, which is made if there is none."""
        from huggingface_hub import get_token
        from trackio import deploy, utils
        from trackio.remote_client import RemoteClient

        found, _, bucket = utils.preprocess_space_and_dataset_ids(space, None, bucket)
        deploy.create_space_if_not_exists(str(found), None, bucket, private)
        self.url = f"https://huggingface.co/spaces/{found}"
        self.state = {"space_id": str(found)}
        self._hf_token = get_token()
        self._remote = RemoteClient(str(found), hf_token=self._hf_token)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Store rows; those that are there already stay as they are."""
        from trackio import fragments, utils
        from trackio.sqlite_storage import SQLiteStorage

        if self._remote:
            logs = [{**row, **self._run, "metrics": _spelled(row["metrics"])} for row in rows]
            self._remote.predict(api_name="/bulk_log", logs=logs, hf_token=self._hf_token)
        elif utils.get_storage_mode() == "jsonl":  # the folder is on a network's file system
            self._inbox = self._inbox or fragments.FragmentWriter()
            self._inbox.write_local([fragments.metric_record({**row, **self._run}) for row in rows])
        else:
            SQLiteStorage.bulk_log(
                **self._run,
                metrics_list=[row["metrics"] for row in rows],
                steps=[row["step"] for row in rows],
                timestamps=[row["timestamp"] for row in rows],
                log_ids=[row["log_id"] for row in rows],
                config=rows[0].get("config"),
            )

    def add_file(self, source: Path, name: str, step: int) -> str:
        """Keep a file where trackio keeps those of a step; return its path for a row."""
        from trackio.media.utils import get_project_media_path
        from trackio.utils import MEDIA_DIR

        place: dict[str, Any] = {
            "project": self._run["project"],
            "run": self._run["run_id"],
            "step": step,
            "relative_path": None,
        }
        parts = Path(self._run["project"], self._run["run_id"], str(step), name)
        beneath(Path(MEDIA_DIR), parts)
        target = get_project_media_path(**place) / name
        copy_file(source, Path(MEDIA_DIR), target.relative_to(MEDIA_DIR))
        if self._remote:
            kind = {"_type": "gradio.FileData"}  # the client then sends the content along
            file = {"path": str(target), "orig_name": name, "meta": kind}
            uploads = [{**place, "uploaded_file": file}]
            self._remote.predict(
                api_name="/bulk_upload_media", uploads=uploads, hf_token=self._hf_token
            )
        return target.relative_to(MEDIA_DIR).as_posix()

    def run_of_client(self) -> Any:
        """Return trackio's own run object, which alone can store artifacts."""
        with self._lock:
            if self._artifacts is None:
                self._artifacts = self._open_run()
        return self._artifacts

    def _open_run(self) -> Any:
        from trackio.run import Run

        run = Run(
            url=next(iter(self.state.values()), None),
            project=self._run["project"],
            client=self._remote,
            name=self._run["run"],
            run_id=self._run["run_id"],
            initial_last_step=0,
            write_token=self._write_token,
            **self.state,
        )
        run.config = {}  # which it would store in place of ours with its first row
        return run

    def close(self) -> None:
        """Let go of the client's run, which at most waits half a minute for its own thread."""
        if self._artifacts:
            self._artifacts.finish()
        self._artifacts = None


def key(name: str) -> str:
    """Return a metric's name as trackio's own ``log`` would write it."""
    from trackio.utils import RESERVED_KEYS

    return f"__{name}" if name in RESERVED_KEYS or name.startswith("__") else name


def component(name: str) -> str:
    """Return a name of an artifact or alias in the characters that trackio takes.

    >>> component("best model")
    'best_x20_model'
    """
    return escape(name, lambda c: c.isascii() and (c.isalnum() or c in "._-"))


def name_error(error: Exception) -> TrackerError:
    """Tell a missing token from a server that is down and from a busy database."""
    import sqlite3

    from httpx import HTTPStatusError, TransportError
    from huggingface_hub.errors import LocalTokenNotFoundError

    if isinstance(error, LocalTokenNotFoundError):
        return Parked("Hugging Face knows no token on this machine", LOGIN)
    if isinstance(error, HTTPStatusError):
        return _name_answer(error.response.status_code, error.response.text)
    if isinstance(error, sqlite3.OperationalError | TransportError):
        return Retry(f"{type(error).__name__}: {error}")
    return classify_by_default(error)


def _name_answer(code: int, text: str) -> TrackerError:
    reason = f"the server answered {code}: {text}"
    if code in {401, 403} or "token" in text:  # trackio says 400 for a wrong token
        remedy = "Set TRACKIO_SERVER_URL to the address with the token that `trackio show` prints."
        return Parked(reason, remedy)
    return Retry(reason) if code in {408, 429} or code >= 500 else Refused(reason)  # noqa: PLR2004


def _spelled(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON can hold them, spelled as trackio spells them."""
    return {key: spell(v) if isinstance(v, float) else v for key, v in metrics.items()}
