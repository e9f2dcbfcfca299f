"""A page that stays open, while a process logs and when the server is gone."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

LOGGING = """
import sys, time, multitrack
run = multitrack.start_run("digits", "alive", dir=sys.argv[1], delivery="later", report_to=[])
print(run.id, flush=True)
for step in range(100_000):
    run.log({"train/loss": float(step)}, step=step)
    time.sleep(0.05)
"""


@contextmanager
def logging(directory):
    """A process that logs until the block ends; gives its run's id."""
    command = [sys.executable, "-c", LOGGING, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.kill()


def test_a_new_run_appears_and_its_curve_goes_on(own_site, look_at_own):
    page = look_at_own(own_site.at("/"))
    expect(page.get_by_text("No runs yet")).to_be_visible()
    with logging(own_site.directory) as run_id:
        expect(page.locator("tbody .strong")).to_have_text(["alive"])
        expect(page.locator("tbody .chip").first).to_have_text("running")
        page.goto(own_site.at(f"/run/{run_id}"))
        value = page.locator(".card .at")
        expect(value).not_to_be_empty()
        first = value.inner_text()
        expect(value).not_to_have_text(first)
        assert float(value.inner_text()) > float(first)
    expect(page.locator(".heading .chip")).to_have_text("killed")


def test_a_server_that_is_gone_is_said_and_what_was_known_stays(own_site, browser):
    context = browser.new_context()
    page = context.new_page()
    with logging(own_site.directory):
        page.goto(own_site.url)
        expect(page.locator("tbody .strong")).to_have_text(["alive"])
        own_site.stop()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        expect(page.locator("tbody .strong")).to_have_text(["alive"])
    context.close()
