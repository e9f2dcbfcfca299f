"""What a user installs: the wheel holds the package, its types and its command."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import multitrack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = target.glob("*.whl")
    return zipfile.ZipFile(path)


def test_it_holds_every_module_and_nothing_else(wheel):
    modules = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "multitrack").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packaged = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packaged == modules


def test_it_is_typed(wheel):
    assert "multitrack/py.typed" in wheel.namelist()


def test_it_brings_the_command_and_the_licence(wheel):
    names = {name.partition(".dist-info/")[2]: name for name in wheel.namelist()}
    assert "multitrack = multitrack.cli:app" in wheel.read(names["entry_points.txt"]).decode()
    assert "licenses/LICENSE" in names


def test_its_metadata_is_what_the_package_says_of_itself(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == multitrack.__version__
    assert metadata["Description-Content-Type"] == "text/markdown"
    torch = [line for line in metadata.get_all("Requires-Dist") if line.startswith("torch")]
    assert torch, "the trainer needs torch"
    assert not any("<" in line or "==" in line.partition(";")[0] for line in torch)
