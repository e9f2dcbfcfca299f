"""Memory of the process and of its GPU, while something runs."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil
import torch

INTERVAL = 0.005
"""Seconds between two looks at the process's memory."""


class MemoryMeter:
    """Measures how much memory a stage took, and how much more at its peak.

    Args:
        stage: the first part of the metrics' names, such as ``"train"``.
        enabled: whether to measure at all, which costs a thread.
    """

    def __init__(self, stage: str, *, enabled: bool) -> None:
        self.stage = stage
        self.metrics: dict[str, int] = {}
        self._enabled = enabled
        self._process = psutil.Process()
        self._done = threading.Event()

    def __enter__(self) -> MemoryMeter:
        if self._enabled:
            self._begin = self._peak = self._process.memory_info().rss
            self._gpu_begin = _gpu_reset()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> dict[str, int]:
        """End the stage and return its metrics, in bytes; empty if nothing was measured."""
        if self._enabled and not self._done.is_set():
            self._done.set()
            self._watcher.join()
            self.metrics = self._measure()
        return self.metrics

    def _measure(self) -> dict[str, int]:
        end = self._process.memory_info().rss
        found = self._named("cpu", self._begin, end, self._peak)
        if torch.cuda.is_available():
            gpu_end, gpu_peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
            found |= self._named("gpu", self._gpu_begin, gpu_end, gpu_peak)
        return found

    def _named(self, device: str, begin: int, end: int, peak: int) -> dict[str, int]:
        return {
            f"{self.stage}_mem_{device}_alloc_delta": end - begin,
            f"{self.stage}_mem_{device}_peaked_delta": max(0, peak - end),
        }

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL):
            self._peak = max(self._peak, self._process.memory_info().rss)


def _gpu_reset() -> int:
    if not torch.cuda.is_available():
        return 0
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())
