"""One run, as the Deck that flytekit wrote shows it, and the task's checkpoint and raw outputs."""

import base64
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

from multitrack.trackers.records import NON_FINITE
from multitrack.trackers.testing import Item, Point, StoredRun

VOID = {"meta", "img", "link", "br", "input"}


class Node:
    """An element, its attributes, children and text."""

    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children, self.text = tag, dict(attributes), [], ""

    def all(self, tag=None, attribute=None):
        for child in self.children:
            has = attribute is None or attribute in child.attributes
            if has and tag in {None, child.tag}:
                yield child
            yield from child.all(tag, attribute)


class Tree(HTMLParser):
    """A page as nodes, read by Python's own parser."""

    def __init__(self, text):
        super().__init__()
        self.root = Node("", ())
        self._open = [self.root]
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        node = Node(tag, attrs)
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag):
        if any(node.tag == tag for node in self._open[1:]):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data):
        self._open[-1].text += data


def decks(folder, run_id):
    """Return the Decks below a folder that show a run, the newest last."""
    found = sorted(Path(folder).rglob("deck.html"), key=lambda path: path.stat().st_mtime_ns)
    return [text for path in found if run_id in (text := path.read_text(encoding="utf-8"))]


def read(text):
    """Return the run that a Deck shows."""
    root = Tree(text).root
    facts = {
        node.attributes["data-facts"]: rows(node) for node in root.all("section", "data-facts")
    }
    tables = {title: {row[0]: row[1] for row in found} for title, found in facts.items()}
    about = tables["run"]
    return StoredRun(
        name=about.get("name"),
        project=about.get("project"),
        notes=about.get("notes"),
        status=about["status"],
        params=tables.get("params", {}),
        metrics=dict(map(curve, root.all("section", "data-metric"))),
        tags=tables.get("tags", {}),
        summary=tables.get("summary", {}),
        media=media(root),
        artifacts=artifacts(root),
    )


def rows(node):
    found = [[cell(td) for td in row.all("td")] for row in node.all("tr")]
    return [row for row in found if row]


def cell(node):
    return json.loads(node.text) if "data-value" in node.attributes else node.text


def curve(node):
    [script] = node.all("script")
    points = [
        Point(step, NON_FINITE.get(value, value) if isinstance(value, str) else value, time, epoch)
        for step, value, time, epoch in json.loads(script.text)
    ]
    return node.attributes["data-metric"], points


def media(root):
    found = {}
    for node in root.all("figure"):
        kind = node.attributes["data-kind"]
        if kind != "artifact":
            items = found.setdefault(kind, {}).setdefault(node.attributes["data-key"], [])
            caption = next((p.text for p in node.all("p", "data-caption")), None)
            items.append(Item(int(node.attributes["data-step"]), content(kind, node), caption))
    return found


def content(kind, node):
    if kind == "text":
        return next(node.all("pre")).text
    if kind == "table":
        return [th.text for th in node.all("th")], rows(node)
    if kind == "histogram":
        bins = rows(node)
        return [bins[0][0], *(row[1] for row in bins)], [row[2] for row in bins]
    for element in node.all():
        if source := element.attributes.get("src"):
            return base64.b64decode(source.partition("base64,")[2])
        if page := element.attributes.get("srcdoc"):
            return page.encode()
    raise AssertionError(node.attributes)


def artifacts(root):
    found = {}
    for node in root.all("figure"):
        if node.attributes["data-kind"] == "artifact":
            [place] = [p.attributes["data-place"] for p in node.all("p", "data-place")]
            folder = Path(urlsplit(place).path)
            found[node.attributes["data-key"]] = files(folder) if folder.is_absolute() else place
    return found


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
