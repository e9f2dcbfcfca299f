"""Which run of MLflow's is ours: found again, named by the user, or created."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from multitrack.trackers.backends import _mlflow_files as files
from multitrack.trackers.backends import _mlflow_names as names
from multitrack.trackers.backends import _mlflow_store as store
from multitrack.trackers.backends._mlflow_settings import MLflowSettings
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.records import Header

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_ID = "multitrack.run_id"
"""The tag that tells whose run it is."""


def find_run(client: MlflowClient, uri: str, run: RunInfo, settings: MLflowSettings) -> Run:
    """Return the run that was delivered to before, that the user names, or a new one.

    Args:
        client: of the store.
        uri: where the store is.
        run: ours.
        settings: what the user says about where it goes.
    """
    known = run.attachment.id if run.attachment else None
    if known := known or ("" if settings.nested_run else settings.run_id):
        return client.get_run(known)
    if claimed := _claimed(client, run):
        return claimed
    experiment_id = _experiment_id(client, uri, run, settings)
    mine = f"tags.`{RUN_ID}` = '{run.run_id}'"  # created by a courier that died before it said so
    created = client.search_runs([experiment_id], mine, max_results=1)
    return created[0] if created else _create(client, experiment_id, run.header, settings)


def _claimed(client: MlflowClient, run: RunInfo) -> Run | None:
    """Return the run whose id somebody else wrote down, if it says itself that it is this one."""
    from mlflow.exceptions import MlflowException

    if run.claimed is None:
        return None
    try:
        found = client.get_run(run.claimed)
    except MlflowException:  # no such run, or no id at all; an outage shows itself in what follows
        return None
    return found if found.data.tags.get(RUN_ID) == run.run_id else None


def _experiment_id(client: MlflowClient, uri: str, run: RunInfo, settings: MLflowSettings) -> str:
    """Return the experiment's id; it is the client's own default if nothing names one."""
    name = settings.prefer("experiment_name", run.header.project)
    is_named = name and (run.header.project or "experiment_name" in settings.given)
    if settings.experiment_id and ("experiment_id" in settings.given or not is_named):
        return settings.experiment_id
    name = name or "Default"
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    try:
        return client.create_experiment(name, _artifact_location(uri, run, name))
    except Exception:
        if found := client.get_experiment_by_name(name):  # another run was faster
            return found.experiment_id
        raise


def _artifact_location(uri: str, run: RunInfo, experiment: str) -> str | None:
    """Return where the client itself puts files: by default, below its working directory."""
    if not store.is_database(uri):
        return None
    return str(run.default("mlruns") / names.path(experiment))


def _create(
    client: MlflowClient, experiment_id: str, header: Header, settings: MLflowSettings
) -> Run:
    tags = _provenance(header)
    if header.notes:
        tags["mlflow.note.content"] = names.shorten(header.notes, names.TAG_LIMIT)
    if settings.nested_run and settings.run_id:
        tags["mlflow.parentRunId"] = settings.run_id
    return client.create_run(
        experiment_id,
        start_time=files.milliseconds(header),
        tags=tags,
        run_name=header.name or header.run_id,  # else MLflow draws one, from the user's generator
    )


def _provenance(header: Header) -> dict[str, str]:
    """Return the tags in which MLflow looks for a run's origin, and our own id."""
    tags = {RUN_ID: header.run_id, "mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if header.command:
        scripts = [word for word in header.command if word.endswith((".py", ".ipynb"))]
        tags["mlflow.source.name"] = (scripts or header.command)[0]
    if header.git:
        tags["mlflow.source.git.commit"] = header.git.commit
    if header.git and header.git.branch:
        tags["mlflow.source.git.branch"] = header.git.branch
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
