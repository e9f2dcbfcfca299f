"""The table of runs: finding, ordering, selecting."""

from __future__ import annotations

import re

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


def test_a_search_looks_through_names_projects_tags_and_params(look, site):
    page = look(site.at("/"))
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(6)
    search = page.get_by_label("Search runs")
    for text, count in [("sweep-1", 1), ("pictures", 1), ("lr=0.01", 1), ("adamw digits", 3)]:
        search.fill(text)
        expect(rows).to_have_count(count)
    expect(page.get_by_text("3 of 6 runs")).to_be_visible()
    search.fill("no such thing")
    expect(page.get_by_text("No run matches")).to_be_visible()
    page.get_by_role("button", name="Show all runs").click()
    expect(rows).to_have_count(6)


def test_filters_narrow_and_stand_in_the_address(look, site):
    page = look(site.at("/"))
    page.locator(".tools").get_by_role("button", name="Status").click()
    page.get_by_role("checkbox", name="failed").check()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.locator(".tools").get_by_role("button", name="Project").click()
    page.get_by_role("checkbox", name="digits").check()
    expect(page.locator("tbody .strong")).to_have_text(["turned-nan"])
    page.reload()
    expect(page.locator("tbody .strong")).to_have_text(["turned-nan"])


def test_a_tag_filters(look, site):
    page = look(site.at("/"))
    page.locator(".tools").get_by_role("button", name="Tag").click()
    page.locator(".sheet").get_by_role("checkbox", name="sweep").check()
    expect(page.locator("tbody tr")).to_have_count(3)


def test_a_column_sorts_down_up_and_not_at_all(look, site):
    page = look(site.at("/"))
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="eval/accuracy").set_checked(True)
    page.keyboard.press("Escape")
    heading = page.locator("th", has_text="eval/accuracy")
    for order, expected in [("descending", "210"), ("ascending", "012")]:
        heading.get_by_role("button").click()
        expect(heading).to_have_attribute("aria-sort", order)
        for place, index in enumerate(expected):
            expect(page.locator("tbody .strong").nth(place)).to_have_text(f"sweep-{index}")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "none")


def test_the_keyboard_goes_everywhere(look, site):
    page = look(site.at("/"))
    expect(page.locator("tbody tr")).to_have_count(6)
    page.keyboard.press("/")
    expect(page.get_by_label("Search runs")).to_be_focused()
    page.keyboard.type("sweep")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.locator("tbody a").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("tbody a").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("sweep-1")


def test_selected_runs_are_compared(look, site):
    page = look(site.at("/?q=sweep"))
    boxes = page.locator("tbody input")
    expect(boxes).to_have_count(3)
    boxes.first.click()
    boxes.nth(2).click(modifiers=["Shift"])
    expect(page.get_by_text("3 runs selected")).to_be_visible()
    page.get_by_role("link", name="Compare").click()
    expect(page).to_have_url(re.compile("#/compare"))
    expect(page.locator(".run-list li")).to_have_count(3)


def test_everything_that_can_be_used_has_a_name(look, site):
    page = look(site.at("/"))
    expect(page.locator("tbody tr")).to_have_count(6)
    nameless = """all => all.filter(one => !one.innerText.trim() && !one.ariaLabel
        && !one.labels?.length).map(one => one.outerHTML)"""
    assert page.locator("button, input, a").evaluate_all(nameless) == []


def test_a_telephone_shows_it_without_scrolling_sideways(look, site):
    page = look(site.at("/"), viewport={"width": 375, "height": 700})
    expect(page.locator("tbody tr")).to_have_count(6)
    places = [site.at("/"), site.run("sweep-0"), site.run("media", "media")]
    for place in [*places, site.compare("sweep-0", "sweep-1")]:
        page.goto(place)
        expect(page.locator("h1")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
