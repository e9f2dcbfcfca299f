"""What a user can say about where a run goes in MLflow, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from multitrack.trackers.access import Access
from multitrack.trackers.backends._mlflow_store import is_folder, locate
from multitrack.trackers.settings import Env, LogModel, Settings, switch


class MLflowSettings(Settings, frozen=True):
    """Where the run goes, and what is said of it."""

    tracking_uri: Annotated[
        str | None,
        Env(
            "MLFLOW_TRACKING_URI",
            place="address",
            help="A server, a database or a folder. Without it: `mlflow.db` where the run runs.",
            client=True,
        ),
    ] = None
    experiment_name: Annotated[
        str | None,
        Env(
            "MLFLOW_EXPERIMENT_NAME",
            help="Experiment of a run that names no project; created if there is none.",
            client=True,
        ),
    ] = None
    experiment_id: Annotated[
        str | None,
        Env(
            "MLFLOW_EXPERIMENT_ID",
            help="Experiment of a run that names no project; wins over a name.",
            client=True,
        ),
    ] = None
    run_id: Annotated[
        str | None,
        Env("MLFLOW_RUN_ID", help="MLflow's id of a run to go on with.", client=True),
    ] = None
    nested_run: Annotated[
        bool,
        Env("MLFLOW_NESTED_RUN", help="Make a new run, as a child of the one in MLFLOW_RUN_ID."),
    ] = False
    tags: Annotated[
        dict[str, Any] | None,
        Env("MLFLOW_TAGS", help='More tags of the run, as JSON: `{"team": "vision"}`.'),
    ] = None
    flatten_params: Annotated[
        bool,
        Env(
            "MLFLOW_FLATTEN_PARAMS",
            help="If false, what is nested below a group such as `model` stays one param.",
        ),
    ] = True
    max_log_params: Annotated[
        int | None,
        Env(
            "MLFLOW_MAX_LOG_PARAMS",
            help="Most params of the run; the rest goes into an artifact only.",
        ),
    ] = None
    tracking_token: Annotated[
        str | None,
        Env("MLFLOW_TRACKING_TOKEN", help="Token for the server.", client=True, secret=True),
    ] = None
    tracking_username: Annotated[
        str | None,
        Env("MLFLOW_TRACKING_USERNAME", help="User at the server.", client=True, secret=True),
    ] = None
    tracking_password: Annotated[
        str | None,
        Env("MLFLOW_TRACKING_PASSWORD", help="The user's password.", client=True, secret=True),
    ] = None
    log_model: Annotated[
        LogModel,
        Env(
            "HF_MLFLOW_LOG_ARTIFACTS",
            help="Which checkpoints become artifacts; true is all.",
            words=switch("all"),
        ),
    ] = "none"
    disabled: Annotated[
        bool,
        Env("DISABLE_MLFLOW_INTEGRATION", help="Leave MLflow out, though `report_to` names it."),
    ] = False

    def access(self) -> Access:
        """Return the server, or the folder of the database or of the files."""
        uri = locate(self.tracking_uri, str(Path.cwd()))
        parts = urlsplit(uri)
        if is_folder(uri):
            return Access(folder=Path(unquote(parts.path)))
        if uri.startswith("sqlite"):
            return Access(folder=Path(uri.partition(":///")[2]).parent)
        key = self.source_of("tracking_token") or self.source_of(
            "tracking_username", "tracking_password"
        )
        address = uri if parts.hostname else None
        return Access(mode="online" if address else uri, address=address, key=key)
