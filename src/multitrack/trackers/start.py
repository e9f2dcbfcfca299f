"""start_run: check everything that a user may have got wrong, then begin or go on with a run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from multitrack.trackers import fitting, notebook, observers, registry, surroundings, values
from multitrack.trackers.delivery import MODES, Assignment, Mode
from multitrack.trackers.folder import RUN_ID, RunFolder, default_directory, new_run_id
from multitrack.trackers.protocol import Emit
from multitrack.trackers.records import Header, Tree
from multitrack.trackers.run import FINISH_TIMEOUT, Run
from multitrack.trackers.session import Session, read_standing
from multitrack.trackers.settings import Settings, load
from multitrack.trackers.unfinished import hand_over

logger = logging.getLogger("multitrack")

Choice: TypeAlias = tuple[str, Settings, Mapping[str, Any]]
"""A backend, its settings, and those among them that were given in code."""


def start_run(
    project: str | None = None,
    name: str | None = None,
    *,
    report_to: str | Iterable[str] | None = None,
    config: Any = None,
    tags: str | Iterable[str] | Mapping[str, Any] | None = None,
    notes: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002 - the field's name for it
    run_id: str | None = None,
    delivery: Mode | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    finish_timeout: float | None = None,
    system_metrics: bool | float | None = None,
    capture_console: bool | None = None,
) -> Run:
    """Start recording a run, or go on with one.

    In a notebook, it ends the runs that earlier cells have left open, and says so.

    Args:
        project: what the run belongs to; ``MULTITRACK_PROJECT``, else a backend's own variable,
            if None.
        name: for people to read; ``MULTITRACK_RUN_NAME``, else a backend's own variable, if None.
        report_to: a backend, several, ``"all"`` that are installed, or ``"none"``; for a new
            run, ``MULTITRACK_REPORT_TO`` if None; for one that goes on, the same as before.
        config: hyper-parameters: a dict, a dataclass, a namespace, or what has ``to_dict()``.
        tags: a name, a list of names, or a mapping from name to value; beside those of
            ``MULTITRACK_TAGS``, which are names or ``name=value``, separated by commas.
        notes: a longer description.
        dir: where runs are recorded; ``MULTITRACK_DIR``, else ``./multitrack``, if None.
        run_id: of the run; a run of this id in ``dir`` goes on. A new id if None.
        delivery: ``"process"`` (a courier process for each backend), ``"thread"``,
            ``"inline"`` (on the calling thread) or ``"later"`` (by ``multitrack sync``);
            ``MULTITRACK_DELIVERY``, else ``"process"``, if None.
        settings: of backends, by name: they win over environment variables, whose meaning
            each backend's page explains.
        finish_timeout: seconds for which the end waits for delivery;
            ``MULTITRACK_FINISH_TIMEOUT``, else 60, if None.
        system_metrics: whether to measure what the run takes of its machine (CPU, memory, disk,
            network, GPUs), as metrics ``system/…``, every 15 seconds, or every so many;
            ``MULTITRACK_SYSTEM_METRICS``, else False, if None. Needs ``multitrack[system]``.
        capture_console: whether what this process prints becomes the artifact ``console.log``
            when the run ends; ``MULTITRACK_CAPTURE_CONSOLE``, else False, if None.

    Returns:
        The run; also a context manager that finishes it with the right status.

    Raises:
        ValueError: a backend, setting, mode, run id or time that is not allowed.
        TypeError: a project, name, note, tag or config that is none.
        ImportError: a backend's client, or psutil, is not installed; the message has the command.
        RuntimeError: another process writes to this run.
        OSError: the directory cannot be written.

    Example:
        >>> with start_run(project="digits", report_to=["tensorboard", "mlflow"]) as run:
        ...     run.log({"train/loss": 0.5}, step=1)
    """
    _check_texts(project=project, name=name, notes=notes)
    run = RunFolder(Path(dir or default_directory()).expanduser() / _checked_id(run_id))
    is_new = not run.exists
    before = None if is_new else read_standing(run)
    backends = registry.resolve(before.report_to if before and report_to is None else report_to)
    mode = _checked_mode(delivery)
    timeout = _checked_timeout(finish_timeout)
    observing = observers.choose(system_metrics, capture_console)
    tree, refused = values.take_tree(config) if config is not None else values.Taken({}, {})
    given, refused_tags = values.take_tags(tags) if tags is not None else ({}, {})
    named = _tags_of_environment() | given
    assignments = [Assignment(run, *c) for c in _choose(backends, settings or {}) if _is_on(*c)]
    header, beside = None, tree
    if is_new and fitting.fits(tree):
        beside = {}
    if is_new:
        project = project or os.environ.get("MULTITRACK_PROJECT") or None
        name = name or os.environ.get("MULTITRACK_RUN_NAME") or None
        backends = [assignment.backend for assignment in assignments]
        header = _header(run, project, name, notes, named, {} if beside else tree, backends)
    run.create()
    notebook.end_earlier()
    hand_over(run)
    opener = _Opener(run, assignments, mode, header)
    started = Run(run, opener, timeout, before.step if before else None, observing)
    notebook.note(started)
    if beside:  # the run goes on, or the header would be too long
        started.log_params(beside)
    if not is_new and named:
        started.set_tags(named)
    for part, reason in {**refused, **refused_tags}.items():
        started.refuse(part, reason)
    return started


class _Opener:
    """Open a run's sessions: the first may write the header, later ones go on with the run."""

    def __init__(
        self, run: RunFolder, assignments: list[Assignment], mode: Mode, header: Header | None
    ) -> None:
        self._run = run
        self._assignments = assignments
        self._mode: Mode = mode
        self._header = header

    def __call__(self, emit: Emit) -> Session:
        session = Session(self._run, self._assignments, self._mode, self._header, emit)
        self._header = None
        return session


def _header(
    run: RunFolder,
    project: str | None,
    name: str | None,
    notes: str | None,
    tags: dict[str, str],
    config: Tree,
    backends: list[str],
) -> Header:
    return Header(
        time=time.time(),
        run_id=run.run_id,
        project=project,
        name=name,
        notes=notes,
        tags=tags,
        config=config,
        report_to=backends,
        host=surroundings.describe_host(),
        git=surroundings.describe_git(),
        command=surroundings.describe_command(),
        cwd=_working_directory(run),
        versions=surroundings.describe_versions(),
    )


def _working_directory(run: RunFolder) -> str:
    """Return where relative paths lead; the run's folder if that was removed under the process."""
    try:
        return str(Path.cwd())
    except OSError:
        return str(run.path)


def check_options(
    backends: list[str],
    *,
    tags: Any = None,
    notes: Any = None,
    run_id: str | None = None,
    delivery: str | None = None,
    settings: Any = None,
    finish_timeout: float | None = None,
    system_metrics: Any = None,
    capture_console: Any = None,
) -> list[Choice]:
    """Find mistakes in options of a run that starts later.

    Returns:
        Each backend with its settings, and those among them that were given in code.

    Raises:
        ValueError: as `start_run` does.
        TypeError: same.
    """
    _check_texts(notes=notes)
    if tags is not None:
        values.as_tags(tags)
    _checked_id(run_id)
    _checked_mode(delivery)
    _checked_timeout(finish_timeout)
    observers.choose(system_metrics, capture_console)
    return _choose(backends, settings or {})


def _choose(backends: list[str], settings: Any) -> list[Choice]:
    """Return each backend with its settings, and those among them that were given in code."""
    if not (
        isinstance(settings, Mapping) and all(isinstance(s, Mapping) for s in settings.values())
    ):
        raise TypeError("settings must be a mapping from backend to a mapping of its settings")
    given: dict[str, Mapping[str, Any]] = {
        registry.canonical(name): arguments for name, arguments in settings.items()
    }
    if unused := sorted(set(given) - set(backends)):
        raise ValueError(
            f"settings are given for {', '.join(unused)}, "
            f"but the run reports to {', '.join(backends) or 'nothing'}."
        )
    chosen = []
    for backend in backends:
        arguments = given.get(backend, {})
        chosen.append(
            (backend, load(registry.load(backend).settings_type, arguments=arguments), arguments)
        )
    return chosen


def _is_on(backend: str, settings: Settings, _: Mapping[str, Any]) -> bool:
    if settings.disabled:
        logger.warning("%s is left out: its settings disable it", backend)
    return not settings.disabled


def _tags_of_environment() -> dict[str, str]:
    words = os.environ.get("MULTITRACK_TAGS", "").split(",")
    pairs = (word.partition("=") for word in words)
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if not (text is None or isinstance(text, str)):
            raise TypeError(f"{name} must be text, not {type(text).__name__}")


def _checked_id(run_id: str | None) -> str:
    run_id = new_run_id() if run_id is None else run_id
    if not (isinstance(run_id, str) and RUN_ID.fullmatch(run_id)):
        raise ValueError(
            f"run_id is {run_id!r}; allowed: up to 128 letters, digits, '_', '.' and '-', "
            f"the first a letter or digit."
        )
    return run_id


def _checked_mode(delivery: str | None) -> Mode:
    asked = delivery or os.environ.get("MULTITRACK_DELIVERY") or "process"
    for mode in MODES:
        if asked == mode:
            return mode
    source = "delivery" if delivery else "MULTITRACK_DELIVERY"
    raise ValueError(f"{source} is {asked!r}; allowed: {', '.join(MODES)}.")


def _checked_timeout(seconds: float | None) -> float:
    text = os.environ.get("MULTITRACK_FINISH_TIMEOUT")
    asked: Any = text or FINISH_TIMEOUT if seconds is None else seconds
    try:
        return float(asked)
    except (TypeError, ValueError):
        source = "MULTITRACK_FINISH_TIMEOUT" if seconds is None else "finish_timeout"
        raise ValueError(f"{source} is {asked!r}; allowed: a number of seconds.") from None
