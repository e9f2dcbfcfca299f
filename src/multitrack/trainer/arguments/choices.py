"""The words that some arguments may hold; each equals its plain string."""

from __future__ import annotations

from enum import Enum


class Choice(str, Enum):
    """A word out of a fixed set: ``IntervalStrategy.STEPS == "steps"``."""

    def __str__(self) -> str:
        return str(self.value)


class IntervalStrategy(Choice):
    """When something happens during training."""

    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"


class SaveStrategy(Choice):
    """When a checkpoint is saved."""

    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"
    BEST = "best"


class SchedulerType(Choice):
    """How the learning rate changes; see `multitrack.trainer.optim.schedules`."""

    LINEAR = "linear"
    COSINE = "cosine"
    COSINE_WITH_RESTARTS = "cosine_with_restarts"
    POLYNOMIAL = "polynomial"
    CONSTANT = "constant"
    CONSTANT_WITH_WARMUP = "constant_with_warmup"
    INVERSE_SQRT = "inverse_sqrt"
    REDUCE_ON_PLATEAU = "reduce_lr_on_plateau"
    COSINE_WITH_MIN_LR = "cosine_with_min_lr"
    WARMUP_STABLE_DECAY = "warmup_stable_decay"


class OptimizerNames(Choice):
    """The optimizers that arguments can name, all of them PyTorch's own."""

    ADAMW_TORCH = "adamw_torch"
    ADAMW_TORCH_FUSED = "adamw_torch_fused"
    SGD = "sgd"
    ADAGRAD = "adagrad"
    RMSPROP = "rmsprop"


class SamplingStrategy(Choice):
    """The order of the training samples."""

    RANDOM = "random"
    SEQUENTIAL = "sequential"


class LogRanks(Choice):
    """Which of several processes report, each a run of its own."""

    MAIN = "main"
    ALL = "all"


class TokenCount(Choice):
    """Which input tokens are counted."""

    NO = "no"
    ALL = "all"
    NON_PADDING = "non_padding"


class ParallelMode(Choice):
    """Whether one process trains, or several together."""

    NOT_PARALLEL = "not_parallel"
    DISTRIBUTED = "distributed"
