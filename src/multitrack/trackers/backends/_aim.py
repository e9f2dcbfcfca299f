"""Aim's repositories: a run opened for writing, and left without waiting for a server for ever."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitrack.trackers.bounded import call_within
from multitrack.trackers.protocol import Restart, RunInfo

if TYPE_CHECKING:
    from aim import Repo, Run

FLUSH_TIMEOUT = 60.0
"""Seconds in which a server must have taken what was sent."""
CLOSE_TIMEOUT = 10.0
"""Seconds in which it must have closed the run."""


def is_remote(repo: str) -> bool:
    """Tell whether a repository is behind an ``aim server``."""
    return repo.startswith("aim://")


def artifacts_of(repo: str) -> str | None:
    """Return where a repository's files go if nobody says; None beside a server."""
    from aim.sdk.configs import get_aim_repo_name

    return None if is_remote(repo) else f"file://{repo}/{get_aim_repo_name()}/artifacts"


def open_run(repo: str, run_hash: str | None) -> Run:
    """Open a run, with nothing of the process in it; finish a repository that was half made.

    Args:
        repo: the repository's folder, or its server's address.
        run_hash: Aim's id of a run to go on with; a new run if None.
    """
    from aim import Repo, Run

    is_new = not is_remote(repo) and Repo.get_version(repo) == (0, 0)
    if is_new:
        Path(repo).mkdir(parents=True, exist_ok=True)
    opened = partial(
        Run,
        run_hash,
        repo=Repo(repo, init=is_new),  # our own: Aim's pool would give back a lost connection
        system_tracking_interval=None,
        log_system_params=False,
        capture_terminal_logs=False,
    )
    try:
        return opened()
    except TimeoutError:  # locked by a dead courier on another machine: we hold the run's own lock
        return opened(force_resume=True)


def claimed(repo: str, run: RunInfo) -> str | None:
    """Return the id that somebody else wrote down, if Aim's run says itself that it is this one."""
    from aim import Repo

    if not re.fullmatch(r"[0-9a-f]{8,64}", run.claimed or ""):
        return None
    if not is_remote(repo) and Repo.get_version(repo) == (0, 0):
        return None
    with suppress(Exception):  # of many kinds, where there is no such run
        found: Any = Repo(repo).get_run(run.claimed)
        if found is not None and found.get("multitrack", {}).get("run_id") == run.run_id:
            return run.claimed
    return None


def await_server(run: Run) -> None:
    """Wait until the server, if there is one, has taken all.

    Raises:
        Restart: it takes nothing more.
    """
    if run.repo.is_remote_repo:
        try:
            queue = run.repo._client.get_queue()  # noqa: SLF001 - no public way to what is unsent
            call_within(FLUSH_TIMEOUT, queue.wait_for_finish)
        except TimeoutError:
            raise Restart("the Aim server takes nothing more") from None


def leave(run: Run) -> None:
    """Close a run, and the connection to its server. Never raises."""
    repo = run.repo
    with suppress(Exception):
        if repo.is_remote_repo:
            call_within(CLOSE_TIMEOUT, _disconnect, run)
        else:
            run.close()
    run._tracker = None  # noqa: SLF001 - it keeps the files open as long as somebody has the run
    if repo.is_remote_repo:
        _forget(repo)


def _disconnect(run: Run) -> None:
    repo = run.repo
    run.close()
    repo._resources.close()  # noqa: SLF001 - Aim leaves it to the end of the process


def _forget(repo: Repo) -> None:
    """Take what is left of a connection out of Aim's clean-up at the end of the process.

    That waits for the server, and hangs when the server does not answer.
    """
    from aim.ext.cleanup import AutoClean

    client = repo._client  # noqa: SLF001 - connections have no public name
    for owner, (_, finalizer) in list(AutoClean._finalizers.items()):  # noqa: SLF001 - nor these
        parts = (getattr(owner, name, None) for name in ("repo", "_client", "_rpc_client"))
        if owner is repo or any(part is repo or part is client for part in parts):
            finalizer.detach()
