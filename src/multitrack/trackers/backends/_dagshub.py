"""DagsHub's client: how it is loaded, signed in and answered, and how it commits a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from multitrack.trackers.backends import _mlflow_errors as mlflow
from multitrack.trackers.protocol import Parked, Retry, TrackerError

NAME_IT = (
    "Set DAGSHUB_REPO to owner/name, or MLFLOW_TRACKING_URI to "
    "https://dagshub.com/<owner>/<name>.mlflow."
)
SIGN_IN = (
    "Set DAGSHUB_USER_TOKEN to a token of a user who may write, or type: dagshub login. "
    "The site has your tokens at /user/settings/tokens."
)
_CHECK_HOST = "Check that DAGSHUB_CLIENT_HOST, or MLFLOW_TRACKING_URI, names your DagsHub."
_ANSWER = re.compile(r"status (?:code )?(\d{3})")
_PASSING = {"TransportError", "InvalidLastCommitError"}
"""Classes of exceptions for what may pass: the network, and a commit that was overtaken."""
_NO_DAGSHUB = {"JSONDecodeError", "DaciteError", "UserNotFoundError"}
"""Classes of exceptions for an answer that DagsHub does not give."""


def tokens_file() -> Path:
    """Return where ``dagshub login`` keeps tokens on Linux."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    own = os.environ.get("DAGSHUB_CLIENT_TOKENS_CACHE")
    return Path(own or f"{cache}/dagshub/tokens").expanduser()


def load() -> None:
    """Import the client so that it is quiet."""
    for name in ("DAGSHUB_QUIET", "DAGSHUB_DISABLE_ANALYTICS"):
        os.environ.setdefault(name, "1")
    import dagshub.upload  # noqa: F401 - it is needed later, and draws random numbers now


def sign_in(repo: str, token: str | None, host: str) -> tuple[str, str]:
    """Return the token and its user's name; the server knows them, and the repository.

    Args:
        repo: the repository, as ``owner/name``.
        token: of the user; None for the one that ``dagshub login`` left.
        host: the installation's address.

    Raises:
        Parked: there is no token.
    """
    from dagshub.auth.token_auth import EnvVarDagshubToken
    from dagshub.common.api.repo import RepoAPI
    from dagshub.common.api.user import UserAPI

    token = token or _left_by_login(host)
    if not token:
        raise Parked(f"there is no token for {host}", SIGN_IN)
    user: Any = UserAPI.get_user_from_token(token, host=host)
    RepoAPI(repo, host=host, auth=EnvVarDagshubToken(token)).get_repo_info()
    return token, str(user.username)


def commit(
    folder: str, place: str, message: str, *, host: str, repo: str, token: str, branch: str
) -> None:
    """Commit a folder's files, by the client's own rules; repeating it commits nothing new.

    Args:
        folder: where the files lie.
        place: the folder's path in the repository.
        message: of the commit.
        host: the installation's address.
        repo: the repository, as ``owner/name``.
        token: of a user who may write.
        branch: where the commit goes; made from the default branch if there is none.
    """
    from dagshub.common.api.repo import RepoAPI
    from dagshub.upload import Repo

    class Telling(Repo):
        """The client's repository; its own errors do not tell the status of an answer."""

        def _log_upload_details(self, data: Any, res: Any, files: Any, quiet: bool) -> None:
            reason = f"DagsHub answered {res.status_code} to an upload: {res.text}"
            if answer := _by_status(res.status_code, " ".join(reason.split())[:500]):
                raise answer
            super()._log_upload_details(data, res, files, quiet)

    owner, _, name = repo.partition("/")
    target = Telling(owner, name, token=token, branch=branch)
    target.host = host  # the client has one for the whole process, maybe another run's
    target._api = RepoAPI(repo, host=host, auth=target.auth)  # noqa: SLF001 - likewise
    # With the slash, clients before 0.6 cut it from the files' names, too.
    target.directory(place).add_dir(f"{folder}/", commit_message=message, force=True)


def name_error(error: Exception) -> TrackerError:
    """Name an exception that DagsHub's client, or MLflow's, raised."""
    answer = mlflow.name_error(error)
    found = _ANSWER.search(answer.reason)
    bases = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, RuntimeError) and found:
        return _by_status(int(found[1]), answer.reason) or Parked(answer.reason, NAME_IT)
    if bases & _PASSING:
        return Retry(answer.reason)
    if bases & _NO_DAGSHUB:
        return Parked(answer.reason, _CHECK_HOST)
    if "RepoNotFoundError" in bases:
        return Parked(answer.reason, NAME_IT)
    is_denied = isinstance(answer, Parked) and answer.remedy == mlflow.SIGN_IN
    return Parked(answer.reason, SIGN_IN) if is_denied else answer


def _left_by_login(host: str) -> str | None:
    """Return the newest token that ``dagshub login`` left.

    The client's own search would delete all of them when the server fails.
    """
    from dagshub.auth.tokens import TokenStorage

    known = TokenStorage()._token_cache.get(host, [])  # noqa: SLF001 - see above
    valid = [token.token_text for token in known if not token.is_expired]
    return valid[-1] if valid else None


def _by_status(status: int, reason: str) -> TrackerError | None:
    """Name an answer by its status alone; None if that does not tell."""
    if status in {401, 403}:
        return Parked(reason, SIGN_IN)
    is_later = status in {408, 429} or status >= 500  # noqa: PLR2004 - HTTP's words for "later"
    return Retry(reason) if is_later else None
