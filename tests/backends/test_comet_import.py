"""Imports of Comet's offline archives, as the client writes them."""

from migration import bring_unchanged, driven, of, told, values

from multitrack.trackers.records import Artifact, Text

SCRIPT = """
import comet_ml
run = comet_ml.OfflineExperiment(project_name="p", workspace="w", offline_directory=".",
    display_summary_level=0, parse_args=False, log_code=False, log_env_gpu=False,
    log_env_cpu=False, log_env_network=False, log_env_disk=False)
run.set_name("n1")
run.add_tag("t1")
run.log_parameters({"lr": 0.1, "deep": {"a": [1, 2]}})
for step in range(3):
    acc = float("nan") if step == 1 else step / 2
    run.log_metrics({"loss": 1 / (step + 1), "acc": acc}, step=step * 10, epoch=step)
run.log_text("hello", step=20)
run.log_other("note", "hi")
open("model.bin", "wb").write(b"x" * 1000)
run.log_asset("model.bin", "model.bin", step=20)
run.log_model("best", "model.bin")
run.end()
"""


def test_archive(tmp_path):
    folder = tmp_path / "project"
    driven(SCRIPT, folder, COMET_DISABLE_ANNOUNCEMENT="1")
    found, history = bring_unchanged(folder, tmp_path / "runs")
    assert (history.header.project, history.header.name) == ("p", "n1")
    assert history.params["imported_from"]["workspace"] == "w"
    assert {n: history.params[n] for n in ("lr", "deep")} == {"lr": 0.1, "deep": {"a": [1, 2]}}
    assert history.tags == {"t1": ""}
    series = values(found)
    assert series["loss"] == [(0, "1.0"), (10, "0.5"), (20, repr(1 / 3))]
    assert series["acc"] == [(0, "0.0"), (10, "nan"), (20, "1.0")]
    assert [(t.text, t.step) for t in of(Text, found)] == [("hello", 20)]
    artifacts = {a.name: (a.kind, a.files[0].size) for a in of(Artifact, found)}
    assert artifacts["model.bin"] == ("asset", 1000)
    assert artifacts["best/model.bin"] == ("model-element", 1000)
    assert history.summary == {"note": "hi"}
    assert told(found) == {}
