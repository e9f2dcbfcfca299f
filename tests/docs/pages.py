"""The examples of a page: its fenced blocks, run in order in one directory.

- ``python`` runs, all of a page's blocks in one namespace; with a ``title``, it becomes that file.
- ``console`` runs the lines after ``$`` and holds their output against the lines that follow;
  ``…`` stands for anything, on a line of its own for any lines,
  and any space is as good as another.
- ``toml``, ``json`` and ``yaml`` with a ``title`` become files. All else is only shown.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RUN = ("python", "console")
SHOWN = ("shell", "text", "toml", "json", "yaml", "sql")
ELLIPSIS = "…"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]*)(?P<options>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')
_NEEDS = re.compile(r"^<!-- needs: (.+?) -->$", re.MULTILINE)


@dataclass
class Block:
    """One fenced block of a page."""

    language: str
    title: str | None
    code: str
    line: int


def name_of(page: Path) -> str:
    """Return a page's path below ``docs/``; README.md lies above it."""
    return page.relative_to(DOCS).as_posix() if page.is_relative_to(DOCS) else page.name


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield a page's fenced blocks."""
    text = page.read_text()
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match["options"])
        yield Block(
            language=match["language"],
            title=title[1] if title else None,
            code=textwrap.dedent(match["code"]),
            line=text.count("\n", 0, match.start()) + 2,
        )


def needs_of(page: Path) -> set[str]:
    """Return the extras that a page's examples need: those it declares, and its own backend's."""
    declared = {extra for needs in _NEEDS.findall(page.read_text()) for extra in needs.split()}
    is_backend = page.parent.name == "backends" and page.stem != "index"
    return declared | ({page.stem} if is_backend else set())


class Session:
    """Runs the blocks of one page.

    Args:
        page: the page.
        directory: where they run; it is the current one.
    """

    def __init__(self, page: Path, directory: Path) -> None:
        self._page = page
        self._directory = directory
        self._namespace: dict[str, Any] = {"__name__": "__page__"}

    def run(self, block: Block) -> None:
        """Run a block, or write it to the file that its title names."""
        if block.title:
            file = self._directory / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code)
            if block.title == "pyproject.toml":
                install(self._directory)
        elif block.language == "python":
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(self._page), "exec"), self._namespace)
        elif block.language == "console":
            for command, expected in _commands(block.code):
                self._check(command, expected)

    def _check(self, command: str, expected: list[str]) -> None:
        result = subprocess.run(
            ["bash", "-c", f"PATH={Path(sys.executable).parent}:$PATH; {command}"],
            cwd=self._directory,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        assert result.returncode == 0, f"$ {command}\n{result.stdout}"
        if expected:
            shown = "\n".join(expected)
            assert matches(expected, result.stdout), f"$ {command}\n{result.stdout}\n---\n{shown}"


def load_project(directory: Path) -> dict[str, Any]:
    """Return what a directory's ``pyproject.toml`` says of its project."""
    project: dict[str, Any] = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    return project


def install(directory: Path) -> None:
    """Do what ``pip install --editable`` does with a directory that is on the path already."""
    project = load_project(directory)
    info = directory / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata.format(**project))
    points = ""
    for group, entries in project.get("entry-points", {}).items():
        points += f"[{group}]\n" + "".join(f"{n} = {target}\n" for n, target in entries.items())
    (info / "entry_points.txt").write_text(points)


def matches(expected: list[str], output: str) -> bool:
    """Tell whether an output is what a page shows, however wide the space between words is."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    pattern = "".join(_pattern(" ".join(line.split())) for line in expected)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def _pattern(line: str) -> str:
    if line == ELLIPSIS:
        return r"(?:.*\n)*?"
    return ".*?".join(re.escape(part) for part in line.split(ELLIPSIS)) + r"\n"


def _commands(code: str) -> Iterator[tuple[str, list[str]]]:
    command: str | None = None
    expected: list[str] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, _trimmed(expected)
            command, expected = line[2:], []
        elif command and command.endswith("\\"):
            command = f"{command}\n{line}"
        else:
            expected.append(line)
    if command:
        yield command, _trimmed(expected)


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


if __name__ == "__main__":
    SESSION = Session(Path(sys.argv[1]), Path.cwd())
    for BLOCK in blocks_of(Path(sys.argv[1])):
        SESSION.run(BLOCK)
