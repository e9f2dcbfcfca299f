"""The page of one run: every tab shows what was logged."""

from __future__ import annotations

from pathlib import Path

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


def test_the_heading_says_how_it_went(look, site):
    page = look(site.run("turned-nan"))
    expect(page.get_by_role("heading", level=1)).to_have_text("digits / turned-nan")
    expect(page.locator(".heading .chip")).to_have_text("failed")
    expect(page.get_by_text("FloatingPointError: loss is NaN")).to_be_visible()
    expect(page.locator(".card .at")).to_have_text("NaN")  # the last value


def test_only_charts_in_sight_are_loaded_and_drawn(look, site):
    page = look(site.run("media"))
    asked = []
    page.on("request", lambda request: "/api/series" in request.url and asked.append(request.url))
    expect(page.locator(".card")).to_have_count(40)
    expect(page.locator(".uplot").first).to_be_visible()
    assert page.locator(".uplot").count() < 30
    page.locator(".card").last.scroll_into_view_if_needed()
    expect(page.locator(".card").last.locator(".uplot")).to_be_visible()
    expect(page.locator(".card").last.locator(".at")).to_have_text("39")
    expect(page.locator(".card").first.locator(".uplot")).to_have_count(0)
    assert len(asked) < 40 * 2


def test_metrics_are_searched_and_folded(look, site):
    page = look(site.run("sweep-0"))
    page.get_by_label("Search metrics").fill("accu")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("button", name="eval 1").click()
    expect(page.locator(".card")).to_have_count(0)


def test_params_and_surroundings(look, site):
    page = look(site.run("sweep-1", "params"))
    expect(page.locator(".value", has_text="optimizer/lr").locator("dd")).to_have_text("0.01")
    expect(page.get_by_text(site.ids["sweep-1"], exact=True)).to_be_visible()
    page.get_by_label("Search params").fill("batch")
    expect(page.locator(".values").first.locator(".value")).to_have_count(1)


def test_the_slider_goes_through_the_steps_of_media(look, site):
    page = look(site.run("media", "media"))
    image = page.locator(".media.image")
    expect(image.locator(".at")).to_have_text("step 3")
    last = image.locator("button img").get_attribute("src")
    assert (
        image.locator("button img").evaluate(
            "image => image.decode().then(() => image.naturalWidth)"
        )
        == 8
    )
    image.get_by_label("Step of seen").fill("0")
    expect(image.locator(".caption")).to_have_text("caption 0")
    expect(image.locator("button img")).not_to_have_attribute("src", last)
    text = page.locator(".media.text")
    text.get_by_label("Step of answer").press("ArrowLeft")
    expect(text.locator("pre")).to_have_text("answer 2")
    table = page.locator(".media.table")
    expect(table.locator("tbody tr").first.locator("td")).to_have_text(["a", "3"])
    table.get_by_label("Step of errors").fill("1")
    expect(table.locator("tbody tr").first.locator("td")).to_have_text(["a", "1"])
    expect(page.locator(".histogram rect")).to_have_count(8)


def test_a_picture_is_enlarged(look, site):
    page = look(site.run("media", "media"))
    page.get_by_role("button", name="Enlarge: caption 3").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_an_artifact_is_downloaded(look, site):
    page = look(site.run("media", "artifacts"))
    expect(page.get_by_text("best")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download weights.txt").click()
    assert Path(waiting.value.path()).read_text() == "weights"


def test_delivery_says_why_and_what_to_type(look, site):
    page = look(site.run("media", "delivery"))
    backend = page.locator(".backend")
    expect(backend.locator(".chip")).to_have_text("parked")
    for text in ("the disk is full", "make room", f"{site.ids['media']} --to tensorboard"):
        expect(backend.get_by_text(text)).to_be_visible()


def test_tabs_are_walked_with_arrows_and_have_addresses(look, site):
    page = look(site.run("media"))
    page.get_by_role("tab", name="Metrics").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Params")).to_have_attribute("aria-selected", "true")
    assert page.url.endswith("tab=params")
    page.go_back()
    expect(page.get_by_role("tab", name="Metrics")).to_have_attribute("aria-selected", "true")


def test_empty_tabs_say_what_fills_them(look, site):
    for tab, text in [
        ("media", "No media"),
        ("artifacts", "No artifacts"),
        ("system", "not watched"),
    ]:
        expect(look(site.run("sweep-0", tab)).locator(".empty")).to_contain_text(text)


def test_a_run_that_is_not_there(look, site):
    page = look(site.at("/run/20200101-000000-000-nobody"))
    expect(page.get_by_text("This run is not here")).to_be_visible()
