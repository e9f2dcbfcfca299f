"""What is logged is text and never code; light and dark; a server that is gone."""

from __future__ import annotations

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

HOSTILE = '<img src=x onerror="window.pwned = 1"><b>bold</b>'


def test_names_that_are_html_are_shown_as_text(look, site):
    page = look(site.at("/"))
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    for tab in ("", "params", "media", "artifacts", "delivery", "system"):
        page.goto(site.run("hostile", tab))
        expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    page.goto(site.compare("hostile", "sweep-0"))
    expect(page.locator(".run-list").get_by_text(HOSTILE).first).to_be_visible()
    page.goto(site.run("hostile", "media"))
    expect(page.locator(".media.image .caption")).to_have_text(HOSTILE)
    page.locator(".media.text").scroll_into_view_if_needed()
    expect(page.locator(".media.text pre")).to_have_text(HOSTILE)
    expect(page.locator(".media.table td")).to_have_text(HOSTILE)
    assert page.locator("b").count() == 0
    assert page.evaluate("'pwned' in window") is False


def test_names_of_javascript_are_metrics_like_others(look, site):
    page = look(site.run("hostile"))
    for name, value in [("__proto__", "2"), ("constructor", "3")]:
        chart = page.locator(".card", has=page.get_by_role("heading", name=name))
        expect(chart.locator(".value")).to_have_text(value)


def test_the_theme_is_the_systems_until_one_is_chosen(look, site):
    page = look(site.at("/"), color_scheme="dark")
    body = page.locator("body")
    expect(body).to_have_css("background-color", "rgb(15, 17, 20)")
    page.get_by_role("button", name="Light theme").click()
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    page.reload()
    expect(page.get_by_role("button", name="Dark theme")).to_be_visible()
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
