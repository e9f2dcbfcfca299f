"""The reference Trainer: Hugging Face's callback contract on torch and accelerate.

Names are loaded when they are first used, so that importing this package loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments
    from multitrack.trainer.callbacks.base import TrainerCallback
    from multitrack.trainer.callbacks.control import TrainerControl
    from multitrack.trainer.callbacks.display import PrinterCallback, ProgressCallback
    from multitrack.trainer.callbacks.early_stopping import EarlyStoppingCallback
    from multitrack.trainer.callbacks.exportable import ExportableState
    from multitrack.trainer.callbacks.flow import DefaultFlowCallback
    from multitrack.trainer.callbacks.handler import CallbackHandler
    from multitrack.trainer.callbacks.notebook import NotebookProgressCallback
    from multitrack.trainer.callbacks.state import TrainerState
    from multitrack.trainer.loop.signals import TrainingInterrupted
    from multitrack.trainer.outputs import EvalPrediction, PredictionOutput, TrainOutput
    from multitrack.trainer.trainer import Trainer

__all__ = [
    "CallbackHandler",
    "DefaultFlowCallback",
    "EarlyStoppingCallback",
    "EvalPrediction",
    "ExportableState",
    "NotebookProgressCallback",
    "PredictionOutput",
    "PrinterCallback",
    "ProgressCallback",
    "TrainOutput",
    "Trainer",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainingArguments",
    "TrainingInterrupted",
]

_HOMES = {
    "CallbackHandler": "callbacks.handler",
    "DefaultFlowCallback": "callbacks.flow",
    "EarlyStoppingCallback": "callbacks.early_stopping",
    "EvalPrediction": "outputs",
    "ExportableState": "callbacks.exportable",
    "NotebookProgressCallback": "callbacks.notebook",
    "PredictionOutput": "outputs",
    "PrinterCallback": "callbacks.display",
    "ProgressCallback": "callbacks.display",
    "TrainOutput": "outputs",
    "Trainer": "trainer",
    "TrainerCallback": "callbacks.base",
    "TrainerControl": "callbacks.control",
    "TrainerState": "callbacks.state",
    "TrainingArguments": "arguments",
    "TrainingInterrupted": "loop.signals",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
