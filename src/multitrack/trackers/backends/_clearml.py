"""What is told to ClearML: events, outputs and hyperparameters, under names that it keeps apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from multitrack.trackers.names import escape
from multitrack.trackers.records import EndStatus, Histogram, Number, spell

EventType: TypeAlias = Literal["training_stats_scalar", "plot", "training_debug_image"]

SUMMARY, SUMMARY_STEP = "Summary", -(2**31)
"""Title and step by which ClearML knows single values."""
PROPERTIES = "properties"
"""Section of the hyperparameters that ClearML shows as the task's user properties."""
LARGEST = 3.4028234663852886e38
"""The largest float32: the server indexes scalars so, and refuses a batch with one beyond it."""
SHORTEST_NAME = 3
"""Characters that ClearML wants in the names of tasks and projects."""
SAME = "_x2f_"
"""Before a series that is called like its title: an escaped slash, which `escape` leaves alone."""


class Event(NamedTuple):
    """One thing that ClearML shows at a step.

    ClearML keeps one event of a type for a step, metric and variant of a task: a later one takes
    its place.

    Attributes:
        type: what it is, in ClearML's words.
        metric: its title.
        variant: its series.
        step: its iteration.
        time: Unix time, in seconds.
        content: a scalar's value, a plot as Plotly's JSON, or the key of an uploaded file.
    """

    type: EventType
    metric: str
    variant: str
    step: int
    time: float
    content: Any

    @property
    def about(self) -> dict[str, Any]:
        """All but the content, in the words of ClearML's API."""
        names = {"metric": self.metric, "variant": self.variant}
        return names | {"iter": self.step, "timestamp": round(self.time * 1000)}


class Output(NamedTuple):
    """An artifact whose content is uploaded.

    Attributes:
        name: name of the artifact.
        uri: where the content is.
        type: ``"archive"`` for the zip of a folder, else ``"custom"``: ClearML's words.
        size: bytes of the content.
        sha256: digest of the content.
        step: when it was logged.
        time: Unix time, in seconds.
        aliases: names of this version.
        about: what else is said of it, by name.
    """

    name: str
    uri: str
    type: Literal["archive", "custom"]
    size: int
    sha256: str
    step: int
    time: float
    aliases: list[str]
    about: dict[str, str]

    @property
    def artifact(self) -> dict[str, Any]:
        """It as an artifact, in the words of ClearML's API."""
        about = {"step": str(self.step), "aliases": ", ".join(self.aliases)} | self.about
        return {
            "key": self.name,
            "type": self.type,
            "mode": "output",
            "uri": self.uri,
            "content_size": self.size,
            "hash": self.sha256,
            "timestamp": int(self.time),
            "display_data": [[name, value] for name, value in about.items() if value],
        }


class Task(Protocol):
    """A ClearML task: on a server, or in an offline session.

    Attributes:
        holds_models: whether a checkpoint can become a model.
        id: ClearML's id of it.
        url: where a person looks at it, or the command that imports it.
        root: first part of the keys of its files. It ends in the id, as an import expects.
    """

    holds_models: ClassVar[bool]
    id: str
    url: str
    root: str

    def set_hyperparams(self, items: Sequence[dict[str, str]]) -> None:
        """Add or replace hyperparameters, as `hyperparam` gives them."""

    def set_comment(self, comment: str) -> None:
        """Set the description."""

    def add_tags(self, tags: Sequence[str]) -> None:
        """Add tags."""

    def send(self, events: Sequence[Event]) -> None:
        """Store events; all are stored on return."""

    def upload(self, path: Path, key: str) -> str:
        """Store a file; return where it is."""

    def add_artifact(self, output: Output) -> None:
        """Add an artifact, or replace the one of its name."""

    def add_model(self, output: Output) -> None:
        """Add a model, where `holds_models`."""

    def native(self) -> Any:
        """Return the client's object of the task."""

    def end(self, status: EndStatus) -> None:
        """Set the outcome; all is stored on return."""


def hyperparam(section: str, name: str, value: Any) -> dict[str, str]:
    """Return a hyperparameter as ClearML's own client writes it: a text, and its type.

    >>> hyperparam("General", "lr", 0.1)
    {'section': 'General', 'name': 'lr', 'type': 'float', 'value': '0.1'}
    """
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    kind = type(value).__name__
    if value is None:
        text = kind = ""
    return {"section": section, "name": with_edges(name), "type": kind, "value": text}


def with_edges(name: str) -> str:
    """Return a name without white space at its ends, where ClearML's server would cut it off.

    >>> with_edges("learning rate"), with_edges(" lr")
    ('learning rate', '_x20_lr')
    """
    is_cut = name != name.strip()
    return escape(name, lambda c: not (is_cut and c.isspace()))


def split(name: str) -> tuple[str, str]:
    """Return the title of a metric's chart, and its series in it.

    >>> split("train/loss"), split("loss"), split("loss/loss")
    (('train', 'loss'), ('loss', 'loss'), ('loss', '_x2f_loss'))
    """
    name = with_edges(name)
    slash = name.find("/", 1, len(name) - 1)
    if slash < 0:
        return name, name
    title, series = name[:slash], name[slash + 1 :]
    return title, f"{SAME}{series}" if series == title else series


def scalar(name: str, value: float, step: int, time: float) -> Event:
    """Return a point of a metric; what no scalar can be as a plot."""
    if is_held(value):
        return Event("training_stats_scalar", *split(name), step, time, float(value))
    return Event("plot", "not finite", name, step, time, table_plot([name], [[spell(value)]]))


def is_held(value: Number) -> bool:
    """Tell whether a scalar can be this number: the server takes none beyond float32's range."""
    return abs(value) <= LARGEST


def bars(histogram: Histogram) -> Event:
    """Return a histogram as bars as wide as its bins; all edges are in the plot's meta."""
    edges = histogram.edges
    widths = [right - left for left, right in pairwise(edges)]
    bar = {"type": "bar", "x": edges[:-1], "y": histogram.counts, "width": widths, "offset": 0}
    plot = json.dumps({"data": [bar], "layout": {"meta": {"edges": edges}}})
    return Event("plot", "histogram", histogram.key, histogram.step, histogram.time, plot)


def table_plot(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as Plotly draws it, which is how ClearML's client stores tables."""
    cells = [[row[index] for row in rows] for index in range(len(columns))]
    table = {"type": "table", "header": {"values": list(columns)}, "cells": {"values": cells}}
    return json.dumps({"data": [table], "layout": {}})


def long_enough(name: str) -> str:
    """Return a name of as many characters as ClearML wants, none of which its server cuts off.

    >>> long_enough("p"), long_enough(" net ")
    ('p__', 'net')
    """
    return name.strip().ljust(SHORTEST_NAME, "_")


def project_name(name: str) -> str:
    """Return a project's name as ClearML's server keeps it.

    It drops needless slashes, and makes the project above, whose name must be long enough, too.

    >>> project_name("multitrack"), project_name("cv//digits/"), project_name("p")
    ('multitrack', 'cv_/digits', 'p__')
    """
    first, *others = [part.strip() for part in name.split("/") if part.strip()] or [""]
    return "/".join([long_enough(first), *others])
