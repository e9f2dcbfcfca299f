"""How long a training is: epochs, steps and batches, from the arguments and the data."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multitrack.trainer.data.loaders import length_of, samples_in

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments


@dataclass(frozen=True)
class Plan:
    """The length of a training.

    Attributes:
        max_steps: update steps of the whole training.
        epochs: epochs that these take, rounded up.
        steps_per_epoch: update steps in an epoch.
        batches_per_epoch: micro-batches in an epoch, on each process.
        accumulation: micro-batches in an update step; the last of an epoch may have fewer.
        samples: samples of the whole training, on all processes.
    """

    max_steps: int
    epochs: int
    steps_per_epoch: int
    batches_per_epoch: int
    accumulation: int
    samples: float

    def micro_batches(self, step_in_epoch: int) -> int:
        """Return how many micro-batches an update step has."""
        done = step_in_epoch * self.accumulation
        return min(self.accumulation, self.batches_per_epoch - done)


def make_plan(args: TrainingArguments, loader: Any) -> Plan:
    """Return the length of the training.

    Raises:
        ValueError: the data has no known length, and the arguments do not say when to stop.
    """
    batches = length_of(loader)
    if not batches:
        return _unbounded_plan(args)
    steps_per_epoch = math.ceil(batches / args.gradient_accumulation_steps)
    known_samples = samples_in(loader)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    if args.max_steps > 0:
        max_steps = args.max_steps
        epochs = math.ceil(max_steps / steps_per_epoch)
        samples: float = max_steps * per_step
    else:
        max_steps = math.ceil(args.num_train_epochs * steps_per_epoch)
        epochs = math.ceil(args.num_train_epochs)
        per_epoch = known_samples or batches * args.per_device_train_batch_size
        samples = per_epoch * args.num_train_epochs
    return Plan(
        max_steps, epochs, steps_per_epoch, batches, args.gradient_accumulation_steps, samples
    )


def _unbounded_plan(args: TrainingArguments) -> Plan:
    """Return the plan for a stream: as many epochs as it takes, each perhaps cut short."""
    if args.max_steps <= 0:
        raise ValueError(
            "the training data does not say how long it is, so max_steps must say how many "
            f"steps to train; it is {args.max_steps}"
        )
    accumulation = args.gradient_accumulation_steps
    return Plan(
        max_steps=args.max_steps,
        epochs=sys.maxsize,
        steps_per_epoch=args.max_steps,
        batches_per_epoch=args.max_steps * accumulation,
        accumulation=accumulation,
        samples=args.max_steps * args.train_batch_size * accumulation * args.world_size,
    )
