"""DagsHub: runs at the MLflow server of a repository; on request, artifacts in the repository."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar
from urllib.parse import quote, urlsplit

import msgspec

from multitrack.trackers.access import Access, in_file
from multitrack.trackers.backends import _dagshub as client
from multitrack.trackers.backends import _mlflow_files as files
from multitrack.trackers.backends import _mlflow_names as names
from multitrack.trackers.backends._layout import laid_out
from multitrack.trackers.backends._mlflow_settings import MLflowSettings
from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.backends.mlflow import MLflowTracker
from multitrack.trackers.protocol import Attachment, Parked, RunInfo, TrackerError, stored_as
from multitrack.trackers.records import Artifact
from multitrack.trackers.redact import REDACTED
from multitrack.trackers.settings import Env, LogModel, Settings, switch

_ADDRESS = re.compile(r"(?P<path>.*)/(?P<repo>[^/]+/[^/]+)\.mlflow/?")


class DagsHubSettings(MLflowSettings, frozen=True):
    """Which repository the run goes to, and what is said of it at its MLflow server."""

    repo: Annotated[
        str | None, Env("DAGSHUB_REPO", place="address", help="The repository, as `owner/name`.")
    ] = None
    tracking_uri: Annotated[
        str | None,
        Env(
            "MLFLOW_TRACKING_URI",
            place="address",
            client=True,
            help="Its MLflow server, `https://dagshub.com/<owner>/<name>.mlflow`: names the "
            "repository if DAGSHUB_REPO does not.",
        ),
    ] = None
    token: Annotated[
        str | None,
        Env(
            "DAGSHUB_USER_TOKEN",
            client=True,
            secret=True,
            help="Token of a user who may write. Without it: that of `dagshub login`.",
        ),
    ] = None
    host: Annotated[
        str,
        Env(
            "DAGSHUB_CLIENT_HOST", place="address", client=True, help="An installation of your own."
        ),
    ] = "https://dagshub.com"
    log_artifacts: Annotated[
        bool,
        Env(
            "HF_DAGSHUB_LOG_ARTIFACTS",
            help="Commit artifacts to the repository, instead of storing them with the run.",
            words={"all": "true", "best": "true", "last": "true", "none": "false"},
        ),
    ] = False
    log_model: Annotated[
        LogModel,
        Env(
            "HF_DAGSHUB_LOG_ARTIFACTS",
            help="Which checkpoints become artifacts; true is all.",
            words=switch("all"),
        ),
    ] = "none"
    disabled: bool = False  # what switches MLflow off leaves DagsHub on
    branch: Annotated[str, Env("BRANCH", help="Branch that they are committed to.")] = "main"

    def access(self) -> Access:
        """Return the installation, and where a token for it is."""
        try:
            host, _ = _locate(self)
        except Parked as unknown:
            return Access(mode="no repository", remedy=unknown.remedy)
        key = self.source_of("token") or (_token(self) and "the variables of MLflow's client")
        key = key or in_file(client.tokens_file(), re.escape(host))
        return Access(mode="online", address=host, key=key, remedy=client.SIGN_IN)


class DagsHubTracker(MLflowTracker):
    """Store one run at a repository's MLflow server.

    The token travels in the address that MLflow's client gets, not in variables, which another
    server's client in the same process would read, too.

    Args:
        settings: where the run goes.
    """

    name: ClassVar[str] = "dagshub"
    distributions: ClassVar[tuple[str, ...]] = ("dagshub",)
    settings_type: ClassVar[type[Settings]] = DagsHubSettings

    def __init__(self, settings: DagsHubSettings) -> None:
        super().__init__(settings)
        self._dagshub = settings

    def start(self, run: RunInfo) -> Attachment:
        """Sign in, and create the run or find it again."""
        self._host, self._repo = _locate(self._dagshub)
        with undisturbed():
            client.load()
            self._token, user = client.sign_in(self._repo, _token(self._dagshub), self._host)
        scheme, _, rest = self._host.partition("://")
        address = f"{scheme}://{quote(user, safe='')}:{quote(self._token, safe='')}@{rest}"
        self._settings = msgspec.structs.replace(
            self._dagshub, tracking_uri=f"{address}/{self._repo}.mlflow"
        )
        found = super().start(run)
        url = found.url.replace(f"{REDACTED}@", "") if found.url else None
        return msgspec.structs.replace(found, url=url)

    @stored_as("as with MLflow; on request, files in the repository under `artifacts/<run>/`")
    def log_artifact(self, artifact: Artifact) -> None:
        """Commit the files, if that is wanted, and store with the run where they are."""
        if self._dagshub.log_artifacts:
            place = files.place(f"artifacts/{self._run.run_id}", artifact.name, artifact)
            self._commit(artifact, place)
            url = f"{self._host}/{self._repo}/src/{self._dagshub.branch}/{quote(place)}"
            about = artifact.metadata | {"dagshub": url}
            artifact = msgspec.structs.replace(artifact, files=[], metadata=about)
        super().log_artifact(artifact)

    def classify(self, error: Exception) -> TrackerError:
        """Name what DagsHub's client raises, and what MLflow's does."""
        return client.name_error(error)

    def _commit(self, artifact: Artifact, place: str) -> None:
        contents = {names.path(file.name): self._run.path(file) for file in artifact.files}
        message = f"{artifact.kind} {artifact.name} of {self._run.run_id}"
        with laid_out(contents) as folder:
            client.commit(
                folder,
                place,
                message,
                host=self._host,
                repo=self._repo,
                token=self._token,
                branch=self._dagshub.branch,
            )


def _locate(settings: DagsHubSettings) -> tuple[str, str]:
    """Return the installation's address and the repository's ``owner/name``.

    Raises:
        Parked: nothing names one.
    """
    if settings.repo:
        if re.fullmatch(r"[^/\s]+/[^/\s]+", settings.repo):
            return settings.host.rstrip("/"), settings.repo
        raise Parked(
            f"DAGSHUB_REPO holds {settings.repo!r}, which is no owner/name", client.NAME_IT
        )
    parts = urlsplit(settings.tracking_uri or "")
    if parts.scheme in {"http", "https"} and (found := _ADDRESS.fullmatch(parts.path)):
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{found['path']}", found["repo"]
    what = "is no address of one" if settings.tracking_uri else "is not set"
    raise Parked(f"no repository of DagsHub is named: MLFLOW_TRACKING_URI {what}", client.NAME_IT)


def _token(settings: DagsHubSettings) -> str | None:
    """Return the user's token; what is for MLflow counts if it is for this server."""
    for_mlflow = settings.tracking_password or settings.tracking_token
    return settings.token or (None if settings.repo else for_mlflow)
