"""One run, as MlflowClient gives it, with the names that the user logged."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path

from mlflow import MlflowClient

from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.testing import Item, Point, StoredRun

OURS = ("multitrack.run_id", "mlflow.", "params/", "summary/")
"""Starts of tags that the user did not set."""
WORDS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed", "RUNNING": "running"}
KINDS = {
    "text": "text",
    "figures": "figure",
    "histograms": "histogram",
    "tables": "table",
    "audio": "audio",
    "video": "video",
}


class Reader:
    """What MlflowClient gives of one run, with the names that the user logged."""

    def __init__(self, uri, run_id):
        self.id = run_id
        self.client = MlflowClient(tracking_uri=uri)
        run = self.client.get_run(run_id)
        self.info, self.data = run.info, run.data
        self.files = self.download()

    def download(self):
        if not self.client.list_artifacts(self.id):
            return {}
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(self.client.download_artifacts(self.id, "", scratch))
            paths = [path for path in folder.rglob("*") if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def read(self):
        return StoredRun(
            name=self.info.run_name,
            project=self.client.get_experiment(self.info.experiment_id).name,
            notes=self.data.tags.get("mlflow.note.content"),
            status=WORDS[self.info.status],
            params=self.params(),
            metrics=self.metrics(),
            tags={
                unescape(key): value
                for key, value in self.data.tags.items()
                if not key.startswith(OURS)
            },
            summary={
                unescape(key.removeprefix("summary/")): value
                for key, value in (self.data.metrics | self.data.tags).items()
                if key.startswith("summary/")
            },
            media=self.media(),
            artifacts=self.artifacts(),
        )

    def params(self):
        tags = self.data.tags
        texts = {key: tags.get(f"params/{key}", text) for key, text in self.data.params.items()}
        whole = {}
        for path in sorted(path for path in self.files if path.startswith("params/")):
            whole |= flatten(json.loads(self.files[path]))
        return {
            unescape(key): str(whole[unescape(key)]) if " … [" in text else text
            for key, text in texts.items()
        }

    def points(self, key):
        found = self.client.get_metric_history(self.id, key)
        found.sort(key=lambda m: (m.timestamp, m.step, m.value))
        return found

    def metrics(self):
        return {
            unescape(key): [Point(m.step, m.value, m.timestamp / 1000) for m in self.points(key)]
            for key in self.data.metrics
            if not key.startswith("summary/")
        }

    def media(self):
        found = defaultdict(lambda: defaultdict(list))
        for path in sorted(self.files):
            folder, _, rest = path.partition("/")
            if folder in KINDS and (content := self.parse(path, KINDS[folder])) is not None:
                key, _, name = rest.rpartition("/")
                step = int(name.rpartition("-")[0])
                item = Item(step, content, self.caption(path))
                found[KINDS[folder]][unescape(key)].append(item)
            elif folder == "images" and self.is_picture(path):
                key, _, step, _, _, _ = rest.split("+")
                key = unescape(key.replace("~", "/"))
                item = Item(int(step), self.files[path], self.caption(path))
                found["image"][key].append(item)
        return found

    def is_picture(self, path):
        """Tell a picture from what the grid shows of it, and from what is said of it."""
        place, _, suffix = path.rpartition(".")
        others = any(f"{place}.{other}" in self.files for other in ("png", "jpeg", "gif"))
        is_view = place.endswith("+compressed") or (suffix == "webp" and others)
        return suffix != "json" and not is_view

    def caption(self, path):
        beside = f"{path.rpartition('.')[0]}.json"
        about = json.loads(self.files[beside]) if beside in self.files else {}
        return about.get("caption")

    def parse(self, path, kind):
        content = self.files[path]
        if kind == "text":
            return content.decode()
        if kind == "histogram":
            return json.loads(content)["edges"], json.loads(content)["counts"]
        if kind == "table":
            return json.loads(content)["columns"], json.loads(content)["data"]
        return None if path.endswith(".json") else content

    def artifacts(self):
        abouts = [p for p in self.files if p.startswith("artifacts/") and p.endswith(".json")]
        found = {}
        for about in sorted(p for p in abouts if self.is_about(p)):
            place = about.removesuffix(".json")
            name = unescape(place.removeprefix("artifacts/").rpartition("/")[0])
            found[name] = {
                unescape(path.removeprefix(f"{place}/")): content
                for path, content in self.files.items()
                if path.startswith(f"{place}/")
            }
        return found

    def is_about(self, path):
        return set(json.loads(self.files[path])) == {"kind", "step", "aliases", "metadata"}
