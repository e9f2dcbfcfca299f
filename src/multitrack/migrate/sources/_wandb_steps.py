"""The step at which each value of a row of W&B's stands: of what its run defined, or the row's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from multitrack.trackers.records import Scalar

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import MetricRecord


class AtStep(NamedTuple):
    """Values of a row that stand at the same step."""

    step: int
    epoch: float | None
    values: dict[str, Scalar]


class Steps:
    """What a run defined by ``define_metric``.

    Args:
        default: the column that is the step of a row where nothing was defined.
    """

    def __init__(self, default: str) -> None:
        self._default = default
        self._names: dict[str, str] = {}
        self._globs: dict[str, str] = {}
        self._order: list[str] = []
        self._last: dict[str, float] = {}

    def define(self, metric: MetricRecord) -> None:
        """Take a definition; one by number counts from 1 on."""
        step = metric.step_metric
        if not step and 0 < metric.step_metric_index <= len(self._order):
            step = self._order[metric.step_metric_index - 1]
        if metric.name:
            self._order.append(metric.name)
        if step and metric.glob_name:
            self._globs[metric.glob_name] = step
        elif step:
            self._names[metric.name] = step

    def place(self, numbers: Mapping[str, Scalar], row_step: int) -> Iterator[AtStep]:
        """Yield a row's numbers by their steps.

        A column of steps is no value of its own, where everything else in its row stands at it.
        """
        axes = {name: self._axis(name) for name in numbers}
        columns = {self._default, *self._names.values(), *self._globs.values()} & axes.keys()
        self._last |= {n: v for n in columns if isinstance(v := numbers[n], int | float)}
        others = {name: axis for name, axis in axes.items() if name not in columns}
        are_all_placed = others and all(self._is_whole(axis) for axis in others.values())
        groups: dict[tuple[int, float | None], dict[str, Scalar]] = {}
        for name, value in numbers.items():
            if name in others:
                groups.setdefault(self._step(axes[name], row_step), {})[name] = value
            elif not (are_all_placed or name == self._default):
                groups.setdefault((row_step, None), {})[name] = value
        for (step, epoch), values in groups.items():
            yield AtStep(step, epoch, values)

    def step_of(self, name: str, row_step: int) -> int:
        """Return the step of what is no number, in the row that was placed last."""
        return self._step(self._axis(name), row_step)[0]

    def _axis(self, name: str) -> str | None:
        """Return the column that a metric's steps are in."""
        if name in self._names:
            return self._names[name]
        found = (step for glob, step in self._globs.items() if fnmatchcase(name, glob))
        return next((step for step in found if step != name), self._default)

    def _is_whole(self, axis: str | None) -> bool:
        return float(self._last.get(axis or "", math.nan)).is_integer()

    def _step(self, axis: str | None, row_step: int) -> tuple[int, float | None]:
        """Return step and epoch: a fraction is no step, but may be an epoch."""
        value = self._last.get(axis or "", math.nan)
        if self._is_whole(axis):
            return int(value), None
        is_epoch = math.isfinite(value) and (axis or "").rpartition("/")[2].lower() == "epoch"
        return row_step, value if is_epoch else None
