"""The conformance suite, as a third party runs it on its own tracker."""

import json
from pathlib import Path

from multitrack_notebook import read_notebook

from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance

STATUS_OF = {"start": lambda line: "running", "finish": lambda line: line["status"]}


class TestNotebook(TrackerConformance):
    tracker = "notebook"
    time_resolution = 0.0

    def environ(self, tmp_path):
        return {"NOTEBOOK_DIR": str(tmp_path / "notebooks")}

    def read(self, folder, state):
        page = Path(state.attachment.url.removeprefix("file://"))
        lines = read_notebook(page.parent.parent, page.parent.name)
        stored = StoredRun(**{key: lines[0][key] for key in ("name", "project", "notes")})
        for line in lines:
            self.take(stored, page.parent, line)
        return stored

    def take(self, stored, folder, line):
        match line["kind"]:
            case "params" | "tags" | "summary" as kind:
                getattr(stored, kind).update(line["values"])
            case "metrics":
                about = line["time"], line["epoch"]
                for name, value in line["values"].items():
                    stored.metrics.setdefault(name, []).append(Point(line["step"], value, *about))
            case "artifact":
                files = line["files"].items()
                stored.artifacts[line["key"]] = {n: (folder / p).read_bytes() for n, p in files}
            case "start" | "finish" as kind:
                stored.status = STATUS_OF[kind](line)
            case kind:
                item = Item(line["step"], self.content(folder, line), line["caption"])
                stored.media.setdefault(kind, {}).setdefault(line["key"], []).append(item)

    def content(self, folder, line):
        if not line["files"]:
            return line["content"]
        (place,) = line["files"].values()
        content = (folder / place).read_bytes()
        if line["kind"] == "table":
            return tuple(json.loads(content).values())
        return content
