"""A backend is a module, an extra, a test file and a page: each has all four."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

import pytest

from multitrack import compat
from multitrack.trackers import backends

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
HOSTS = {file.stem for file in Path(compat.__path__[0]).glob("*.py")}
OTHERS = {"trainer", "system", "migrate", "view"}
"""Extras that are neither for a backend nor for a training loop that multitrack plugs into."""

MODULES = {
    module.name
    for module in pkgutil.iter_modules(backends.__path__)
    if not module.name.startswith("_")
}


def test_every_backend_has_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) - HOSTS - OTHERS == MODULES


def test_every_backend_has_a_test_file():
    """``test_<name>.py``; ``test_<name>_<subject>.py`` may stand beside it."""
    files = {file.stem for file in (ROOT / "tests" / "backends").glob("test_*.py")}
    assert {name for name in MODULES if f"test_{name}" in files} == MODULES
    assert all(any(f"{file}_".startswith(f"test_{name}_") for name in MODULES) for file in files)


def test_every_backend_has_a_page():
    pages = (ROOT / "docs" / "backends").glob("*.md")
    assert {page.stem for page in pages} - {"index"} == MODULES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_shared_code_names_a_backend(name):
    for file in (ROOT / "noxfile.py", *(ROOT / "src" / "multitrack" / "cli").rglob("*.py")):
        assert f'"{name}"' not in file.read_text(), file
