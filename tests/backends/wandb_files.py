"""Read what W&B's client wrote offline: the ``.wandb`` file with the client's own messages."""

import html
import json
import struct
import time
import zlib
from functools import cached_property
from pathlib import Path

from wandb.proto import wandb_internal_pb2 as pb

BLOCK = 32 * 1024


def read_records(path):
    """Return all messages of a file: LevelDB's log format behind a header of seven bytes."""
    data = path.read_bytes()
    identity, magic, _ = struct.unpack("<4sHB", data[:7])
    assert (identity, magic) == (b":W&B", 0xBEE1)
    records, position, parts = [], 7, []
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        checksum, length, kind = struct.unpack("<LHB", data[position : position + 7])
        part = data[position + 7 : position + 7 + length]
        assert zlib.crc32(bytes([kind]) + part) == checksum
        position += 7 + length
        parts = [*parts, part] if kind in (3, 4) else [part]
        if kind in (1, 4):
            records.append(pb.Record.FromString(b"".join(parts)))
    return records


def nested(items):
    """Return items as a dict; the client spreads dicts over items with nested keys."""
    tree = {}
    for item in items:
        *path, name = list(item.nested_key) or [item.key]
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[name] = json.loads(item.value_json)
    return tree


class Session:
    """One folder of a run."""

    def __init__(self, folder):
        self.folder = folder
        [path] = folder.glob("*.wandb")
        self.records = read_records(path)

    def of(self, kind):
        return [getattr(r, kind) for r in self.records if r.WhichOneof("record_type") == kind]

    @cached_property
    def run(self):
        return self.of("run")[-1]

    @cached_property
    def exit_code(self):
        found = self.of("exit")
        return found[-1].exit_code if found else None

    @cached_property
    def rows(self):
        return [nested(history.item) for history in self.of("history")]

    @cached_property
    def config(self):
        config = nested(self.of("run")[0].config.update)
        for change in self.of("config"):
            config |= nested(change.update)
        del config["_wandb"]
        return config

    @cached_property
    def summary(self):
        summary = {}
        for change in self.of("summary"):
            summary |= nested(change.update)
        return summary

    def file(self, media):
        return (self.folder / "files" / media["path"]).read_bytes()

    def table(self, media):
        return json.loads(self.file(media))

    def artifacts(self):
        """Return the logged artifacts and their files' contents, in order."""
        return [
            (a, {e.path: Path(e.local_path).read_bytes() for e in a.manifest.contents})
            for a in self.of("artifact")
            if a.type != "run_table"
        ]


def sessions_of(store, run_id, timeout=10):
    """Return the sessions of a run in a ``wandb`` folder, when all have their exit record."""
    deadline = time.monotonic() + timeout
    while True:
        found = [Session(path) for path in sorted(store.glob(f"*run-*-{run_id}*"))]
        if all(session.exit_code is not None for session in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def text_of(page):
    """Return the text that a page of ours shows; None for another page."""
    start, end = '<meta charset="utf-8"><pre style="white-space: pre-wrap">', "</pre>"
    if not page.startswith(start):
        return None
    return html.unescape(page.removeprefix(start).removesuffix(end))
