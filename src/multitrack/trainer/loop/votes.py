"""Votes: what all processes must know of each other after a step."""

from __future__ import annotations

from datetime import timedelta

import torch
from torch import distributed

from multitrack.trainer.callbacks.control import TrainerControl

SWITCHES = (
    "should_log",
    "should_evaluate",
    "should_save",
    "should_epoch_stop",
    "should_training_stop",
)


class Votes:
    """Tells whether any process wants to stop, and that all ask for the same.

    A vote is counted one step late, so that no step waits for it, but where something is asked
    for: there all processes must meet anyway, and one that asked alone would wait for the others
    in vain.

    Args:
        timeout: seconds for which to wait for a vote of another process.

    Attributes:
        is_to_stop: whether any process wanted to stop at a vote that was counted.
    """

    def __init__(self, timeout: float) -> None:
        self.is_to_stop = False
        self._group = distributed.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        self._ballot = torch.zeros(1 + len(SWITCHES))
        self._work: distributed.Work | None = None

    def cast(self, wants_to_stop: bool, control: TrainerControl) -> None:
        """Cast this process's vote; every process must call this as often.

        Raises:
            RuntimeError: a switch is on in some of the processes only.
        """
        self._count()
        asked = [bool(getattr(control, name)) for name in SWITCHES]
        self._ballot = torch.tensor([wants_to_stop, *asked], dtype=torch.float32)
        self._work = distributed.all_reduce(self._ballot, group=self._group, async_op=True)
        if any(asked):
            self._count()

    def close(self) -> None:
        """Wait for the last vote, which other processes may still need, and leave the group."""
        self._wait()
        distributed.destroy_process_group(self._group)

    def _count(self) -> None:
        if not self._wait():
            return
        stopping, *asking = map(int, self._ballot.tolist())
        self.is_to_stop |= stopping > 0
        for name, count in zip(SWITCHES, asking, strict=True):
            _check_unanimous(name, count, distributed.get_world_size())

    def _wait(self) -> bool:
        """Wait for the last vote, and tell whether there was one that is not counted yet."""
        if self._work is None:
            return False
        self._work.wait()
        self._work = None
        return True


def _check_unanimous(name: str, count: int, processes: int) -> None:
    if count not in (0, processes):
        raise RuntimeError(
            f"control.{name} is on in {count} of {processes} processes: callbacks must set it in "
            "all of them or in none. Let them decide by what is the same everywhere, such as the "
            "step or a metric, or broadcast what one process found."
        )
