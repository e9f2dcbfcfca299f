"""DVCLive's folder of one run: whose it is, how its files are named, and what DVC makes of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from multitrack.trackers.beneath import remove, write_file
from multitrack.trackers.locks import alone_in
from multitrack.trackers.names import component
from multitrack.trackers.protocol import Refused
from multitrack.trackers.records import Status, Tree

if TYPE_CHECKING:
    from dvclive import Live

MARK = "multitrack.json"
OWN = ("step", "summary")
"""What ``metrics.json`` holds beside the metrics."""


class Kept(msgspec.Struct, kw_only=True):
    """What is known of a run, in ``multitrack.json``; it is replaced as a whole.

    DVCLive writes its own files in place, so that one may be torn when its process is killed:
    they are made anew from this.

    Attributes:
        run: the header, without what is kept elsewhere.
        status: the outcome, or ``"running"``.
        params: as in ``params.yaml``.
        metrics: as in ``metrics.json``.
        tags, artifacts, captions: what DVCLive has no place for.
        names: what its path does not spell, by that path.
        is_saved: whether a DVC experiment holds all of it.
    """

    run: Tree
    status: Status = "running"
    params: Tree = {}
    metrics: Tree = {}
    tags: dict[str, str] = {}
    artifacts: dict[str, Tree] = {}
    captions: dict[str, str] = {}
    names: dict[str, str] = {}
    is_saved: bool = False


def load(folder: Path) -> Kept | None:
    """Return what is known of the run in a folder; None if it is none of ours."""
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=Kept)
    except FileNotFoundError:
        return None


def save(folder: Path, kept: Kept) -> None:
    """Replace what is known of the run."""
    write_file(msgspec.json.format(msgspec.json.encode(kept)), folder, MARK)


def take_folder(wanted: Path, run: Tree) -> Path:
    """Return the folder that is wanted, or one beside it, as the run's own.

    Of several runs that start at once, one gets it.

    Args:
        wanted: the folder.
        run: the run's header.

    Raises:
        Refused: both hold something else.
    """
    own = wanted.with_name(f"{wanted.name}-{run['run_id']}")
    with alone_in(wanted.parent):
        for folder in (wanted, own):
            if _take(folder, run):
                return folder
    raise Refused(f"{wanted} and {own} hold something else")


def _take(folder: Path, run: Tree) -> bool:
    """Make a folder the run's own; return False if it holds what stands nowhere else."""
    held = load(folder)
    if held and held.run["run_id"] == run["run_id"]:
        return True
    if held and held.is_saved:
        remove(folder.parent, folder.name)
    elif folder.exists() and any(folder.iterdir()):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, Kept(run=run))
    return True


def nested(name: str) -> str:
    """Return a name as a path whose folders are the name's parts; different names stay different.

    >>> nested("train/loss@1"), nested("a//b"), nested("../up")
    ('train/loss_x40_1', 'a_x2f__x2f_b', '_x2e__x2e__x2f_up')
    """
    parts = name.split("/")
    is_plain = all(part.strip(".") for part in parts)
    return "/".join(map(component, parts)) if is_plain else component(name)


def metric_path(name: str) -> str:
    """Return a metric's path; its last part is a column beside ``step`` in DVCLive's file.

    >>> metric_path("train/step")
    'train/_x73_tep'
    """
    head, slash, last = nested(name).rpartition("/")
    return f"{head}{slash}{'_x73_tep' if last == 'step' else last}"


def is_shown(metrics: Tree, keys: Sequence[str]) -> bool:
    """Tell whether ``metrics.json`` has room for a metric beside those that are in it.

    It nests names by their parts, so that ``a`` cannot stand beside ``a/b``.
    """
    if keys[0] in OWN:
        return False
    *folders, last = keys
    for folder in folders:
        within = metrics.get(folder, {})
        if not isinstance(within, dict):
            return False
        metrics = within
    return not isinstance(metrics.get(last), dict)


def rows(path: Path) -> set[tuple[str, str]]:
    """Return the steps and values that a metric's file holds."""
    from dvclive.utils import parse_tsv

    if not path.exists():
        return set()
    return {(row["step"], row[path.stem]) for row in parse_tsv(path)}


def dvc_root() -> str | None:
    """Return the root of the DVC repository that the working directory lies in."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        root: str = Repo.find_root()
    except NotDvcRepoError:
        return None
    return root


def open_live(has_dvc: bool, **options: Any) -> Live:
    """Return a Live; without a DVC repository, one that does not make one.

    ``Live`` runs ``dvc init`` in any Git repository that it is started in.
    """
    from dvclive import Live

    class PlainLive(Live):
        """A Live that leaves Git and DVC alone."""

        def _init_dvc(self) -> None:
            self._dvc_file = self._init_dvc_file()
            self._save_dvc_exp = False

    return (Live if has_dvc else PlainLive)(report=None, save_dvc_exp=False, **options)


def save_experiment(root: str, name: str, paths: list[Path], message: str | None) -> bool:
    """Save the workspace as a DVC experiment, over one of the same name.

    Returns:
        False where there is none to save: without a commit, or in a pipeline, which saves itself.
    """
    from dvc.repo import Repo
    from dvc.scm import NoSCM

    with Repo(root) as repo:
        if "DVC_ROOT" in os.environ or isinstance(repo.scm, NoSCM) or repo.scm.no_commits:
            return False
        untracked = [os.path.relpath(path) for path in paths]
        repo.experiments.save(name=name, force=True, include_untracked=untracked, message=message)
    return True
