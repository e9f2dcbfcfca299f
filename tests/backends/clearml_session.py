"""An offline session of ClearML's client, read as its import does, shown as its server would."""

import json
import zipfile
from collections import defaultdict

from multitrack.trackers.names import unescape
from multitrack.trackers.testing import Item, Point

KINDS = {"text", "image", "figure", "table", "audio", "video"}
SINGLE_VALUES = -(2**31)


def joined(title, series):
    """Return the name of the metric that is shown so."""
    if title == series:
        return unescape(title)
    return unescape(f"{title}/{series.removeprefix('_x2f_')}")


def typed(item):
    """Return a hyperparameter's value as ClearML's own client casts it."""
    from clearml.utilities.proxy_object import cast_basic_type

    return cast_basic_type(item["value"], item["type"])


class Session:
    """What one archive holds."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path)
        self.task = json.loads(self.zip.read("task.json"))
        self.events = {}
        for line in self.zip.read("metrics.jsonl").decode().splitlines():
            for event in json.loads(line):
                names = ("type", "iter", "metric", "variant", "key")  # the server's id of an event
                identity = tuple(str(event.get(name)) for name in names)
                self.events.pop(identity, None)
                self.events[identity] = event

    def section(self, name):
        items = self.task["hyperparams"].get(name, {})
        return {unescape(item["name"]): typed(item) for item in items.values()}

    def below(self, prefix):
        properties = self.section("properties")
        return {k.removeprefix(prefix): v for k, v in properties.items() if k.startswith(prefix)}

    def of_type(self, kind):
        return [event for event in self.events.values() if event["type"] == kind]

    def metrics(self):
        found = defaultdict(list)
        for event in self.events.values():
            point = event["iter"], event["timestamp"] / 1000
            if event["type"] == "training_stats_scalar" and event["iter"] != SINGLE_VALUES:
                name, value = joined(event["metric"], event["variant"]), event["value"]
            elif event["metric"] == "not finite":
                [[cell]] = json.loads(event["plot_str"])["data"][0]["cells"]["values"]
                name, value = event["variant"], float(cell)
            else:
                continue
            found[name].append(Point(point[0], value, point[1]))
        return dict(found)

    def summary(self):
        scalars = self.of_type("training_stats_scalar")
        single = [event for event in scalars if event["iter"] == SINGLE_VALUES]
        return {unescape(event["variant"]): event["value"] for event in single}

    def media(self):
        found = defaultdict(lambda: defaultdict(list))
        captions = {
            (kind, event["variant"], event["iter"]): self.zip.read("data/" + event["key"]).decode()
            for event in self.of_type("training_debug_image")
            for kind, _, word in [event["metric"].partition(" ")]
            if word == "caption"
        }
        for event in self.of_type("training_debug_image"):
            content = self.zip.read("data/" + event["key"])
            if event["metric"] == "text":
                content = content.decode()
            if event["metric"].endswith(" caption"):
                continue
            caption = captions.get((event["metric"], event["variant"], event["iter"]))
            item = Item(event["iter"], content, caption)
            found[event["metric"]][unescape(event["variant"])].append(item)
        for event in self.of_type("plot"):
            plot = json.loads(event["plot_str"])
            [trace] = plot["data"]
            if event["metric"] == "histogram":
                content = plot["layout"]["meta"]["edges"], trace["y"]
            elif event["metric"] == "table":
                rows = [list(row) for row in zip(*trace["cells"]["values"], strict=True)]
                content = trace["header"]["values"], rows
            else:
                continue
            found[event["metric"]][event["variant"]].append(Item(event["iter"], content))
        return {kind: dict(items) for kind, items in found.items()}

    def artifacts(self):
        return {a["key"]: self.files(a) for a in self.task["execution"]["artifacts"]}

    def files(self, artifact):
        path = artifact["uri"].removeprefix(self.task["offline_folder"] + "/")
        with self.zip.open(path) as content:
            if artifact["type"] != "archive":
                return {unescape(path.rsplit("/", 1)[1]): content.read()}
            with zipfile.ZipFile(content) as packed:
                return {name: packed.read(name) for name in packed.namelist()}
