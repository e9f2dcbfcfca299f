"""How a run is shown to people: as a line, and as a card in notebooks."""

from __future__ import annotations

import time
from html import escape
from typing import NamedTuple
from urllib.parse import urlsplit

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.history import glance
from multitrack.trackers.records import Header, Status
from multitrack.trackers.standing import Standing, standing
from multitrack.trackers.texts import Unread, attempt, clean

COLOURS = {
    "green": "#2da44e",
    "cyan": "#3291c9",
    "yellow": "#bf8700",
    "red": "#e5534b",
    "dim": "#8b949e",
}
"""They can be read on white and on black."""
STATUS_COLOURS = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "killed": "red",
    "interrupted": "yellow",
}
LINE = "rgba(128,128,128,.35)"
TABLE = "border-collapse:collapse;margin:6px 0 0;border:0;font:inherit;color:inherit"
CELL = "padding:3px 18px 3px 0;text-align:left;border:0;background:none;vertical-align:middle"


class ShowsItself:
    """A run's `repr`, and its card in a notebook; neither raises.

    Attributes:
        id: the run's.
        folder: where it is recorded.
    """

    id: str
    folder: RunFolder

    @property
    def status(self) -> Status:
        """``"running"``, or how the run ended."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the run's id, project, status and trackers."""
        seen = attempt(_look, self.folder, self.status)
        facts = [f"<multitrack.Run {self.id!r}"]
        if type(seen) is not Unread:
            facts += [f"{seen.header.project!r}"] if seen.header.project else []
        facts += [self.status]
        if type(seen) is not Unread:
            facts += ["trackers: " + (", ".join(one.backend for one in seen.standings) or "none")]
        return ", ".join(facts) + ">"

    def _repr_html_(self) -> str:
        """Return the card that notebooks show: status, trackers, links, and what is delivered."""
        seen = attempt(_look, self.folder, self.status)
        return _boxed(_title(self.id, None, self.status)) if type(seen) is Unread else card(seen)


class Seen(NamedTuple):
    """What a card shows."""

    header: Header
    status: Status
    updated: float
    size: int
    standings: list[Standing]


def _look(folder: RunFolder, status: Status) -> Seen:
    found = glance(folder)
    standings = [
        standing(folder, backend, state, size=found.size, status=status)
        for backend, state in found.couriers.items()
    ]
    return Seen(found.header, status, found.updated, found.size, standings)


def card(seen: Seen) -> str:
    """Return a run as HTML without script, in the colours of the page around it."""
    header = seen.header
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(header.time))
    facts = f"{header.run_id} · started {started}" if header.name else f"started {started}"
    rows = "".join(_row(one, seen.size) for one in seen.standings)
    table = f'<table style="{TABLE}">{rows}</table>'
    return _boxed(
        _title(header.name or header.run_id, header.project, seen.status)
        + f'<div style="opacity:.7;font-size:12px">{_text(facts)}</div>'
        + (table if rows else '<div style="margin-top:6px">reports to no tracker</div>')
    )


def _boxed(content: str) -> str:
    style = (
        f"display:inline-block;min-width:340px;max-width:100%;box-sizing:border-box;"
        f"padding:10px 16px;border:1px solid {LINE};border-radius:8px;"
        f"font:13px/1.5 system-ui,sans-serif;color:inherit"
    )
    return f'<div style="{style}">{content}</div>'


def _title(name: str, project: str | None, status: Status) -> str:
    above = f'<span style="opacity:.7">{_text(project)} / </span>' if project else ""
    word = _word(status, STATUS_COLOURS.get(status, "dim"))
    return f'<div>{above}<b style="font-size:14px">{_text(name)}</b> &nbsp;{word}</div>'


def _row(one: Standing, size: int) -> str:
    part = 1.0 if one.is_complete else min(1.0, one.state.offset / size) if size else 0.0
    percent = int(100 * part)
    bar = (
        f'<progress max="100" value="{percent}" style="width:90px;vertical-align:middle">'
        f"</progress> {percent} %"
    )
    cells = [f"<b>{_text(one.backend)}</b>", _word(one.word, one.style), bar, _link(one.url)]
    return "<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _word(word: str, colour: str) -> str:
    return f'<span style="color:{COLOURS.get(colour, COLOURS["dim"])}">● {_text(word)}</span>'


def _link(url: str | None) -> str:
    """Return where to look: a link if a browser can go there, else the text."""
    if url is None:
        return ""
    parts = attempt(urlsplit, url)
    if type(parts) is Unread or parts.scheme not in {"http", "https"}:
        return f'<code style="font-size:12px;word-break:break-all">{_text(url)}</code>'
    safe = 'target="_blank" rel="noopener noreferrer"'
    return f'<a href="{_text(url)}" {safe}>{_text(parts.netloc)}</a>'


def _text(text: str) -> str:
    return escape(clean(text))
