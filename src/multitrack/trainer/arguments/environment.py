"""Where a training runs: what follows from the process rather than from what the user gave."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState

from multitrack.trainer.arguments.choices import ParallelMode


class Environment:
    """Devices and ranks of `TrainingArguments`, known once `start_process` was called."""

    use_cpu: bool
    ddp_backend: str | None
    ddp_timeout: int
    per_device_train_batch_size: int
    per_device_eval_batch_size: int

    @property
    def process(self) -> PartialState:
        """This process among all that train; the first look at it joins the process group."""
        options: dict[str, Any] = {"cpu": self.trains_on_cpu}
        if self.ddp_backend is not None:
            options["backend"] = self.ddp_backend
        return PartialState(**options, timeout=timedelta(seconds=self.ddp_timeout))

    @property
    def trains_on_cpu(self) -> bool:
        """Whether the CPU is asked for or all there is: accelerate must know, to join processes."""
        return self.use_cpu or not torch.accelerator.is_available()

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self.process.device
        return device

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return int(self.process.num_processes)

    @property
    def process_index(self) -> int:
        """This process's number among all."""
        return int(self.process.process_index)

    @property
    def local_process_index(self) -> int:
        """This process's number on its machine."""
        return int(self.process.local_process_index)

    @property
    def local_rank(self) -> int:
        """Another name of `local_process_index`, which older scripts have."""
        return self.local_process_index

    @property
    def parallel_mode(self) -> ParallelMode:
        """Whether several processes train together."""
        return ParallelMode.DISTRIBUTED if self.world_size > 1 else ParallelMode.NOT_PARALLEL

    @property
    def n_gpu(self) -> int:
        """GPUs that this process drives: one, or none."""
        return int(self.device.type != "cpu")

    @property
    def should_save(self) -> bool:
        """Whether this process writes checkpoints."""
        return self.process_index == 0

    @property
    def should_log(self) -> bool:
        """Whether this process reports to trackers."""
        return self.process_index == 0

    @property
    def train_batch_size(self) -> int:
        """Samples in a micro-batch on this process."""
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        """Samples in an evaluation batch on this process."""
        return self.per_device_eval_batch_size

    @contextlib.contextmanager
    def main_process_first(self, local: bool = True, desc: str = "work") -> Iterator[None]:
        """Let the others wait until the first process has done something, such as a ``map``.

        Args:
            local: whether the first of every machine goes first, not the first of all.
            desc: what is done; for the reader.
        """
        process = self.process
        first = process.local_main_process_first if local else process.main_process_first
        with first():
            yield

    def get_process_log_level(self) -> int:
        """Return the level of multitrack's logger, for scripts that set others to the same."""
        return logging.getLogger("multitrack").getEffectiveLevel()
