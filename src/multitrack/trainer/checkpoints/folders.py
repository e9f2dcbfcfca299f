"""Where checkpoints lie, which is the newest, and which have become too many."""

from __future__ import annotations

import re
from pathlib import Path

STATE_FILE = "trainer_state.json"
"""The file that makes a folder a checkpoint that training can go on from."""

_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_folder(output_dir: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return output_dir / f"checkpoint-{step}"


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoints of a folder, in the order in which they were saved."""
    found = [path for path in output_dir.glob("checkpoint-*") if _step_of(path) is not None]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, _step_of(path)))


def last_checkpoint(output_dir: Path) -> Path | None:
    """Return the checkpoint with the most steps, None if there is none."""
    found = [path for path in list_checkpoints(output_dir) if (path / STATE_FILE).is_file()]
    return max(found, key=lambda path: _step_of(path) or 0, default=None)


def find_checkpoint(resume_from: str | Path | bool, output_dir: Path) -> Path:
    """Return the checkpoint to go on from.

    Args:
        resume_from: its path, or True for the newest of the output folder.
        output_dir: the output folder.

    Raises:
        ValueError: there is no such checkpoint.
    """
    if resume_from is True or str(resume_from).lower() == "true":
        newest = last_checkpoint(output_dir)
        if newest is None:
            raise ValueError(f"No valid checkpoint found in output directory ({output_dir})")
        return newest
    path = Path(str(resume_from)).expanduser()
    if not (path / STATE_FILE).is_file():
        raise ValueError(
            f"resume_from_checkpoint={str(path)!r} is no checkpoint: it has no {STATE_FILE}"
        )
    return path


def superseded(
    checkpoints: list[Path], limit: int | None, best: str | None, newest: Path
) -> list[Path]:
    """Return the checkpoints to delete, oldest first, so that no more than `limit` remain.

    The newest and the best are always kept, if need be beyond the limit.
    """
    kept = {newest.absolute()} | ({Path(best).absolute()} if best else set())
    surplus = len(checkpoints) - max(limit or len(checkpoints), len(kept))
    candidates = [path for path in checkpoints if path.absolute() not in kept]
    return candidates[: max(surplus, 0)]


def _step_of(path: Path) -> int | None:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match and path.is_dir() else None
