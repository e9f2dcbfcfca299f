"""Curves: where the dots are."""

from __future__ import annotations

import math

from multitrack.cli._chart import Canvas, draw
from multitrack.trackers.history import Series


def series_of(points):
    series = Series()
    for step, value in points:
        series.add(step, value)
    return series


def rows_of(points, width=12, height=2):
    lines = draw("m", series_of(points), width, height, ascii_only=True).plain.splitlines()
    return [line.partition("|")[2] for line in lines[1 : 1 + height]]


def test_a_dot_is_a_bit_of_a_braille_character():
    canvas = Canvas(2, 1)
    canvas.dot(0, 0)
    canvas.dot(3, 3)
    assert canvas.rows() == ["⡀⠈"]


def test_a_rising_curve_goes_from_the_lower_left_to_the_upper_right():
    top, bottom = rows_of([(0, 0.0), (10, 1.0)])
    assert top.startswith("  ")
    assert top.endswith("*")
    assert bottom.startswith("*")
    assert bottom.endswith("  ")


def test_a_flat_curve_is_one_line():
    assert [row.strip("*") == "" and row != "" for row in rows_of([(0, 5.0), (9, 5.0)])].count(
        True
    ) == 1


def test_a_peak_between_two_columns_of_dots_is_not_lost():
    points = [(step, 1.0 if step == 5000 else 0.0) for step in range(10_000)]
    top, _ = rows_of(points)
    assert top.count("*") == 1


def test_axes_say_the_range_of_values_and_steps():
    text = draw("loss", series_of([(100, 0.25), (2000, 4.5)]), 30, 3).plain.splitlines()
    assert text[0].split() == ["loss", "4.5"]
    assert text[1].startswith(" 4.5 │")
    assert text[3].startswith("0.25 │")
    assert text[5].split() == ["100", "2,000"]


def test_values_of_any_size_fit():
    top, bottom = rows_of([(0, -1e308), (1, 1e308)], width=20)
    assert bottom.startswith("*")
    assert top.endswith("*")


def test_steps_that_go_back_are_drawn_by_step():
    assert rows_of([(10, 1.0), (0, 0.0), (5, 0.5)]) == rows_of([(0, 0.0), (5, 0.5), (10, 1.0)])


def test_what_is_not_finite_is_counted_in_the_title():
    text = draw("m", series_of([(0, 1.0), (1, math.nan), (2, 2.0)]), 30, 2).plain
    assert "2 (1 not finite)" in text.splitlines()[0]
