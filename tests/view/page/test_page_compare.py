"""Several runs in one chart: cursor, smoothing, axes, zoom, and how their params differ."""

from __future__ import annotations

import re
import time

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


@pytest.fixture
def compared(look, site):
    page = look(site.compare("sweep-0", "sweep-1", "sweep-2"))
    expect(page.locator(".uplot")).to_have_count(3)
    return page


def card(page, title):
    return page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))


def values(chart):
    return [
        float(text.replace(",", "")) for text in chart.locator(".legend output").all_inner_texts()
    ]


def point(page, chart, part):
    """Put the mouse at a part of the chart's width."""
    box = chart.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * part - 5, box["y"] + 40)
    page.mouse.move(box["x"] + box["width"] * part, box["y"] + 40)


def picture(chart):
    """What is drawn, by its room: the canvas itself may be another at any time."""
    return chart.locator(".plot").screenshot()


def await_another_picture(chart, before):
    """A chart is drawn a moment after its data came."""
    deadline = time.monotonic() + 20
    while picture(chart) == before:
        assert time.monotonic() < deadline, "it is drawn as before"


def test_each_run_has_one_colour_and_its_values_at_the_cursor_everywhere(compared):
    accuracy, minus = card(compared, "accuracy"), card(compared, "minus")
    expect(accuracy.locator(".legend output")).to_have_text(["0.1", "0.2", "0.3"])
    point(compared, minus, 0.5)
    expect(minus.locator(".at")).to_have_text(re.compile(r"^step 1,[45]\d\d$"))
    expect(accuracy.locator(".at")).to_have_text(re.compile(r"^step 1,[45]00$"))
    assert all(-1600 < value < -1400 for value in values(minus))
    swatch = "one => getComputedStyle(one).backgroundColor"
    colours = [
        [one.evaluate(swatch) for one in place.locator(".swatch").all()]
        for place in (accuracy, minus, compared.locator(".run-list"))
    ]
    assert colours[0] == colours[1] == colours[2]
    assert len(set(colours[0])) == 3


def test_smoothing_is_asked_for_and_draws_the_raw_curve_behind(compared):
    loss = card(compared, "loss")
    before, plain = values(loss), picture(loss)
    with compared.expect_response(lambda answer: "smooth=0.9" in answer.url) as waiting:
        compared.get_by_label("Smoothing").fill("0.95")
    series = waiting.value.json()["series"]
    assert all(len(one["raw"]) == len(one["y"]) for one in series)
    expect(loss.locator("output").last).not_to_have_text(str(before[-1]))
    assert [abs(value - 2 - index) < 0.25 for index, value in enumerate(values(loss))] == [True] * 3
    await_another_picture(loss, plain)


def test_axes(compared):
    accuracy, minus = card(compared, "accuracy"), card(compared, "minus")
    plain = picture(accuracy)
    compared.get_by_role("button", name="log y").click()
    expect(minus.get_by_text("No value is above 0.")).to_be_visible()
    compared.get_by_role("button", name="log y").click()
    expect(minus.get_by_text("No value is above 0.")).to_be_hidden()
    compared.get_by_role("button", name="log x").click()
    expect(compared.get_by_role("button", name="log x")).to_have_attribute("aria-pressed", "true")
    await_another_picture(accuracy, plain)
    compared.get_by_role("button", name="log x").click()
    for axis, told in [("epoch", "epoch 2."), ("time", "s")]:
        with compared.expect_response(lambda answer, axis=axis: f"axis={axis}" in answer.url):
            compared.get_by_role("radio", name=axis).click()
        point(compared, accuracy, 0.999)  # by time, a curve may be over before another begins
        expect(accuracy.locator(".at")).to_contain_text(told)


def test_a_chart_drawn_anew_keeps_the_cursor(compared):
    accuracy = card(compared, "accuracy")
    point(compared, accuracy, 0.9)
    for axis in ("epoch", "step"):
        compared.get_by_role("radio", name=axis).dispatch_event("click")
        expect(accuracy.locator(".at")).to_contain_text(f"{axis} 2")


def test_a_drag_zooms_into_finer_data_and_a_double_click_resets(compared):
    loss = card(compared, "loss")
    point(compared, loss, 0.5)
    compared.mouse.down()
    box = loss.locator(".u-over").bounding_box()
    with compared.expect_response(lambda answer: "from=" in answer.url) as waiting:
        compared.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=3)
        compared.mouse.up()
    steps = waiting.value.json()["series"][0]["x"]
    assert 1450 < steps[0] < 1550
    assert 1750 < steps[-1] < 1850
    assert steps == list(range(steps[0], steps[-1] + 1))  # every one, no longer thinned
    expect(loss.get_by_role("button", name="Reset zoom")).to_be_visible()
    expect(card(compared, "minus").get_by_role("button", name="Reset zoom")).to_have_count(0)
    loss.locator(".u-over").dblclick()
    expect(loss.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_a_chart_is_read_with_the_keyboard(compared):
    accuracy = card(compared, "accuracy")
    accuracy.locator(".plot").focus()
    compared.keyboard.press("Shift+ArrowLeft")
    expect(accuracy.locator(".at")).to_contain_text("step 2,")
    compared.keyboard.press("+")
    expect(accuracy.get_by_role("button", name="Reset zoom")).to_be_visible()
    compared.keyboard.press("0")
    expect(accuracy.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_runs_are_hidden_and_removed(compared):
    compared.get_by_role("button", name="Hide sweep-1").click()
    expect(card(compared, "loss").locator(".legend li")).to_have_count(2)
    compared.get_by_role("button", name="Show sweep-1").click()
    expect(card(compared, "loss").locator(".legend li")).to_have_count(3)
    compared.get_by_role("button", name="Remove sweep-1").click()
    expect(compared.locator(".run-list li")).to_have_count(2)


def test_params_that_differ_and_all_of_them(compared):
    compared.get_by_role("tab", name="Params").click()
    rows = compared.locator(".diff tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.locator("th, td")).to_have_text(["optimizer/lr", "0.1", "0.01", "0.001"])
    compared.get_by_role("button", name="Show equal ones too").click()
    expect(rows).to_have_count(3)
