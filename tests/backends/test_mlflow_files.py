"""MLflow: pictures, tables, artifacts and other files, and a store that is a folder of files."""

import json

import mlflow
import pytest
from mlflow_bench import NOW, answer_of, metrics, params
from mlflow_reader import Reader
from packaging.version import Version

from multitrack.trackers.protocol import Refused
from multitrack.trackers.records import Artifact, Audio, Image, Table, Tags, Text
from multitrack.trackers.staging import stage_bytes, stage_path
from multitrack.trackers.testing import samples

pytest_plugins = ["mlflow_fixtures"]

CLIENT = Version(mlflow.__version__)


def image(bench, content, key="eval/sample", step=3):
    file = stage_bytes(bench.folder, content[0], f"x{content[1]}")
    return Image(time=NOW, step=step, key=key, file=file, caption="a ✓")


@pytest.mark.parametrize(
    ("content", "endings"),
    [
        ((samples.png(), ".png"), {".png", "+compressed.webp", ".json"}),
        ((samples.webp(), ".webp"), {".webp", "+compressed.webp", ".json"}),
        ((samples.jpeg(), ".jpg"), {".jpg", ".webp", "+compressed.webp", ".json"}),
        ((samples.gif(), ".gif"), {".gif", ".webp", "+compressed.webp", ".json"}),
        ((b"broken", ".png"), {".png", ".json"}),
    ],
)
def test_pictures_lie_where_the_grid_looks(bench, content, endings):
    tracker = bench.start()
    picture = image(bench, content)
    tracker.log_image(picture)
    tracker.log_image(picture)  # again: the same files
    stored = bench.stored
    [stem] = {
        path.removesuffix("+compressed.webp").rpartition(".")[0]
        or path.removesuffix("+compressed.webp")
        for path in stored.files
    } - {""}
    assert stem.startswith(f"images/eval~sample+step+3+timestamp+{NOW * 1000:.0f}+")
    assert {path.removeprefix(stem) for path in stored.files} == endings
    assert stored.files[stem + content[1]] == content[0]
    assert json.loads(stored.files[f"{stem}.json"]) == {"caption": "a ✓"}
    assert stored.data.tags["mlflow.loggedImages"] == "True"


@pytest.mark.skipif(Version("3.11") > CLIENT, reason="MLflow named pictures in another way")
def test_mlflow_names_pictures_in_the_same_way(bench):
    numpy = pytest.importorskip("numpy")
    tracker = bench.start()
    tracker.log_image(image(bench, (samples.png(), ".png")))
    ours = {path.rpartition("+timestamp+")[0] for path in bench.stored.files}
    theirs = bench.stored.client.create_run("0").info.run_id
    pixels = numpy.zeros((4, 4, 3), "uint8")
    bench.stored.client.log_image(theirs, pixels, key="eval/sample", step=3)
    assert {p.rpartition("+timestamp+")[0] for p in Reader(bench.uri, theirs).files} == ours


def table(bench, key, step):
    rows = {"columns": ["name", "score"], "data": [["a", step], ["b", None]]}
    file = stage_bytes(bench.folder, json.dumps(rows).encode(), "x.json")
    return Table(time=NOW + step, step=step, key=key, file=file, columns=rows["columns"], rows=2)


def test_tables_are_loaded_by_mlflow(bench, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", bench.uri)  # load_table looks nowhere else
    tracker = bench.start()
    for step in (1, 2, 2):
        tracker.log_table(table(bench, "eval/answers, all", step))
    [first, second] = json.loads(bench.stored.data.tags["mlflow.loggedArtifacts"])
    assert first["path"] == f"tables/eval/answers_x2c_ all/1-{(NOW + 1) * 1e6:.0f}.json"
    frame = bench.stored.client.load_table("0", second["path"], run_ids=[bench.attachment.id])
    assert frame["name"].tolist() == ["a", "b"]
    assert frame["score"].tolist()[0] == 2


def test_the_list_of_tables_fits_its_tag(bench):
    tracker = bench.start()
    for step in range(100):
        tracker.log_table(table(bench, "t", step))
    listed = json.loads(bench.stored.data.tags["mlflow.loggedArtifacts"])
    assert listed[-1]["path"].startswith("tables/t/99-")
    assert 50 < len(listed) < 100
    assert len(bench.stored.files) == 100


def test_artifacts_of_one_name_stand_side_by_side_with_what_is_known_of_them(bench):
    tracker = bench.start()
    for step, content in enumerate((b"first", b"second")):
        path = bench.tmp_path / "epoch=1-step=2.ckpt"
        path.write_bytes(content)
        tracker.log_artifact(
            Artifact(
                time=NOW + step,
                step=step,
                name="net",
                kind="checkpoint",
                files=stage_path(bench.folder, path),
                aliases=["best"],
                metadata={"loss": 0.5},
            )
        )
    stored = bench.stored.files
    places = [f"artifacts/net/{step}-{(NOW + step) * 1e6:.0f}" for step in range(2)]
    assert [stored[f"{p}/epoch=1-step=2.ckpt"] for p in places] == [b"first", b"second"]
    about = {"kind": "checkpoint", "step": 1, "aliases": ["best"], "metadata": {"loss": 0.5}}
    assert json.loads(stored[f"{places[1]}.json"]) == about


def test_two_texts_of_one_step_are_two(bench):
    tracker = bench.start()
    for delay in (0.0, 0.00001):
        tracker.log_text(Text(time=NOW + delay, step=-1, key="../sample", text=f"{delay}"))
    assert [path.rpartition("/")[0] for path in bench.stored.files] == [
        "text/_x2e__x2e_/sample"
    ] * 2
    items = bench.stored.read().media["text"]["../sample"]
    assert [(item.step, item.content) for item in items] == [(-1, "0.0"), (-1, "1e-05")]


def test_sound_keeps_caption_and_rate(bench):
    tracker = bench.start()
    file = stage_bytes(bench.folder, samples.wav(), "x.wav")
    tracker.log_audio(Audio(time=NOW, step=1, key="a", file=file, sample_rate=8000, caption="tone"))
    place = f"audio/a/1-{NOW * 1e6:.0f}"
    assert json.loads(bench.stored.files[f"{place}.json"]) == {
        "caption": "tone",
        "sample_rate": 8000,
    }
    assert bench.stored.files[f"{place}.wav"] == samples.wav()


def test_a_path_that_no_file_system_takes_is_refused(bench):
    tracker = bench.start()
    answer = answer_of(tracker.log_text, Text(time=NOW, step=1, key="x" * 300, text="x"))
    assert isinstance(answer, Refused)


# -- a folder of files ----------------------------------------------------------------------------


def test_folder_of_files(bench):
    bench.uri = (bench.tmp_path / "mlruns").as_uri()
    tracker = bench.start(project="p", config={"lr": 0.1}, tags={"bare": ""})
    tracker.log_params(params(lr=0.1))
    tracker.log_params(params(lr=0.2))
    tracker.set_tags(Tags(time=NOW, values={"bare": ""}))
    tracker.log_metrics([metrics(1, 0.5, **{"train/loss": 1.0}), metrics(2, odd=float("-inf"))])
    tracker.log_text(Text(time=NOW, step=1, key="note", text="words"))
    tracker.finish("failed")
    stored = bench.stored.read()
    assert (stored.project, stored.status) == ("p", "failed")
    assert (stored.params, stored.tags) == ({"lr": "0.2"}, {"bare": ""})
    assert [(p.step, p.value) for p in stored.metrics["train/loss"]] == [(1, 1.0)]
    assert stored.metrics["odd"][0].value == float("-inf"), "exact here"
    assert stored.media["text"]["note"][0].content == "words"


def test_folder_of_files_repeats_and_clashes(bench):
    bench.uri = (bench.tmp_path / "mlruns").as_uri()
    tracker = bench.start()
    for _ in range(2):
        tracker.log_metrics([metrics(1, loss=1.0)])
    assert len(bench.points("loss")) == 2, "declared on the page: here a repeat stands twice"
    answer = answer_of(tracker.log_metrics, [metrics(1, **{"loss/train": 1.0})])
    assert isinstance(answer, Refused), "a file cannot be a folder, however often it is tried"
