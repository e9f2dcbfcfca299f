"""A thousand runs, a run of many points: the page draws what is seen, and shows what is known."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("playwright.sync_api", reason="the page is tested in a browser")
from playwright.sync_api import expect

import multitrack
from multitrack.trackers.folder import RunFolder

MANY = 1000
POINTS = 1_200_000
"""More than a server reads in the time of one answer."""


def test_a_thousand_runs_are_a_table_of_which_a_few_rows_are_drawn(own_site, look_at_own):
    _make_many(own_site.directory)
    page = look_at_own(own_site.at("/"))
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(MANY + 1))
    assert page.locator("tr[data-index]").count() < 100
    page.locator(".scroll").evaluate("(element) => element.scrollTo(0, element.scrollHeight)")
    expect(page.locator(f"tr[data-index='{MANY - 1}']")).to_be_visible()
    page.get_by_role("searchbox", name="Search runs").fill("run-000123")
    expect(page.get_by_text(f"1 of {MANY:,} runs")).to_be_visible()
    page.get_by_role("searchbox", name="Search runs").fill("")
    page.get_by_label("Select all that are shown").check()
    expect(page.get_by_text(f"{MANY:,} runs selected")).to_be_visible()
    expect(page.get_by_text("the first 20 are compared")).to_be_visible()


def test_a_run_that_goes_on_sends_its_own_row_alone(own_site, look_at_own):
    _make_many(own_site.directory)
    run = _start(own_site.directory, "live")
    page = look_at_own(own_site.at("/"))
    row = page.locator("tr[data-index='0']")
    expect(row).to_contain_text("running")
    page.wait_for_event("response", lambda answer: answer.status == 204)  # nothing is left to read
    with page.expect_response(
        lambda answer: "since=" in answer.url and answer.status == 200
    ) as got:
        run.log({"train/loss": 0.125}, step=77)
    assert [told["id"] for told in got.value.json()["runs"]] == [run.id]
    expect(row).to_contain_text("0.125")
    run.finish(quiet=True)
    expect(row).to_contain_text("finished")


def test_a_long_run_is_drawn_as_it_is_read(own_site, look_at_own):
    run = _start(own_site.directory, "long")
    for step in range(POINTS):
        run.log({"train/loss": float(step)}, step=step)
    run.finish(quiet=True)
    page = look_at_own(own_site.at("/"))
    answers = []
    page.on("response", lambda answer: "/api/series" in answer.url and answers.append(answer))
    page.route("**/api/series*", lambda route: (time.sleep(0.3), route.continue_()))
    page.goto(own_site.at(f"/run/{run.id}"))
    expect(page.get_by_text("reading the journal")).to_be_visible()
    expect(page.locator(".card .reading")).to_be_visible()
    expect(page.get_by_text(f"step {POINTS - 1:,}")).to_be_visible()
    expect(page.locator(".card .reading")).to_have_count(0)
    expect(page.locator(".card .at")).to_have_text(f"{POINTS - 1:,}")
    parts = [answer.json() for answer in answers]
    assert 0 < parts[0]["reading"] < 1
    assert parts[-1]["reading"] is None
    assert parts[-1]["series"][0]["x"][-1] == POINTS - 1


def _start(directory, name):
    return multitrack.start_run("digits", name, dir=directory, delivery="later", report_to=[])


def _make_many(directory):
    """Make runs that are copies of one, with ids of their own."""
    run = _start(directory.parent / "one", "copied")
    for step in range(50):
        run.log({"train/loss": 1 / (step + 1)}, step=step)
    run.finish(quiet=True)
    journal = run.folder.journal.read_bytes()
    for number in range(MANY):
        copy = RunFolder(directory / f"run-{number:06d}")
        copy.create()
        copy.journal.write_bytes(journal.replace(run.id.encode(), copy.run_id.encode()))
