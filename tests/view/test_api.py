"""What the addresses answer about runs that were really logged."""

from __future__ import annotations

import io
import math

import pytest
from PIL import Image

import multitrack
from multitrack.trackers.folder import CourierState


def png(color: str = "red") -> Image.Image:
    return Image.new("RGB", (30, 20), color)


def test_a_row_has_what_the_ends_of_the_journal_tell(viewer, start):
    run = start(
        name="fox", config={"optim": {"lr": 0.1}, "limit": math.inf}, tags={"team": "vision"}
    )
    run.log({"train/loss": 0.5}, step=1)
    run.log({"train/loss": math.nan, "lr": 1}, step=2)
    row = viewer.row(run.id)
    assert (row["project"], row["name"], row["status"]) == ("digits", "fox", "running")
    assert row["params"] == {"optim/lr": 0.1, "limit": "Infinity"}
    assert row["tags"] == {"team": "vision"}
    assert row["metrics"] == {"train/loss": "NaN", "lr": 1}
    assert row["last_step"] == 2
    run.finish("failed", "it broke", quiet=True)
    row = viewer.row(run.id)
    assert (row["status"], row["error"]) == ("failed", "it broke")


def test_the_newest_run_comes_first(viewer, start):
    first, second = start(), start()
    ids = [row["id"] for row in viewer.get("/api/runs").json["runs"]]
    assert ids.index(second.id) < ids.index(first.id)


def test_what_is_known_is_not_sent_again(viewer, start):
    run = start()
    path = f"/api/runs/{run.id}"
    tag = viewer.get(path).headers["etag"]
    again = viewer.get(path, If_None_Match=f'"other", W/{tag}')
    assert (again.status, again.content) == (304, b"")
    run.log({"a": 1})
    assert viewer.get(path, If_None_Match=tag).status == 200


def test_all_about_a_run(viewer, start, tmp_path):
    run = start(notes="a try", config={"lr": 0.1})
    run.log_params({"seed": 7})
    for step, value in enumerate([3.0, math.nan, 1.0, 2.0]):
        run.log({"train/loss": value}, step=step)
    run.summary({"best": math.inf})
    run.log({"odd": object()})
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1234")
    run.log_artifact(weights, kind="model", step=3, aliases=["best"])
    run.log_image("samples", png(), step=3)
    found = viewer.run(run)
    assert found["path"] == str(run.folder.path)
    assert found["notes"] == "a try"
    assert found["params"] == {"lr": 0.1, "seed": 7}
    assert found["summary"] == {"best": "Infinity"}
    assert found["metrics"] == [
        {
            "name": "train/loss",
            "points": 4,
            "last": {"step": 3, "value": 2.0},
            "lowest": {"step": 2, "value": 1.0},
            "highest": {"step": 0, "value": 3.0},
        }
    ]
    assert found["media"] == [{"kind": "image", "name": "samples", "count": 1}]
    assert set(found["refused"]) == {"odd"}
    [artifact] = found["artifacts"]
    assert (artifact["name"], artifact["kind"]) == ("weights.bin", "model")
    assert artifact["aliases"] == ["best"]
    [file] = artifact["files"]
    assert (file["path"], file["size"]) == ("weights.bin", 4)
    assert viewer.get(file["url"]).content == b"1234"
    assert found["header"]["host"]["pid"]


def test_delivery_is_told_in_words(viewer, start):
    run = start()
    run.log({"a": 1})
    courier = run.folder.courier("mlflow")
    courier.create()
    courier.write_state(
        CourierState(phase="parked", failures=3, message="no answer", remedy="start it", refused=1)
    )
    [delivery] = viewer.run(run)["delivery"]
    assert (delivery["backend"], delivery["word"], delivery["style"]) == ("mlflow", "parked", "red")
    assert (delivery["delivered"], delivery["pending"], delivery["attempts"]) == (0, 2, 3)
    sentence = "parked after 3 failed attempts, 2 records pending, 1 refused: no answer"
    assert delivery["sentence"] == sentence
    assert delivery["remedy"] == "start it"
    assert delivery["command"].endswith("--to mlflow")
    [backend] = viewer.row(run.id)["backends"]
    assert (backend["name"], backend["word"], backend["sentence"]) == (
        "mlflow",
        "parked",
        "no answer",
    )
    assert backend["pending_bytes"] > 0


def test_curves_over_steps_time_and_epochs(viewer, start):
    run = start()
    for step in range(4):
        run.log({"loss": 1.0 / (step + 1)}, step=step * 10, epoch=step / 2 if step else None)
    assert viewer.curve(run, "loss")["x"] == [0, 10, 20, 30]
    assert viewer.curve(run, "loss")["y"] == [1.0, 0.5, 1 / 3, 0.25]
    assert viewer.curve(run, "loss", axis="epoch")["x"] == [0.5, 1.0, 1.5]
    times = viewer.curve(run, "loss", axis="time")["x"]
    assert times == sorted(times)
    assert 0 <= times[0] < 60


def test_a_long_curve_keeps_its_spike_and_its_gap(viewer, start):
    run = start()
    for step in range(3000):
        run.log({"loss": {700: 99.0, 1500: math.nan}.get(step, 1.0)}, step=step)
    curve = viewer.curve(run, "loss", points=50)
    assert len(curve["x"]) == len(curve["y"]) <= 50
    assert curve["y"][curve["x"].index(700)] == 99.0
    assert curve["y"][curve["x"].index(1500)] is None
    smoothed = viewer.curve(run, "loss", points=50, smooth=0.9)
    assert len(smoothed["x"]) <= 50
    assert smoothed["raw"][smoothed["x"].index(700)] == 99.0
    assert smoothed["y"][smoothed["x"].index(700)] == pytest.approx(1 + 98 * 0.1, rel=1e-3)
    zoomed = viewer.curve(run, "loss", points=50, **{"from": 699.5, "to": 702})
    assert zoomed["x"] == [699, 700, 701, 702, 703]


def test_a_run_that_went_back_is_drawn_from_left_to_right(viewer, start):
    run = start()
    for step in (1, 2, 3, 2, 3, 4):
        run.log({"loss": float(step)}, step=step)
    assert viewer.curve(run, "loss")["x"] == [1, 2, 2, 3, 3, 4]


def test_several_runs_and_names_are_one_request(viewer, start):
    first, second = start(), start()
    first.log({"a": 1, "b": 2})
    second.log({"a": 3})
    query = [("run", first.id), ("run", second.id), ("name", "a"), ("name", "b")]
    found = viewer.get("/api/series", query).json["series"]
    assert [(one["run"], one["name"]) for one in found] == [
        (first.id, "a"), (first.id, "b"), (second.id, "a"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"name": "a"}, "run= is missing"),
        ({"run": "x"}, "name= is missing"),
        ({"run": "x", "name": "a", "points": "many"}, "no number"),
        ({"run": "x", "name": "a", "points": "1000000"}, "not from 16"),
        ({"run": "x", "name": "a", "smooth": "1"}, "not from 0"),
        ({"run": "x", "name": "a", "from": "nan"}, "not from"),
        ({"run": "x", "name": "a", "axis": "y"}, "none of step, time, epoch"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(viewer, query, said):
    answer = viewer.get("/api/series", query)
    assert answer.status == 400
    assert said in answer.json["error"]


def test_an_unknown_run_or_address_is_not_found(viewer):
    for path in ("/api/runs/none", "/api/runs/none/media", "/api/nothing", "/nothing.js"):
        answer = viewer.get(path, {"kind": "image", "name": "a"})
        assert answer.status == 404
    assert viewer.get("/api/series", {"run": "none", "name": "a"}).status == 404


def media(viewer, run: multitrack.Run, kind: str, name: str, **query):
    return viewer.get(f"/api/runs/{run.id}/media", {"kind": kind, "name": name, **query}).json


def test_pictures_come_with_their_size_and_can_be_paged(viewer, start):
    run = start()
    for step in range(5):
        run.log_image("a/b c", png(), step=step, caption=f"number {step}")
    found = media(viewer, run, "image", "a/b c", offset=3, limit=1)
    assert found["total"] == 5
    [entry] = found["entries"]
    assert (entry["step"], entry["caption"]) == (3, "number 3")
    [file] = entry["files"]
    assert (file["type"], file["width"], file["height"]) == ("image/png", 30, 20)
    answer = viewer.get(file["url"])
    assert Image.open(io.BytesIO(answer.content)).size == (30, 20)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"].startswith("inline")


def test_texts_tables_and_histograms(viewer, start):
    run = start()
    run.log_text("answer", "Paris", step=1)
    run.log_text("answer", "x" * 200_000, step=2)
    run.log_table("errors", [[1, "a"], [math.nan, "b"]] * 600, columns=["n", "word"], step=1)
    run.log_histogram("weights", ([1, 2], [0.0, 0.5, 1.0]), step=1)
    short, long = media(viewer, run, "text", "answer")["entries"]
    assert short["text"] == "Paris"
    assert (len(long["text"]), long["truncated"]) == (100_000, True)
    [entry] = media(viewer, run, "table", "errors")["entries"]
    assert entry["table"]["columns"] == ["n", "word"]
    assert (len(entry["table"]["rows"]), entry["table"]["total"]) == (1000, 1200)
    assert entry["table"]["rows"][:2] == [[1, "a"], ["NaN", "b"]]
    [histogram] = media(viewer, run, "histogram", "weights")["entries"]
    assert histogram["histogram"] == {"edges": [0.0, 0.5, 1.0], "counts": [1.0, 2.0]}


def test_sounds_are_served_in_ranges(viewer, start, tmp_path):
    sound = tmp_path / "voice.wav"
    sound.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(range(24)))
    run = start()
    run.log_audio("voice", str(sound), step=1)
    [entry] = media(viewer, run, "audio", "voice")["entries"]
    [file] = entry["files"]
    answer = viewer.get(file["url"], Range="bytes=0-3")
    assert (answer.status, answer.content) == (206, b"RIFF")
    assert answer.headers["content-type"] == "audio/wav"


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "script.js", "page.xhtml", "noname"])
def test_what_could_run_is_only_offered_for_download(viewer, start, tmp_path, name):
    (tmp_path / name).write_text("<script>alert(1)</script>")
    run = start()
    run.log_artifact(tmp_path / name)
    [artifact] = viewer.run(run)["artifacts"]
    answer = viewer.get(artifact["files"][0]["url"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
