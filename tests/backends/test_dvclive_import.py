"""Imports of DVCLive's folders, as the client writes them."""

import importlib.util

from migration import bring_unchanged, driven, of, told, values

from multitrack.trackers.records import Artifact

SCRIPT = """
from dvclive import Live
with Live(dir="mine/dvclive", save_dvc_exp=False, report=None) as live:
    live.log_params({"lr": 0.1, "opt": {"betas": [0.9, 0.99]}})
    for step in range(3):
        live.log_metric("train/loss", 1 / (step + 1))
        live.log_metric("acc", float("nan") if step == 1 else step / 2, timestamp=True)
        live.log_metric("quiet", step, plot=False)
        live.next_step()
    live.log_plot("curve", [{"x": 1, "y": 2}], x="x", y="y", template="linear")
    live.summary["best"] = 0.5
"""


def test_folder(tmp_path):
    folder = driven(SCRIPT, tmp_path / "project", DVC_NO_ANALYTICS="1", DVC_STUDIO_OFFLINE="true")
    found, history = bring_unchanged(folder, tmp_path / "runs")
    assert history.header.name == "mine"
    assert values(found) == {
        "acc": [(0, "0.0"), (1, "nan"), (2, "1.0")],
        "train/loss": [(0, "1.0"), (1, "0.5"), (2, repr(1 / 3))],
    }
    assert history.summary == {"quiet": 2, "best": 0.5}
    assert history.header.time > 1.7e9
    assert [(a.name, a.kind) for a in of(Artifact, found)] == [("plots/custom/curve.json", "plot")]
    if importlib.util.find_spec("yaml"):
        assert history.params["opt"] == {"betas": [0.9, 0.99]}
    else:
        assert 'pip install "multitrack[migrate]"' in told(found)["params.yaml"]
