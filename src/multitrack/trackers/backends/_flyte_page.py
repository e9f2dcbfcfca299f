"""A run as an HTML page: what its Deck shows when the task ends."""

from __future__ import annotations

import base64
import json
import mimetypes
import threading
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from multitrack.trackers.names import flatten, merge
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.records import (
    Audio,
    Figure,
    Histogram,
    Image,
    Media,
    Metrics,
    Stepped,
    Table,
    Text,
    Tree,
    Video,
    spell,
)

WIDTH, HEIGHT = 480, 120
"""Pixels of a chart."""
DRAWN = 500
"""Most points of a curve that are drawn; the page holds all."""


class Page:
    """What a Deck needs to have: a name and its HTML, which is made when somebody asks for it.

    The task's thread asks while the courier's may be adding, hence the lock.

    Args:
        run: the run.
    """

    def __init__(self, run: RunInfo) -> None:
        header = run.header
        self.name = header.name or run.run_id
        self.about = {"run": run.run_id, "name": header.name, "project": header.project}
        self.about |= {"notes": header.notes, "status": "running"}
        self.params: Tree = {}
        self.tags: dict[str, str] = {}
        self.summary: dict[str, Any] = {}
        self._run = run
        self._points: dict[str, list[tuple[int, Any, float, float | None]]] = {}
        self._shown: list[str] = []
        self._lock = threading.Lock()

    @property
    def html(self) -> str:
        """The page, as it is now."""
        with self._lock:
            facts = {name: value for name, value in self.about.items() if value is not None}
            tables = {"run": facts, "params": dict(flatten(self.params)), "tags": self.tags}
            tables["summary"] = self.summary
            parts = [_facts(title, values) for title, values in tables.items() if values]
            parts += [_curve(name, points) for name, points in self._points.items()]
            return "\n".join([*parts, *self._shown])

    def add_params(self, values: Tree) -> None:
        """Add params; later values win."""
        with self._lock:
            merge(self.params, values)

    def add_points(self, points: Iterable[Metrics]) -> None:
        """Add points to their curves."""
        with self._lock:
            for point in points:
                for name, value in point.values.items():
                    row = (point.step, value, point.time, point.epoch)
                    self._points.setdefault(name, []).append(row)

    def add(self, record: Stepped, kind: str, key: str, html: str) -> None:
        """Add what belongs to a step."""
        place = f'data-kind="{kind}" data-key="{escape(key)}" data-step="{record.step}"'
        title = f"<figcaption>{kind} {escape(key)}, step {record.step}</figcaption>"
        with self._lock:
            self._shown.append(f"<figure {place}>{title}{html}</figure>")

    def add_text(self, text: Text) -> None:
        """Add a text as it stands."""
        self.add(text, "text", text.key, f"<pre>{_whole(text.text)}</pre>")

    def add_media(self, record: Media) -> None:
        """Add a picture, figure, sound or video; the page holds the file itself."""
        path = self._run.path(record.file)
        caption = f"<p data-caption>{escape(record.caption)}</p>" if record.caption else ""
        kind = type(record).__name__.lower()
        self.add(record, kind, record.key, _element(record, path) + caption)

    def add_histogram(self, histogram: Histogram) -> None:
        """Add edges and counts, as a table with bars."""
        top = max(histogram.counts, default=0) or 1
        bins = zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
        rows = [[low, high, n, _Bar(n / top)] for low, high, n in bins]
        self.add(histogram, "histogram", histogram.key, _grid(["from", "to", "count", ""], rows))

    def add_table(self, table: Table) -> None:
        """Add all rows."""
        grid = json.loads(self._run.path(table.file).read_bytes())
        self.add(table, "table", table.key, _grid(grid["columns"], grid["data"]))


class _Bar(float):
    """A share of the largest count."""


def _element(record: Media, path: Path) -> str:
    content = path.read_bytes()
    if isinstance(record, Figure) and path.suffix == ".html":
        text = escape(content.decode())
        return (
            f'<iframe sandbox="allow-scripts" width="100%" height="480" srcdoc="{text}"></iframe>'
        )
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    is_picture = isinstance(record, Image | Figure) or path.suffix == ".gif"
    if isinstance(record, Audio | Video) and not is_picture:
        return f'<{type(record).__name__.lower()} controls src="{source}">'
    return f'<img src="{source}">'


def _facts(title: str, values: Tree) -> str:
    grid = _grid(None, ([name, value] for name, value in values.items()))
    return f'<section data-facts="{title}"><h3>{title}</h3>{grid}</section>'


def _curve(name: str, points: list[tuple[int, Any, float, float | None]]) -> str:
    """Return a curve of a metric, with its last values, and all its points as JSON."""
    rows = [[step, _spelled(value), time, epoch] for step, value, time, epoch in points]
    content = _json(rows).replace("</", "<\\/")
    last = f"{len(rows):,} points, the last {rows[-1][1]} at step {rows[-1][0]}"
    return (
        f'<section data-metric="{escape(name)}"><h3>{escape(name)}</h3><p>{last}</p>'
        f'{_drawing(points)}<script type="application/json">{content}</script></section>'
    )


def _drawing(points: list[tuple[int, Any, float, float | None]]) -> str:
    every = -(-len(points) // DRAWN)
    seen = [(step, float(v)) for step, v, *_ in points[::every] if abs(float(v)) < float("inf")]
    if not seen:
        return ""
    (left, right), (low, high) = ((min(axis), max(axis)) for axis in zip(*seen, strict=True))
    places = (
        f"{WIDTH * _share(step, left, right):.1f},{HEIGHT * (1 - _share(value, low, high)):.1f}"
        for step, value in seen
    )
    return (
        f'<svg viewBox="-4 -4 {WIDTH + 8} {HEIGHT + 8}" width="{WIDTH}"><polyline fill="none" '
        f'stroke="#7652a2" stroke-width="1.5" points="{" ".join(places)}"/></svg>'
        f"<p>{low:g} … {high:g}</p>"
    )


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two others; halves keep the largest floats finite."""
    extent = high / 2 - low / 2
    return (value / 2 - low / 2) / extent if extent else 0.5


def _grid(columns: list[str] | None, rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{_whole(column)}</th>" for column in columns or ())
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if columns else ''}{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, _Bar):
        return f'<td><meter value="{float(value)}"></meter></td>'
    if isinstance(value, str):
        return f"<td>{_whole(value)}</td>"
    return f"<td data-value>{_whole(_json(_spelled(value)))}</td>"


def _whole(text: str) -> str:
    """Escape a text so that nothing of it is lost when the page is read."""
    return escape(text).replace("\r", "&#13;").replace("\n", "&#10;")


def _spelled(value: Any) -> Any:
    return spell(value) if isinstance(value, float) else value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
