"""Where MLflow's store is, and how its client is kept quiet and bounded."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from multitrack.trackers.locks import alone_in
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.redact import redact_text

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_SECONDS = 30
_BYTES_A_SECOND = 10_000_000
_DEFAULTS = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the courier repeats; by default a call may take 246 s
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    _TIMEOUT: str(_SECONDS),
}
"""What the client reads from the environment alone, unless the user set it."""


def locate(uri: str | None, directory: str) -> str:
    """Return a tracking URI that means the same wherever it is read.

    Args:
        uri: what the user set; None for the client's own default, a database in the directory.
        directory: what relative paths are relative to.

    >>> locate(None, "/here"), locate("sqlite:///runs.db", "/here"), locate("./mlruns", "/here")
    ('sqlite:////here/mlflow.db', 'sqlite:////here/runs.db', 'file:///here/mlruns')
    """
    uri = uri or "sqlite:///mlflow.db"
    scheme, _, rest = uri.partition(":///")
    if scheme.startswith("sqlite"):
        return f"{scheme}:///{Path(directory, rest)}"
    if is_folder(uri):
        path = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
        return Path(directory, path).as_uri()
    return uri


def locate_for(uri: str | None, run: RunInfo) -> str:
    """Return the tracking URI of a run, where nobody named one that of its default place."""
    if uri:
        return locate(uri, str(run.directory))
    return f"sqlite:///{run.default('mlflow.db')}"


def is_folder(uri: str) -> bool:
    """Tell whether a tracking URI names a folder of files."""
    return urlsplit(uri).scheme in {"", "file"} and uri not in {"databricks", "databricks-uc", "uc"}


def is_database(uri: str) -> bool:
    """Tell whether the client itself writes to a database."""
    return urlsplit(uri).scheme.partition("+")[0] in {"sqlite", "postgresql", "mysql", "mssql"}


@contextmanager
def alone_in_store(uri: str) -> Iterator[None]:
    """Keep other couriers out of a SQLite database while it may have to be made.

    The client makes its tables by a hundred steps that another process's steps spoil. On a file
    system without locks the first courier of many should be waited for.
    """
    if not uri.startswith("sqlite"):
        yield
        return
    with alone_in(Path(uri.partition(":///")[2]).parent):
        yield


@contextmanager
def made_in(run: RunInfo) -> Iterator[None]:
    """Be where the files of a foreign run go: a new database keeps them below where it was made.

    The courier of such a run, a process of its own, works in an empty folder.
    """
    if not run.is_foreign:
        yield
        return
    before = Path.cwd()
    os.chdir(run.directory)
    try:
        yield
    finally:
        os.chdir(before)


def set_defaults(uri: str) -> None:
    """Set what the client needs to be quiet and bounded, where the user set nothing."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if is_folder(uri):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")


def address(uri: str, experiment_id: str, run_id: str) -> str:
    """Return the run's page, or the command that shows a local store."""
    if urlsplit(uri).scheme in {"http", "https"}:
        return f"{redact_text(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
    command = f"mlflow ui --backend-store-uri {shlex.quote(redact_text(uri))}"
    return f"MLFLOW_ALLOW_FILE_STORE=true {command}" if is_folder(uri) else command


@contextmanager
def time_to_store(size: int) -> Iterator[None]:
    """Wait longer for a server that passes on a large file before it answers.

    MLflow has one time-out for all calls; it is raised only if it is ours.

    Args:
        size: bytes to be stored.
    """
    is_ours = os.environ.get(_TIMEOUT) == str(_SECONDS)
    if is_ours:
        os.environ[_TIMEOUT] = str(_SECONDS + size // _BYTES_A_SECOND)
    try:
        yield
    finally:
        if is_ours:
            os.environ[_TIMEOUT] = str(_SECONDS)
