"""Curves are thinned and smoothed without losing what stands out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitrack.view.curves import FEWEST, smooth, thin

VALUES = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e300])
)
LONG = st.lists(VALUES, min_size=60, max_size=300).map(np.array)
SHORT = st.lists(VALUES, min_size=1, max_size=60).map(np.array)
MOST = st.integers(FEWEST, 50)


@settings(deadline=None)
@given(LONG, MOST)
def test_there_are_no_more_points_than_asked_for_and_in_order(values, most):
    kept = thin(values, most)
    assert len(kept) <= most
    assert (np.diff(kept) > 0).all()


@settings(deadline=None)
@given(LONG, MOST)
def test_the_ends_and_the_extremes_stay(values, most):
    kept = thin(values, most)
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    finite = values[np.isfinite(values)]
    if finite.size:
        shown = values[kept][np.isfinite(values[kept])]
        assert (shown.min(), shown.max()) == (finite.min(), finite.max())


@settings(deadline=None)
@given(LONG, MOST)
def test_no_line_is_drawn_over_a_gap(values, most):
    kept = thin(values, most)
    for before, after in pairwise(kept):
        if np.isfinite(values[[before, after]]).all():
            assert np.isfinite(values[before : after + 1]).all()


@settings(deadline=None)
@given(SHORT)
def test_what_fits_is_left_as_it_is(values):
    assert thin(values, max(FEWEST, len(values))).tolist() == list(range(len(values)))


@settings(deadline=None)
@given(
    st.lists(VALUES.filter(lambda v: not abs(v) > 1e6), min_size=1, max_size=400).map(np.array),
    st.sampled_from([0.0, 0.5, 0.9, 0.999]),
)
def test_smoothing_is_the_average_corrected_for_its_start(values, weight):
    average, seen, expected = 0.0, 0, []
    for value in values.tolist():
        if math.isfinite(value):
            seen += 1
            average = weight * average + (1 - weight) * value
            expected.append(average / (1 - weight**seen))
        else:
            expected.append(value)
    np.testing.assert_allclose(smooth(values, weight), expected, rtol=1e-6, atol=1e-6)


def test_smoothing_goes_on_over_many_blocks():
    values = np.sin(np.arange(5000))
    average = 0.0
    for value in values:
        average = 0.9999 * average + 0.0001 * value
    assert smooth(values, 0.9999)[-1] == pytest.approx(average / (1 - 0.9999**5000))
