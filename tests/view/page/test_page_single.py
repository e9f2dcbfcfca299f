"""Metrics that were logged once, names that agree, and params that say where a run comes from."""

from __future__ import annotations

import pytest

import multitrack

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

NOTHING = "\u2013"
NAMES = ["bert-base_lr-1e-3_seed-1_final", "bert-base_lr-1e-4_seed-1_final"]


def record(site, name, values, **config):
    """Record a run whose curve has two points, and whose other metrics have one."""
    options = {"report_to": [], "delivery": "later", "dir": site.directory}
    with multitrack.start_run("sweep", name, config=config, **options) as run:
        run.log({"train/loss": 2.0}, step=1)
        run.log({"train/loss": 1.0, **values}, step=2)
    site.ids[name] = run.id
    return run


def card(page, title):
    return page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))


def test_what_was_logged_once_is_a_number(look_at_own, own_site):
    record(own_site, "one", {"test/f1": 0.8125, "test/odd": float("nan")})
    page = look_at_own(own_site.run("one"))
    expect(card(page, "f1").locator(".value")).to_have_text("0.8125")
    expect(card(page, "f1").locator(".at")).to_have_text("step 2")
    expect(card(page, "odd").locator(".value")).to_have_text("NaN")
    expect(page.locator(".uplot")).to_have_count(1)


def test_a_second_point_makes_it_a_curve(look_at_own, own_site):
    run = multitrack.start_run(
        "sweep", "live", dir=own_site.directory, delivery="later", report_to=[]
    )
    own_site.ids["live"] = run.id
    run.log({"loss": 3.0}, step=1)
    page = look_at_own(own_site.run("live"))
    expect(card(page, "loss").locator(".value")).to_have_text("3")
    run.log({"loss": 2.0}, step=2)
    expect(card(page, "loss").locator(".uplot")).to_be_visible()
    run.finish(quiet=True)


def test_compared_runs_have_a_bar_each_from_nothing_to_the_value(look_at_own, own_site):
    record(own_site, NAMES[0], {"test/f1": 0.8, "test/gain": -1.0})
    record(own_site, NAMES[1], {"test/f1": 0.4, "test/gain": 1.0})
    record(own_site, "without", {"test/gain": float("inf")})
    page = look_at_own(own_site.compare(*NAMES, "without"))
    f1, gain = card(page, "f1"), card(page, "gain")
    expect(f1.locator("output:not(.at)")).to_have_text(["0.8", "0.4", NOTHING])
    expect(gain.locator("output:not(.at)")).to_have_text(["-1", "1", "Infinity"])
    long, half = (bar.bounding_box() for bar in f1.locator("i").all())
    assert half["x"] == long["x"]
    assert half["width"] == pytest.approx(long["width"] / 2, abs=1)
    left, right = (bar.bounding_box() for bar in gain.locator("i").all())
    assert left["x"] + left["width"] == pytest.approx(right["x"], abs=1)
    page.get_by_role("button", name=f"Hide {NAMES[0]}").click()
    expect(f1.locator("output:not(.at)")).to_have_text(["0.4", NOTHING])


def test_names_are_shortened_where_they_agree(look_at_own, own_site):
    for name in NAMES:
        record(own_site, name, {}, lr=name)
    page = look_at_own(own_site.compare(*NAMES))
    short = ["…1e-3_…", "…1e-4_…"]
    expect(page.locator(".run-list .strong")).to_have_text(short)
    expect(card(page, "loss").locator(".legend .clip")).to_have_text(short)
    for place in (page.locator(".run-list a"), card(page, "loss").locator(".legend .clip")):
        assert [one.get_attribute("title") for one in place.all()] == NAMES
    page.get_by_role("tab", name="Params").click()
    expect(page.locator(".diff thead .clip")).to_have_text(short)


def test_runs_of_one_name_are_told_apart(look_at_own, own_site):
    runs = [record(own_site, "train", {}) for _ in range(2)]
    page = look_at_own(own_site.at(f"/compare?runs={','.join(run.id for run in runs)}"))
    ends = [f"train · {run.id.rpartition('-')[2]}" for run in runs]
    expect(page.locator(".run-list .strong")).to_have_text(ends)


def test_where_imported_runs_come_from_is_a_column_only_for_who_asks(look_at_own, own_site):
    for index in range(6):
        origin = {"tracker": f"tracker-{index % 2}", "id": str(index)}
        record(own_site, f"run-{index}", {}, imported_from=origin, zeta=index % 2)
    page = look_at_own(own_site.at("/"))
    expect(page.locator("thead th", has_text="zeta")).to_be_visible()
    expect(page.locator("thead th", has_text="imported_from")).to_have_count(0)
    page.get_by_role("button", name="Columns").click()
    params = page.get_by_role("group", name="Params")
    expect(params.locator("label").first).to_have_text("zeta")
    page.get_by_role("checkbox", name="imported_from/tracker").check()
    expect(page.locator("thead th", has_text="imported_from/tracker")).to_be_visible()
    page.goto(own_site.compare("run-0", "run-1") + "&tab=params")
    names = ["zeta", "imported_from/id", "imported_from/tracker"]
    expect(page.locator(".diff tbody th")).to_have_text(names)
