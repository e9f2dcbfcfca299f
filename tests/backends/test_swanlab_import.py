"""Imports of SwanLab's offline folders, as the client writes them."""

from migration import bring_unchanged, driven, of, told, values

from multitrack.trackers.records import Artifact, Image, Text

SCRIPT = """
import numpy as np
import swanlab
swanlab.init(project="proj", experiment_name="r1", mode="offline", log_dir="swanlog",
             config={"lr": 0.1, "n": {"a": [1, 2]}}, tags=["t1", "t2"], group="g",
             description="notes")
for step in range(3):
    acc = float("nan") if step == 1 else step / 2
    swanlab.log({"loss": 1 / (step + 1), "acc": acc}, step=step * 10)
swanlab.log({"picture": swanlab.Image(np.zeros((4, 3, 3), "uint8"), caption="cap"),
             "words": swanlab.Text("hello")}, step=20)
print("a printed line")
swanlab.finish()
"""


def test_folder(tmp_path):
    folder = tmp_path / "project"
    driven(SCRIPT, folder, SWANLAB_SAVE_DIR=str(tmp_path / "saved"))
    found, history = bring_unchanged(folder, tmp_path / "runs")
    header = history.header
    assert (header.project, header.name, header.notes) == ("proj", "r1", "notes")
    assert history.tags == {"t1": "", "t2": ""}
    assert {n: history.params[n] for n in ("lr", "n")} == {"lr": 0.1, "n": {"a": [1, 2]}}
    assert values(found) == {
        "loss": [(0, "1.0"), (10, "0.5"), (20, repr(1 / 3))],
        "acc": [(0, "0.0"), (10, "nan"), (20, "1.0")],
    }
    assert [(i.key, i.step, i.caption) for i in of(Image, found)] == [("picture", 20, "cap")]
    assert [(t.key, t.text) for t in of(Text, found)] == [("words", "hello")]
    assert [a.name for a in of(Artifact, found)] == ["console.log"]
    assert told(found) == {}
    assert history.status == "finished"
