"""Record a training run once; deliver it to every experiment tracker.

    import multitrack

    with multitrack.start_run(project="digits", report_to=["tensorboard", "wandb"]) as run:
        run.log({"train/loss": 0.5}, step=1)

Importing this package loads no torch and no tracker's client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multitrack.trackers.callback import TrackingCallback
    from multitrack.trackers.run import Run
    from multitrack.trackers.start import start_run

__version__ = "0.1.0"
__all__ = ["Run", "TrackingCallback", "__version__", "start_run"]

_HOMES = {
    "Run": "multitrack.trackers.run",
    "TrackingCallback": "multitrack.trackers.callback",
    "start_run": "multitrack.trackers.start",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
