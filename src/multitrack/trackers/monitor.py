"""System metrics: what a run takes of its machine, measured by a thread while the run goes on."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from multitrack.trackers.protocol import Emit
from multitrack.trackers.records import Metrics, Scalar

logger = logging.getLogger("multitrack")

Reader: TypeAlias = Callable[[], dict[str, float]]
"""Returns figures by name, without their prefix."""

PREFIX = "system/"
GIB = 2**30
MIB = 2**20
PATIENCE = 2.0
"""Seconds for which the run's end waits for the last figures: a driver may hang."""


class Monitor:
    """Measure every so many seconds, and put the figures into the run at its last step.

    Args:
        interval: seconds from one measurement to the next.
        folder: its file system's use is measured.
        emit: puts metrics into the run.
    """

    def __init__(self, interval: float, folder: Path, emit: Emit) -> None:
        self._interval = interval
        self._folder = folder
        self._emit = emit
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Measure from now on."""
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._measure, args=(self._stop,), name="multitrack-system", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Measure a last time, and no more."""
        self._stop.set()
        if self._thread:
            self._thread.join(PATIENCE)

    def _measure(self, stop: threading.Event) -> None:
        try:
            readers = [*_machine(self._folder), *_gpus()]
            read_all(readers)  # what is counted since the last time is counted from here
            while not stop.wait(self._interval):
                self._emit_all(readers)
            self._emit_all(readers)
        except Exception:
            logger.exception("system metrics are no longer measured")

    def _emit_all(self, readers: list[Reader]) -> None:
        if found := read_all(readers):
            self._emit(Metrics, found)


def read_all(readers: list[Reader]) -> dict[str, Scalar]:
    """Return what all readers find; one that fails is left out from then on."""
    found: dict[str, Scalar] = {}
    for reader in list(readers):
        try:
            found |= {PREFIX + name: float(value) for name, value in reader().items()}
        except Exception as error:  # noqa: PERF203 - e.g. a container that hides its disks
            logger.debug("not measured: %s", error)
            readers.remove(reader)
    return found


def _machine(folder: Path) -> list[Reader]:
    import psutil

    process = psutil.Process()

    def own() -> dict[str, float]:
        return {
            "process_cpu_percent": process.cpu_percent(),
            "process_memory_gib": process.memory_info().rss / GIB,
            "process_threads": process.num_threads(),
        }

    def memory() -> dict[str, float]:
        found = psutil.virtual_memory()
        return {"memory_percent": found.percent, "memory_available_gib": found.available / GIB}

    return [
        own,
        memory,
        lambda: {"cpu_percent": psutil.cpu_percent()},
        lambda: {"disk_percent": psutil.disk_usage(os.fspath(folder)).percent},
        Rates(
            psutil.disk_io_counters,
            {"disk_read_mib_s": "read_bytes", "disk_write_mib_s": "write_bytes"},
        ),
        Rates(
            psutil.net_io_counters,
            {"network_sent_mib_s": "bytes_sent", "network_received_mib_s": "bytes_recv"},
        ),
    ]


class Rates:
    """Counters of bytes, read as MiB a second since they were read last.

    Args:
        read: returns the counters; None where there are none.
        fields: the counters, by the names of their figures.
    """

    def __init__(self, read: Callable[[], Any], fields: dict[str, str]) -> None:
        self._read = read
        self._fields = fields
        self._before: tuple[float, dict[str, int]] | None = None

    def __call__(self) -> dict[str, float]:
        """Return the rates; the first call only begins to count."""
        counters, now, before = self._read(), time.monotonic(), self._before
        counts = {name: int(getattr(counters, field)) for name, field in self._fields.items()}
        self._before = now, counts
        if not before or now <= before[0]:
            return {}
        seconds = now - before[0]
        return {n: max(0, count - before[1][n]) / MIB / seconds for n, count in counts.items()}


def _gpus() -> Iterable[Reader]:
    """Return a reader for each GPU that NVIDIA's driver shows; none without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
        indices = range(pynvml.nvmlDeviceGetCount())
    except Exception as error:  # no package, no driver, no permission
        logger.debug("no GPU is measured: %s", error)
        return []
    return [_gpu(pynvml, index) for index in indices]


def _gpu(nvml: Any, index: int) -> Reader:
    """Return a reader of what one GPU tells: one that is lost or forbidden tells nothing."""

    def read() -> dict[str, float]:
        found: dict[str, float] = {}
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError:
            return found
        with suppress(nvml.NVMLError):
            found["percent"] = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        with suppress(nvml.NVMLError, ZeroDivisionError):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found["memory_gib"] = memory.used / GIB
            found["memory_percent"] = 100 * memory.used / memory.total
        with suppress(nvml.NVMLError):
            found["power_w"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        with suppress(nvml.NVMLError):
            found["temperature_c"] = nvml.nvmlDeviceGetTemperature(
                handle, nvml.NVML_TEMPERATURE_GPU
            )
        return {f"gpu{index}_{name}": value for name, value in found.items()}

    return read
