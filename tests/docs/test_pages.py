"""Every example in README.md and the documentation runs, and shows what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pages import DOCS, PAGES, RUN, SHOWN, blocks_of, load_project, matches, name_of, needs_of

EXTRAS: dict[str, list[str]] = load_project(DOCS.parent)["optional-dependencies"]
SETTINGS = ("MULTITRACK_", "WANDB_", "MLFLOW_", "TENSORBOARD_")


def missing(extra: str) -> set[str]:
    """Return the distributions of an extra that are not installed."""
    found = set()
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == "multitrack":
            found |= {name for inner in requirement.extras for name in missing(inner)}
        elif not requirement.marker or requirement.marker.evaluate():
            try:
                metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                found.add(requirement.name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page(page: Path, tmp_path: Path) -> None:
    """A page runs in an interpreter of its own, with nothing of the caller's settings."""
    absent = sorted({name for extra in needs_of(page) for name in missing(extra)})
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")
    environ = {name: os.environ[name] for name in os.environ if not name.startswith(SETTINGS)}
    environ |= {"COLUMNS": "80", "NO_COLOR": "1", "TZ": "UTC"}
    environ["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])
    command = [sys.executable, "-m", "pages", str(page)]
    result = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_escapes(page: Path) -> None:
    """A block in a language that is not known here would never be run."""
    for block in blocks_of(page):
        assert block.language in (*RUN, *SHOWN), f"{page}:{block.line}: {block.language!r}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_needs_is_an_extra(page: Path) -> None:
    assert needs_of(page) <= set(EXTRAS)


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
