"""Read what W&B's client wrote offline: the ``.wandb`` file with the client's own messages."""

import html
import json
import struct
import time
import zlib
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
        runs, exits = self.of("run"), self.of("exit")
        self.exit_code = exits[-1].exit_code if exits else None
        if runs:
            self.run_id, self.display_name = runs[-1].run_id, runs[-1].display_name
            self.project, self.notes, self.tags = runs[-1].project, runs[-1].notes, runs[-1].tags
        self.rows = [nested(history.item) for history in self.of("history")]

    def of(self, kind):
        return [getattr(r, kind) for r in self.records if r.WhichOneof("record_type") == kind]

    @property
    def config(self):
        config = {}
        for change in [run.config for run in self.of("run")] + self.of("config"):
            config |= nested(change.update)
        return {name: value for name, value in config.items() if name != "_wandb"}

    @property
    def summary(self):
        summary = {}
        for change in self.of("summary"):
            summary |= nested(change.update)
        return summary

    def read(self, path):
        """Return the content of a file of the run."""
        return (self.folder / "files" / path).read_bytes()

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
