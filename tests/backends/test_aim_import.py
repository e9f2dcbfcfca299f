"""Imports of Aim's repositories, as the client writes them."""

from migration import bring_unchanged, driven, of, told, values

from multitrack.trackers.records import Artifact, Histogram, Image, Metrics, Text

SCRIPT = """
import os
import numpy as np
from aim import Distribution, Image, Run, Text
run = Run(repo=".", experiment="exp", system_tracking_interval=None, log_system_params=False,
          capture_terminal_logs=False)
run.name, run.description = "my run", "desc"
run["hparams"] = {"lr": 0.1, "nested": {"a": [1, 2], "none": None}}
for step in range(3):
    run.track(1 / (step + 1), name="loss", step=step * 10, epoch=step, context={"subset": "train"})
    run.track(float("nan") if step == 1 else step / 2, name="acc", step=step * 10)
run.add_tag("t1")
run.track(Image(np.zeros((8, 8, 3), dtype=np.uint8), caption="c"), name="img", step=20)
run.track(Text("hello"), name="txt", step=20)
run.track(Distribution(np.arange(100.0)), name="dist", step=20)
open("model.bin", "wb").write(b"x" * 100)
run.set_artifacts_uri("file://" + os.path.abspath("arts"))
run.log_artifact("model.bin", name="model.bin", block=True)
run.report_successful_finish()
run.close()
"""


def test_repository(tmp_path):
    folder = driven(SCRIPT, tmp_path / "project")
    found, history = bring_unchanged(folder, tmp_path / "runs")
    header = history.header
    assert (header.project, header.name, header.notes) == ("exp", "my run", "desc")
    assert history.params["hparams"] == {"lr": 0.1, "nested": {"a": [1, 2], "none": None}}
    assert history.tags == {"t1": ""}
    assert values(found) == {
        "train/loss": [(0, "1.0"), (10, "0.5"), (20, repr(1 / 3))],
        "acc": [(0, "0.0"), (10, "nan"), (20, "1.0")],
    }
    assert [m.epoch for m in of(Metrics, found) if "train/loss" in m.values] == [0.0, 1.0, 2.0]
    assert [(i.key, i.step, i.caption) for i in of(Image, found)] == [("img", 20, "c")]
    assert [(t.key, t.text) for t in of(Text, found)] == [("txt", "hello")]
    assert sum(of(Histogram, found)[0].counts) == 100
    assert [(a.name, a.files[0].size) for a in of(Artifact, found)] == [("model.bin", 100)]
    assert told(found) == {}
    assert history.status == "finished"
