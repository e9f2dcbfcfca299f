"""Every example in README.md and the documentation runs, and shows what it says."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pages import DOCS, PAGES, RUN, SHOWN, Session, blocks_of, matches, name_of, needs_of


def missing(extra: str) -> list[str]:
    """Return the distributions of an extra that are not installed."""
    found = []
    for line in metadata.requires("multitrack") or []:
        requirement = Requirement(line)
        if requirement.marker and requirement.marker.evaluate({"extra": extra}):
            try:
                metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                found.append(requirement.name)
    return found


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, with nothing of the caller's settings or terminal."""
    for name in list(os.environ):
        if name.startswith(("MULTITRACK_", "WANDB_", "MLFLOW_", "TENSORBOARD_")):
            monkeypatch.delenv(name)
    settings = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(tmp_path), "TZ": "UTC"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MULTITRACK_DELIVERY", "")  # a page may set it: then this is put back
    monkeypatch.setenv("MULTITRACK_DIR", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page(page: Path, directory: Path) -> None:
    absent = sorted(name for extra in needs_of(page) for name in missing(extra))
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")
    session = Session(page, directory)
    for block in blocks_of(page):
        session.run(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_escapes(page: Path) -> None:
    """A block in a language that is not known here would never be run."""
    for block in blocks_of(page):
        assert block.language in (*RUN, *SHOWN), f"{page}:{block.line}: {block.language!r}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_needs_is_an_extra(page: Path) -> None:
    extras = metadata.metadata("multitrack").get_all("Provides-Extra") or []
    assert needs_of(page) <= set(extras)


def test_links_between_pages_lead_somewhere() -> None:
    """mkdocs sees to links in docs/; README.md is not its page."""
    readme = DOCS.parent / "README.md"
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", readme.read_text()):
        assert (readme.parent / target).exists(), target


@pytest.mark.parametrize(
    ("expected", "output", "answer"),
    [
        (["a", "b"], "a\nb\n", True),
        (["a"], "a\nb\n", False),
        (["a", "…"], "a\nb\nc\n", True),
        (["…", "c"], "a\nb\nc\n", True),
        (["took …s, done"], "took 1.5s, done   \n", True),
        (["took …s, done"], "took 1.5m, done\n", False),
        (["a (b)"], "a (b)\n", True),
    ],
)
def test_shown_output_is_held_against_the_real(
    expected: list[str], output: str, *, answer: bool
) -> None:
    assert matches(expected, output) is answer
