"""TensorBoard: the conformance suite, read back with tensorboard's EventAccumulator."""

import html
import json
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance

EVERYTHING = {"scalars": 0, "images": 0, "audio": 0, "tensors": 0, "histograms": 0}


def load(folder):
    accumulator = EventAccumulator(str(folder), size_guidance=EVERYTHING)
    accumulator.Reload()
    return accumulator


class Reader:
    """What an EventAccumulator holds, by the kinds that the tags are described with."""

    def __init__(self, folder):
        self.folder = folder
        self.events = load(folder)
        self.tags = self.events.Tags()

    def kind(self, tag):
        return self.events.SummaryMetadata(tag).summary_description

    def key(self, tag):
        return self.events.SummaryMetadata(tag).display_name

    def text(self, tag):
        return make_ndarray(self.events.Tensors(tag)[-1].tensor_proto)[0].decode()

    def json(self, tag):
        if tag not in self.tags["tensors"]:
            return {}
        return json.loads(self.text(tag).removeprefix("```json\n").removesuffix("\n```"))

    def metrics(self):
        epochs = {e.step: e.value for e in self.scalars("epoch")}
        return {
            self.key(tag) if tag in self.events.summary_metadata else tag: [
                Point(e.step, e.value, e.wall_time, epochs.get(e.step) if "epoch" in tag else None)
                for e in self.scalars(tag)
            ]
            for tag in self.tags["scalars"]
            if tag != "epoch"
        }

    def scalars(self, tag):
        return self.events.Scalars(tag) if tag in self.tags["scalars"] else []

    def media(self):
        media = {}
        for tag in self.tags["images"]:
            items = [Item(e.step, e.encoded_image_string) for e in self.events.Images(tag)]
            media.setdefault(self.kind(tag), {})[self.key(tag)] = items
        for tag in self.tags["audio"]:
            items = [Item(e.step, e.encoded_audio_string) for e in self.events.Audio(tag)]
            media.setdefault("audio", {})[self.key(tag)] = items
        for tag in self.tags["tensors"]:
            parse = {"text": self._parse_text, "table": parse_table, "histogram": parse_histogram}
            kind = self.kind(tag)
            parse |= {f"{kind} file": self._read_file for kind in ("figure", "video", "audio")}
            if kind in parse:
                items = [
                    Item(e.step, parse[kind](make_ndarray(e.tensor_proto)))
                    for e in self.events.Tensors(tag)
                ]
                media.setdefault(kind.removesuffix(" file"), {})[self.key(tag)] = items
        return media

    def _parse_text(self, array):
        return array[0].decode()

    def _read_file(self, array):
        return (self.folder / array[0].decode().strip("`")).read_bytes()

    def artifacts(self):
        found = {}
        for folder in (self.folder / "artifacts").glob("*"):
            latest = max(folder.iterdir(), key=lambda path: int(path.name))
            files = [path for path in latest.rglob("*") if path.is_file()]
            contents = {path.relative_to(latest).as_posix(): path.read_bytes() for path in files}
            found[unescape(folder.name)] = contents
        return found


def parse_table(array):
    lines = [line[2:-2].split(" | ") for line in array[0].decode().split("\n")]
    cells = [[html.unescape(cell.replace("<br>", "\n")) for cell in line] for line in lines]
    return cells[0], cells[2:]


def parse_histogram(array):
    return [*array[:, 0].tolist(), array[-1, 1].item()], array[:, 2].tolist()


class TestTensorBoard(TrackerConformance):
    tracker = "tensorboard"
    time_resolution = 0.0

    def environ(self, tmp_path):
        return {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "board")}

    def read(self, folder, state):
        reader = Reader(Path(state.attachment.id))
        header = reader.json("run")
        return StoredRun(
            name=header.get("name"),
            project=header.get("project"),
            notes=reader.text("notes") if "notes" in reader.tags["tensors"] else None,
            status=reader.text("status"),
            params=dict(flatten(reader.json("params"))),
            metrics=reader.metrics(),
            tags=dict(parse_table([reader.text("tags").encode()])[1])
            if "tags" in reader.tags["tensors"]
            else {},
            summary=reader.json("summary"),
            media=reader.media(),
            artifacts=reader.artifacts(),
        )

    def stored_number(self, value):
        with np.errstate(over="ignore"):
            return float(np.float32(value))

    def stored_items(self, kind, items):
        if kind != "table":
            return items
        return [Item(i.step, (i.content[0], list(map(as_text, i.content[1])))) for i in items]


def as_text(row):
    return ["" if cell is None else str(cell) for cell in row]
