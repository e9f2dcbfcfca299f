"""Metrics: values, steps, epochs, times and names, each exactly as logged or as declared."""

from __future__ import annotations

import pytest

from multitrack.trackers.testing import scenario
from multitrack.trackers.testing.deliver import Delivered
from multitrack.trackers.testing.stored import Point
from multitrack.trackers.testing.suite import Suite, is_same


class MetricCases(Suite):
    """What `log_metrics` is held to."""

    @pytest.mark.parametrize("name", scenario.VALUES)
    def test_value(self, full: Delivered, name: str) -> None:
        """Integers, floats, booleans, NaN, infinities, and the extremes of int64 and float64."""
        self._check_points(full, name)

    @pytest.mark.parametrize("name", scenario.STEPS)
    def test_steps(self, full: Delivered, name: str) -> None:
        """Steps with gaps, steps that go back or below zero, steps beyond 32 and 53 bits."""
        self._check_points(full, name)

    def test_no_steps(self, full: Delivered) -> None:
        """Points without a step get one each."""
        self._check_points(full, scenario.NO_STEP[0])

    def test_same_step(self, full: Delivered) -> None:
        """Two values of one name at one step."""
        self._check_points(full, scenario.SAME_STEP[0])

    def test_epochs(self, full: Delivered) -> None:
        """The epoch travels with the point."""
        self._check_points(full, scenario.EPOCHS[0])

    def test_metric_named_epoch(self, full: Delivered) -> None:
        """A metric of that name is kept, among the epochs where a backend has a metric of them."""
        name, step, value = scenario.NAMED_EPOCH
        found = [(point.step, point.value) for point in full.stored.metrics.get(name, [])]
        if "log_metrics" not in self.gaps:
            assert (step, value) in found, f"the points of {name!r} are {found[:5]}"

    def test_many_points(self, full: Delivered) -> None:
        """More points than one batch."""
        self._check_points(full, scenario.MANY[0])

    @pytest.mark.parametrize("name", scenario.NAMES)
    def test_name_of_metric(self, full: Delivered, name: str) -> None:
        """Odd names are kept apart, or refused by name: never merged, never lost."""
        if name in self.refused_names:
            assert name not in full.stored.metrics, f"{name!r} is refused, and yet stored"
        else:
            self._check_points(full, name)

    def test_no_other_metric(self, full: Delivered) -> None:
        """Nothing is stored as a metric that nobody logged."""
        logged = {name for record in full.logged_metrics() for name in record.values}
        surprising = sorted(full.stored.metrics.keys() - logged)
        assert not surprising, (
            f"metrics that nobody logged: {surprising[:5]}; read() must give the names that the "
            "user logged, and leave out what the adapter adds"
        )

    def _check_points(self, full: Delivered, name: str) -> None:
        stored = full.stored.metrics.get(name, [])
        if "log_metrics" in self.gaps:
            assert not stored, "metrics are stored: take log_metrics out of `gaps`"
            return
        expected = self.stored_points(self._logged(full, name))
        assert len(stored) == len(expected), (
            f"{name!r} has {len(stored)} points, expected {len(expected)}: stored {stored[:4]}, "
            f"expected {expected[:4]}; see log_metrics(), or declare stored_points()"
        )
        for got, wanted in zip(stored, expected, strict=True):
            what = self._difference(got, wanted)
            assert not what, f"{name!r} has another {what}: stored {got}, expected {wanted}"

    def _logged(self, full: Delivered, name: str) -> list[Point]:
        keeps_time = self.time_resolution is not None
        return [
            Point(
                record.step,
                self.stored_number(value),
                record.time if keeps_time else None,
                record.epoch if self.keeps_epoch else None,
            )
            for record in full.logged_metrics()
            if not isinstance(value := record.values.get(name, ""), str)
        ]

    def _difference(self, got: Point, wanted: Point) -> str:
        if got.step != wanted.step:
            return "step"
        if not is_same(+got.value, +wanted.value):  # True is stored as 1, or as 1.0
            return "value"
        if got.epoch != wanted.epoch:
            return "epoch"
        if got.time is None or wanted.time is None or self.time_resolution is None:
            return "" if got.time is wanted.time else "time"
        return "time" if abs(got.time - wanted.time) > self.time_resolution else ""
