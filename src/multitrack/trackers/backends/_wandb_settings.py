"""The variables that steer a run at W&B: its client's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from multitrack.trackers.access import Access, in_netrc
from multitrack.trackers.settings import OFF, Env, LogModel, Settings, Watched, switch

HOST = "https://api.wandb.ai"
"""The client's own default."""
LOGIN = "Type `wandb login`, or set WANDB_API_KEY; or set WANDB_MODE=offline."


class WandbSettings(Settings, frozen=True):
    """Where the run goes, and what is said of it."""

    project: Annotated[
        str | None,
        Env(
            "WANDB_PROJECT",
            help="Project of a run that names none. Without it: `uncategorized`.",
            client=True,
        ),
    ] = None
    entity: Annotated[
        str | None, Env("WANDB_ENTITY", help="Team or user that owns the project.", client=True)
    ] = None
    run_name: Annotated[
        str | None, Env("WANDB_NAME", help="Name of a run that has none.", client=True)
    ] = None
    run_id: Annotated[
        str | None,
        Env(
            "WANDB_RUN_ID",
            help="W&B's id of the run, to go on with one. Without it: multitrack's id.",
            client=True,
        ),
    ] = None
    run_group: Annotated[
        str | None, Env("WANDB_RUN_GROUP", help="Group of the run.", client=True)
    ] = None
    run_job_type: Annotated[
        str | None, Env("WANDB_JOB_TYPE", help="Type of job, such as `train`.", client=True)
    ] = None
    tags: Annotated[
        list[str] | None, Env("WANDB_TAGS", help="More tags of the run.", client=True)
    ] = None
    notes: Annotated[
        str | None, Env("WANDB_NOTES", help="Notes of a run that has none.", client=True)
    ] = None
    mode: Annotated[
        Literal["online", "offline", "disabled", "dryrun", "run"],
        Env(
            "WANDB_MODE",
            help="`offline` stores for `wandb sync`; `disabled` leaves the run in the journal.",
            client=True,
        ),
    ] = "online"
    dir: Annotated[
        Path | None,
        Env(
            "WANDB_DIR",
            place="folder",
            help="Where the folder `wandb` is made. Without it: where the run runs.",
            client=True,
        ),
    ] = None
    base_url: Annotated[
        str | None, Env("WANDB_BASE_URL", place="address", help="Server to log to.", client=True)
    ] = None
    api_key: Annotated[
        str | None, Env("WANDB_API_KEY", help="Key for the server.", client=True, secret=True)
    ] = None
    init_timeout: Annotated[
        float, Env("WANDB_INIT_TIMEOUT", help="Seconds that a start may take.", client=True)
    ] = 30.0
    finish_timeout: Annotated[
        float,
        Env("WANDB_FINISH_TIMEOUT", help="Seconds that the last upload may take.", client=True),
    ] = 300.0
    log_model: Annotated[
        LogModel,
        Env(
            "WANDB_LOG_MODEL",
            help="Which checkpoints become artifacts: `end` is the last one, `checkpoint` all.",
            words={"end": "last", "checkpoint": "all", **switch("last")},
        ),
    ] = "none"
    watch: Annotated[
        Watched,
        Env(
            "WANDB_WATCH",
            help="What of the model a Trainer watches, for all backends of the run: every 100 "
            "optimizer steps, or every `logging_steps` if these are more.",
            words=OFF,
        ),
    ] = "none"
    disabled: Annotated[
        bool, Env("WANDB_DISABLED", help="Leave W&B out, though `report_to` names it.")
    ] = False

    def access(self) -> Access:
        """Return the server and where its key is, or the folder of an offline run."""
        if self.mode not in {"online", "run"}:
            return Access(mode=self.mode, folder=self.dir or Path())
        url = self.base_url or HOST
        key = self.source_of("api_key") or in_netrc(urlsplit(url).netloc)
        return Access(mode="online", address=url, key=key, remedy=LOGIN)
