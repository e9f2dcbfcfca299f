"""W&B's client as a whole: how it is opened, what its errors mean, and how it is left.

The client keeps one helper process, ``wandb-core``, for all runs of a process.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from multitrack.trackers.access import in_netrc
from multitrack.trackers.backends._wandb_settings import LOGIN
from multitrack.trackers.protocol import (
    Parked,
    Refused,
    Restart,
    Retry,
    TrackerError,
    classify_by_default,
)

if TYPE_CHECKING:
    from wandb import Run

LOOK = "See that project, team, run id and folder are ones that W&B takes: WANDB_* variables."
OFFLINE = ("offline", "dryrun")
QUIET: dict[str, Any] = {
    "reinit": "create_new",
    "console": "off",
    "silent": True,
    "quiet": True,
    "disable_code": True,
    "save_code": False,
    "disable_git": True,
    "disable_job_creation": True,
    "label_disable": True,
    "sagemaker_disable": True,
    "stop_fn": lambda: None,
    "finish_timeout_raises": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Settings of every run: the courier's process is not what is to be observed."""
AWAY = re.compile(r"\b(?:HTTP|error|code:) (408|425|429|5\d\d)\b")
ANSWERS_NO = re.compile(r"\b(?:HTTP|error|code:) (4\d\d)\b")
NO_KEY = re.compile(r"API key|api_key not configured|error 401")
ENDED = ("finished", "failed", "killed", "preempted")
"""States of a run whose outcome the server was told."""


def open_run(settings: dict[str, Any]) -> Run:
    """Start a session of a run.

    Args:
        settings: the client's, by name; None leaves one as it is. What an older client does
            not know is left out.

    Raises:
        Parked: nobody is logged in.
        Exception: anything that the client raises.
    """
    import wandb

    given = {name: value for name, value in (QUIET | settings).items() if value is not None}
    known = {name: given[name] for name in given.keys() & wandb.Settings.model_fields.keys()}
    if given["mode"] not in OFFLINE:
        _check_login(known)
    wandb.setup()  # starts the helper; in the oldest clients, two `init` at once start two
    return wandb.init(settings=wandb.Settings(**known))


def leave_foreign_service() -> None:
    """Do not share the helper of a trainer that uses W&B itself: it dies with the trainer."""
    owner = os.environ.get("WANDB_SERVICE", "").split("-")[1:2]
    if owner and owner != [str(os.getpid())]:
        del os.environ["WANDB_SERVICE"]


def why_not_ended(run: Run, timeout: float) -> str | None:
    """Return what the server shows instead of an outcome after some seconds, None if it has it.

    The client ends without a word when the server refused the upload.
    """
    import wandb

    own = run.settings
    place = {"base_url": own.base_url, "entity": run.entity, "project": run.project}
    deadline = time.monotonic() + timeout
    while True:
        try:
            api = wandb.Api(overrides=place, api_key=own.api_key)
            state = api.run(f"{run.entity}/{run.project}/{run.id}").state
            shown = None if state in ENDED else f"the state {state!r}"
        except Exception as error:  # whatever it is, the outcome was not seen
            shown = f"{type(error).__name__}: {error}"
        if not shown or time.monotonic() > deadline:
            return shown
        time.sleep(1)


def close(run: Run | None) -> None:
    """Let go of a run, and of the helper process unless other runs use it.

    The client has no way to leave a run without an outcome: it is shown as failed until it is
    taken up again.
    """
    wandb = sys.modules.get("wandb")
    if wandb is None:
        return
    active = getattr(wandb.setup(), "most_recent_active_run", None)
    if wandb.run is None and active in (None, run):
        wandb.teardown(exit_code=255)
    elif run is not None:
        run.finish(exit_code=255)


def classify(error: Exception, *, is_open: bool) -> TrackerError:
    """Name what the client raised.

    Args:
        error: the exception.
        is_open: whether the run was started.
    """
    from wandb.errors import AuthenticationError, CommError, UsageError

    reason = f"{type(error).__name__}: {error}".strip()
    is_gone = isinstance(error, ConnectionError) or _is_mailbox(error)
    if is_gone or AWAY.search(reason):
        return Restart(reason) if is_gone and is_open else Retry(reason)
    if is_open and isinstance(error, OSError) and error.errno is None:
        return Refused(reason)  # not the system but Pillow, about a file that is no picture
    if is_open:
        may_pass = isinstance(error, CommError) and not ANSWERS_NO.search(reason)
        return Retry(reason) if may_pass else classify_by_default(error)
    if isinstance(error, AuthenticationError) or NO_KEY.search(reason):
        return Parked(reason, LOGIN)
    if ANSWERS_NO.search(reason) or isinstance(error, UsageError | ValueError | PermissionError):
        return Parked(reason, LOOK)
    return Retry(reason) if isinstance(error, CommError) else classify_by_default(error)


def _check_login(settings: dict[str, Any]) -> None:
    """Look for a key where there is a terminal, since the client would ask for one there.

    Raises:
        Parked: there is none.
    """
    import wandb

    if "ipykernel" not in sys.modules and not (sys.stdin and sys.stdin.isatty()):
        return
    known = wandb.setup().settings
    url = settings.get("base_url") or known.base_url
    keys = (settings.get("api_key"), known.api_key, known.identity_token_file)
    if not any(keys) and not in_netrc(urlsplit(url).netloc) and not in_netrc("api.wandb.ai"):
        raise Parked(f"there is no key for W&B at {url}", LOGIN)


def _is_mailbox(error: Exception) -> bool:
    """Tell whether the helper process did not answer."""
    return type(error).__module__.startswith("wandb.sdk.mailbox")
