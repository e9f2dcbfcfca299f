"""TrainingArguments: what a training is told, checked before anything starts."""

from multitrack.trainer.arguments.choices import (
    IntervalStrategy,
    OptimizerNames,
    SaveStrategy,
    SchedulerType,
)
from multitrack.trainer.arguments.training import TrainingArguments

__all__ = [
    "IntervalStrategy",
    "OptimizerNames",
    "SaveStrategy",
    "SchedulerType",
    "TrainingArguments",
]
