"""What the figures were measured on, and how a spread is written."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, system and the versions that matter."""
    packages = ("multitrack", "msgspec", "torch", "accelerate", "transformers", "lightning")
    clients = ("tensorboard", "mlflow", "wandb")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: v for name in (*packages, *clients) if (v := _version(name))},
    }


def spread(values: Sequence[float]) -> str:
    """Return median and range, as in ``1.03 (1.01 to 1.06)``."""
    middle, low, high = map(_short, (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def write_results(name: str, results: dict[str, Any], folder: Path | None) -> None:
    """Write results with the machine's description as JSON, if a folder is given."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"machine": describe_machine(), **results}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
