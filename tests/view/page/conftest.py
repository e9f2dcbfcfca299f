"""A real browser before a real server, over runs that were really recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import multitrack
from multitrack.trackers.folder import CourierState

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
REQUIRED = bool(os.environ.get("MULTITRACK_REQUIRE_BROWSER"))
if REQUIRED:  # where it is missing, the modules beside this one would skip
    import playwright.sync_api  # noqa: F401
PATIENCE_MS = 20_000
HOSTILE = '<img src=x onerror="window.pwned = 1"><b>bold</b>'


class Site:
    """A server in a process of its own.

    Attributes:
        directory: where its runs are.
        url: what it printed, with the token.
        ids: of the runs, by name.
    """

    def __init__(self, directory: Path, ids: dict[str, str]) -> None:
        self.directory = directory
        self.ids = ids
        command = [sys.executable, "-m", "multitrack", "view", str(directory)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--no-open"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        words = (word for line in self.process.stdout for word in line.split())
        self.url = next(word for word in words if word.startswith("http"))
        self.host = urlsplit(self.url).netloc

    def at(self, place: str) -> str:
        return f"http://{self.host}/#{place}"

    def run(self, name: str, tab: str = "") -> str:
        return self.at(f"/run/{self.ids[name]}" + (f"?tab={tab}" if tab else ""))

    def compare(self, *names: str) -> str:
        return self.at(f"/compare?runs={','.join(self.ids[name] for name in names)}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        message = "no Chromium is installed: apt-get install chromium"
        pytest.fail(message) if REQUIRED else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server over a few runs, for tests that change none of them."""
    directory = tmp_path_factory.mktemp("runs")
    served = Site(directory, dict(_record(directory)))
    yield served
    served.stop()


@pytest.fixture
def look(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Open a page of the site; in the end nothing was complained of, and no one else asked."""
    yield from watched(browser, site)


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A server over no run yet."""
    served = Site(tmp_path / "runs", {})
    yield served
    served.stop()


@pytest.fixture
def look_at_own(browser: Any, own_site: Site) -> Iterator[Callable[..., Any]]:
    """Open a page of the own site, watched likewise."""
    yield from watched(browser, own_site)


def watched(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    contexts, complaints, hosts = [], [], set()

    def open_page(url: str, **how: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **how})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda told: told.type == "error" and complaints.append(told.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(site.url)
        page.goto(url)
        return page

    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    yield open_page
    for context in contexts:
        context.close()
    assert [told for told in complaints if "404" not in told] == []
    assert hosts <= {site.host}


def _record(directory: Path) -> Iterator[tuple[str, str]]:
    for index, rate in enumerate((0.1, 0.01, 0.001)):
        yield _sweep(directory, index, rate)
    yield _media(directory)
    yield _turned_nan(directory)
    yield _hostile(directory)


def _start(directory: Path, project: str, name: str, **given: Any) -> multitrack.Run:
    return multitrack.start_run(
        project, name, dir=directory, delivery="later", report_to=[], **given
    )


def _sweep(directory: Path, index: int, rate: float) -> tuple[str, str]:
    name = f"sweep-{index}"
    config = {"optimizer": {"name": "adamw", "lr": rate}, "batch_size": 32}
    run = _start(directory, "digits", name, config=config, tags=["sweep"])
    noise = np.random.default_rng(index).normal(0, 0.3, 3000)
    for step in range(3000):
        row = {"train/loss": 2 + index + noise[step], "train/minus": -1.0 - step}
        row |= {"eval/accuracy": (index + 1) / 10} if step % 100 == 0 else {}
        run.log(row, step=step, epoch=step / 1000)
    run.finish(quiet=True, timeout=0)
    return name, run.id


def _media(directory: Path) -> tuple[str, str]:
    run = _start(directory, "pictures", "media", config={"size": 8}, notes="What it saw.")
    for step in range(4):
        run.log_image("seen", np.full((8, 8), 60 * step, "uint8"), step, f"caption {step}")
        run.log_histogram("weights", np.arange(100) * (step + 1), step, bins=8)
        run.log_table("errors", [["a", step], ["b", 2]], columns=["label", "count"], step=step)
        run.log_text("answer", f"answer {step}", step)
    for index in range(40):
        for step in (3, 4):
            run.log({f"many/metric-{index:02}": float(index)}, step=step)
    (directory.parent / "weights.txt").write_text("weights")
    run.log_artifact(directory.parent / "weights.txt", aliases=["best"])
    run.finish(quiet=True, timeout=0)
    courier = run.folder.courier("tensorboard")
    courier.create()
    state = {"phase": "parked", "message": "the disk is full", "remedy": "make room"}
    courier.write_state(CourierState(offset=10, **state))
    return "media", run.id


def _turned_nan(directory: Path) -> tuple[str, str]:
    run = _start(directory, "digits", "turned-nan")
    for step in range(20):
        run.log({"loss": float("nan") if step > 10 else 1.0 / (step + 1)}, step=step)
    run.finish("failed", "FloatingPointError: loss is NaN", quiet=True, timeout=0)
    return "turned-nan", run.id


def _hostile(directory: Path) -> tuple[str, str]:
    run = _start(
        directory,
        HOSTILE,
        HOSTILE,
        config={HOSTILE: HOSTILE},
        tags={HOSTILE: HOSTILE},
        notes=HOSTILE,
    )
    run.log({HOSTILE: 1.0, "__proto__": 2.0, "constructor": 3.0}, step=1)
    run.log_text(HOSTILE, HOSTILE, 1)
    run.log_table(HOSTILE, [[HOSTILE]], columns=[HOSTILE], step=1)
    run.log_image("picture", np.zeros((4, 4), "uint8"), 1, HOSTILE)
    run.finish("failed", HOSTILE, quiet=True, timeout=0)
    return "hostile", run.id
