"""Which run or runs a person means."""

from __future__ import annotations

from pathlib import Path

from multitrack.trackers.folder import RunFolder, default_directory, find_runs

LATEST = "latest"
SHOWN = 5
"""Ids that an error lists."""


class NoSuchRunError(ValueError):
    """No run, or more than one, is what was asked for."""


def find_run(text: str) -> RunFolder:
    """Return the run that a person names.

    Args:
        text: a path, ``latest``, an id, or the beginning or end of an id that no other run of
            the default directory has.

    Raises:
        NoSuchRunError: there is no such run, or there are several.
    """
    if (named := RunFolder(Path(text).expanduser())).exists:
        return named
    directory = Path(text).expanduser() if "/" in text else default_directory()
    runs = find_runs(directory)
    if not runs:
        raise NoSuchRunError(
            f"there is no run in {directory}; name another directory by its path or with "
            "MULTITRACK_DIR."
        )
    if text == LATEST or directory == Path(text).expanduser():
        return runs[-1]
    return _the_one(text, runs)


def find_targets(text: str | None) -> list[RunFolder]:
    """Return one run, or all runs of a directory; None stands for the default directory.

    Raises:
        NoSuchRunError: there is no such run or directory.
    """
    if text is None:
        return find_runs(default_directory())
    if Path(text).expanduser().is_dir():
        return find_runs(Path(text).expanduser())
    return [find_run(text)]


def short_id(run_id: str) -> str:
    """Return the end of an id that we made, which is enough to name it; else the whole id.

    >>> short_id("20261124-101502-123-9f3ac1"), short_id("my-run")
    ('9f3ac1', 'my-run')
    """
    parts = run_id.split("-")
    is_ours = len(parts) == 4 and len(parts[0]) == 8 and parts[0].isdigit()  # noqa: PLR2004
    return parts[-1] if is_ours else run_id


def _the_one(text: str, runs: list[RunFolder]) -> RunFolder:
    exact = [run for run in runs if run.run_id == text]
    found = exact or [
        run for run in runs if run.run_id.startswith(text) or run.run_id.endswith(text)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NoSuchRunError(
            f"no run in {runs[0].path.parent} has an id that starts or ends with {text!r}; "
            "list them with: multitrack runs"
        )
    some = ", ".join(run.run_id for run in found[-SHOWN:])
    raise NoSuchRunError(f"{len(found)} runs match {text!r}, give more of the id: {some}")
