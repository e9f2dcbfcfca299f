"""What the page of `multitrack view` takes in a browser: a thousand runs, a million points.

    python benchmarks/page.py                            # two minutes
    python benchmarks/page.py --runs 100 --points 10000  # a look

A Chromium without a window looks at a server of its own, while one of the runs goes on and logs.
A reaction is the time from what somebody does to the second frame after it, when it is on the
screen; frames are the times between two, while the page moves: 16.7 ms is all that a screen shows.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import spread
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import sync_playwright

import multitrack
from view import make_long_run, make_runs, options_of, report, served

COMPARED = 20
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu"]
PAUSE = 0.3
REACTION = """
async (act) => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  const began = performance.now();
  await eval(act);
  await frame();
  await frame();
  return performance.now() - began;
}
"""
FRAMES = """
async ([move, count]) => {
  const step = eval(move);
  const times = [];
  for (let index = 0; index <= count; index += 1) {
    times.push(await new Promise(requestAnimationFrame));
    step(index);
  }
  return times.slice(1).map((time, index) => time - times[index]);
}
"""
SCROLL = "(index) => document.querySelector('.scroll').scrollBy(0, 190)"
HOVER = """
(index) => {
  const chart = document.querySelector('.u-over');
  const { left, top, width, height } = chart.getBoundingClientRect();
  const clientX = left + ((index * 7) % width);
  const where = { clientX, clientY: top + height / 2, bubbles: true };
  chart.dispatchEvent(new MouseEvent('mousemove', where));
}
"""
TYPE = """
(() => {
  const field = document.querySelector('input[type=search]');
  field.value = %r;
  field.dispatchEvent(new Event('input', { bubbles: true }));
})()
"""
SORT = "[...document.querySelectorAll('th button')].find((one) => one.title === %r).click()"
SELECT_ALL = "document.querySelector('thead input').click()"

Rows = dict[str, str]


@contextmanager
def logging_run(directory: Path) -> Iterator[None]:
    """Let a run log every tenth of a second while the block runs."""
    run = multitrack.start_run("bench", "live", dir=directory, delivery="later", report_to=[])
    ended = threading.Event()

    def log() -> None:
        while not ended.wait(0.1):
            run.log({"train/loss": time.time() % 1})

    logger = threading.Thread(target=log)
    logger.start()
    yield
    ended.set()
    logger.join()
    run.finish(quiet=True, timeout=0)


@contextmanager
def opened(url: str) -> Iterator[BrowserPage]:
    """Open a browser before the page."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        sys.exit("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        page.goto(url)
        yield page
        browser.close()


def until_there(page: BrowserPage, act: Callable[[], Any], selector: str) -> str:
    """Return how long it took from an act until something was on the page."""
    began = time.perf_counter()
    act()
    page.wait_for_selector(selector, timeout=120_000)
    return f"{1000 * (time.perf_counter() - began):,.0f} ms"


def reactions(page: BrowserPage, acts: list[str]) -> str:
    """Return how long the page took to show what came of each act."""
    taken = []
    for act in acts:
        taken.append(page.evaluate(REACTION, act))
        time.sleep(PAUSE)
    return f"{spread(taken)} ms"


def frames(page: BrowserPage, move: str, count: int = 240) -> str:
    """Return the times between frames while the page moves: median, p99 and the longest."""
    times = sorted(page.evaluate(FRAMES, [move, count]))
    late = times[int(0.99 * len(times))]
    return f"{statistics.median(times):.1f} ms, p99 {late:.1f}, longest {times[-1]:.1f}"


def measure_table(page: BrowserPage, times: int) -> Rows:
    """Do what one does with the table of runs."""
    searches = [TYPE % text for text in ["run-0001", "run-00", "param3=0.4", ""] * times]
    sorts = [SORT % title for title in ["Took", "Name", "Started", "Step"] * times]
    return {
        "the table, frames while it scrolls": frames(page, SCROLL),
        "the table, a search": reactions(page, searches),
        "the table, sorting": reactions(page, sorts),
        "the table, selecting all and none": reactions(page, [SELECT_ALL] * 2 * times),
    }


def measure_charts(page: BrowserPage, where: str, run_ids: list[str]) -> Rows:
    """Look at many runs in one chart, and at one of many points."""
    *many, long = run_ids
    compare = f"{where}#/compare?runs={','.join(many)}"
    rows = {
        f"{len(many)} runs in a chart, drawn": until_there(
            page, lambda: page.goto(compare), ".u-over"
        )
    }
    page.wait_for_timeout(1000)
    rows |= {f"{len(many)} runs in a chart, frames at the cursor": frames(page, HOVER)}
    at = f"{where}#/run/{long}"
    rows |= {"the long run, a first curve": until_there(page, lambda: page.goto(at), ".u-over")}
    whole = ".card:not(:has(.reading)) .u-over"
    rows |= {"the long run, all of it, after that": until_there(page, lambda: None, whole)}
    page.wait_for_timeout(1000)
    return rows | {"the long run, frames at the cursor": frames(page, HOVER)}


def measure(directory: Path, long: str, times: int) -> Rows:
    """Look at everything."""
    many = sorted(path.name for path in directory.glob("run-*"))[:COMPARED]
    with served(directory) as server, opened(server.url) as page, logging_run(directory):
        rows = {"the table, drawn": until_there(page, page.reload, "tr[data-index]")}
        page.wait_for_timeout(8000)  # the server reads the journals from end to end
        rows |= measure_table(page, times)
        return rows | measure_charts(page, server.url.split("?")[0], [*many, long])


def main() -> None:
    """Measure, print a table, write JSON."""
    options = options_of(__doc__, times=3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder, options.runs)
        run_id = make_long_run(folder, options.points)
        rows = measure(folder / "runs", run_id, options.times)
    report("page", rows, options)


if __name__ == "__main__":
    main()
