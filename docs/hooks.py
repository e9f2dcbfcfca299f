"""The site's navigation: a page for every backend, without naming one in mkdocs.yml; titles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = "backends/"


def on_config(config: Any) -> Any:
    """Put the pages of a folder where the navigation names the folder."""
    pages = sorted((Path(config["docs_dir"]) / FOLDER).glob("*.md"), key=_index_first)
    names = [f"{FOLDER}{page.name}" for page in pages]
    config["nav"] = [_expanded(entry, names) for entry in config["nav"]]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let a page begin with its heading, which is its title: the first line may be for tests."""
    return markdown[markdown.index("\n") + 1 :] if markdown.startswith("<!--") else markdown


def _index_first(page: Path) -> tuple[bool, str]:
    return page.stem != "index", page.stem


def _expanded(entry: Any, names: list[str]) -> Any:
    if isinstance(entry, dict) and FOLDER in entry.values():
        return dict.fromkeys(entry, names)
    return entry
