"""Imports of Trackio's databases, as the client writes them."""

from migration import bring, bring_unchanged, driven, of, records, told, values

from multitrack.trackers.history import read_history
from multitrack.trackers.records import Artifact, Audio, Histogram, Image, Table, Text

SCRIPT = """
import numpy as np
import trackio
run = trackio.init(project="proj", name="r1", group="g", config={"lr": 0.1, "n": {"a": [1, 2]}},
                   embed=False)
for step in range(3):
    acc = float("nan") if step == 1 else step / 2
    trackio.log({"loss": 1 / (step + 1), "acc": acc, "d": {"x": 1}}, step=step * 10)
trackio.log({
    "picture": trackio.Image(np.zeros((4, 3, 3), "uint8"), caption="cap"),
    "sound": trackio.Audio(np.zeros(100, "int16"), sample_rate=8000),
    "table": trackio.Table(columns=["a", "b"], data=[[1, "x"]]),
    "spread": trackio.Histogram([1, 2, 3]),
    "words": "hello",
}, step=20)
open("w.bin", "wb").write(b"w" * 10)
artifact = trackio.Artifact("model", type="model")
artifact.add_file("w.bin")
trackio.log_artifact(artifact, aliases=["best"])
trackio.finish()
"""


def test_database(tmp_path):
    store = tmp_path / "store"
    driven(SCRIPT, tmp_path / "work", TRACKIO_DIR=str(store), HF_HUB_OFFLINE="1")
    found, history = bring_unchanged(store, tmp_path / "runs")
    assert (history.header.project, history.header.name) == ("proj", "r1")
    assert {n: history.params[n] for n in ("lr", "n")} == {"lr": 0.1, "n": {"a": [1, 2]}}
    assert history.params["imported_from"]["group"] == "g"
    assert values(found) == {
        "loss": [(0, "1.0"), (10, "0.5"), (20, repr(1 / 3))],
        "acc": [(0, "0.0"), (10, "nan"), (20, "1.0")],
        "d/x": [(0, "1"), (10, "1"), (20, "1")],
    }
    assert told(found) == {}
    [image], [audio], [table] = of(Image, found), of(Audio, found), of(Table, found)
    assert (image.key, image.caption, audio.key) == ("picture", "cap", "sound")
    assert (table.columns, table.rows) == (["a", "b"], 1)
    assert sum(of(Histogram, found)[0].counts) == 3
    assert ("words", "hello", 20) in [(t.key, t.text, t.step) for t in of(Text, found)]
    [artifact] = of(Artifact, found)
    assert (artifact.name, artifact.kind, [f.name for f in artifact.files]) == (
        "model",
        "model",
        ["w.bin"],
    )
    assert "best" in artifact.aliases


def test_one_database_by_its_path(tmp_path):
    store = tmp_path / "store"
    driven(SCRIPT, tmp_path / "work", TRACKIO_DIR=str(store), HF_HUB_OFFLINE="1")
    [run] = bring(store / "proj.db", tmp_path / "runs")
    assert list(read_history(run).series["loss"].steps) == [0, 10, 20]
    assert [image.key for image in of(Image, records(run))] == ["picture"]


def test_links_out_of_the_store_are_not_followed(tmp_path):
    store = tmp_path / "store"
    driven(SCRIPT, tmp_path / "work", TRACKIO_DIR=str(store), HF_HUB_OFFLINE="1")
    (store / "media").rename(tmp_path / "elsewhere")
    (store / "media").symlink_to(tmp_path / "elsewhere")
    [run] = bring(store / "proj.db", tmp_path / "runs")
    assert of(Image, records(run)) == []
    assert "lies outside" in told(records(run))["picture"]
