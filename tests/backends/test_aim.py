"""Aim: the conformance suite, read back with Aim's own Repo, and what only Aim has."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL

import pytest
from aim import Repo, Run
from aim.sdk.index_manager import RepoIndexManager
from aim.storage.context import Context

from multitrack import start_run
from multitrack.trackers.backends import _aim
from multitrack.trackers.names import flatten, unescape
from multitrack.trackers.testing import Item, Point, StoredRun, TrackerConformance, samples

KINDS = ("metric", "texts", "images", "distributions", "audios")


def open_run(repo, run_hash):
    """Return a run as `aim up` would: read from the index, brought up to date."""
    repo = Repo(str(repo))  # not from Aim's pool, which keeps an old state
    RepoIndexManager(repo).index(run_hash)
    return Run(run_hash, repo=repo, read_only=True)


def sequences(run):
    """Yield the kind, name and items of each sequence: step, value, epoch and time."""
    get = {
        "metric": run.get_metric,
        "texts": run.get_text_sequence,
        "images": run.get_image_sequence,
        "distributions": run.get_distribution_sequence,
        "audios": run.get_audio_sequence,
    }
    for kind, found in run.collect_sequence_info(KINDS, skip_last_value=True).items():
        for one in found:
            data = get[kind](one["name"], Context(one["context"])).data
            steps, columns = data.items_list()
            items = list(zip(steps, *columns, strict=True))
            yield one["context"].get("kind", kind), one["name"], items


def content(kind, value):
    if kind == "text":
        return value.data
    if kind == "table":
        return json.loads(value.data)["columns"], json.loads(value.data)["data"]
    if kind == "bins":
        return json.loads(value.data)["edges"], json.loads(value.data)["counts"]
    if kind == "histogram":
        return value.ranges.tolist(), value.weights.tolist()
    return value.storage["data"].load()


def caption(value):
    return (
        (value.storage["caption"] or None) if type(value).__name__ in {"Image", "Audio"} else None
    )


def read_media(run):
    media = {}
    for kind, name, items in sequences(run):
        if kind != "metric":
            found = [Item(step, content(kind, v), caption(v)) for step, v, *_ in items]
            media.setdefault("histogram" if kind == "bins" else kind, {})[name] = found
    for name, artifact in run.artifacts.items():
        if name.startswith("media/"):
            _, kind, key, file = name.split("/")
            about = run["multitrack"].get("captions", {}).get(name)
            item = Item(int(file.split(".")[0]), read_artifact(artifact), about)
            media.setdefault(kind, {}).setdefault(unescape(key), []).append(item)
    return media


def read_artifacts(run):
    found = {}
    for name, artifact in sorted(run.artifacts.items()):
        if not name.startswith("media/"):
            top, step, path = name.split("/", 2)
            versions = found.setdefault(unescape(top), {})
            versions.setdefault(int(step), {})[path] = read_artifact(artifact)
    return {name: versions[max(versions)] for name, versions in found.items()}


def read_artifact(artifact):
    return Path(artifact.uri.removeprefix("file://")).read_bytes()


def stored(run):
    return StoredRun(
        name=run.name,
        project=run.experiment,
        notes=run.description,
        status=run["multitrack", "status"],
        params=dict(flatten(run.get("hparams", {}))),
        metrics={
            name: [Point(s, v, t, None if math.isnan(e) else e) for s, v, e, t in items]
            for kind, name, items in sequences(run)
            if kind == "metric"
        },
        tags={tag.partition("=")[0]: tag.partition("=")[2] for tag in run.tags},
        summary=run.get("summary", {}),
        media=read_media(run),
        artifacts=read_artifacts(run),
    )


class TestAim(TrackerConformance):
    tracker = "aim"
    by_hand = "native.track(value, name='by_hand', step=step)"
    refused_keys = frozenset({"names/"})

    def environ(self, tmp_path):
        return {"AIM_REPO": str(tmp_path / "repo")}

    def read(self, folder, state):
        return stored(open_run(state.attachment.state["repo"], state.attachment.id))

    def count_runs(self, folder, state):
        return len(Repo(state.attachment.state["repo"]).list_all_runs())

    def stored_number(self, value):
        return float(value)

    def stored_items(self, kind, items):
        """Aim's readers skip an empty text."""
        return [item._replace(content=item.content or " ") for item in items]

    def stored_points(self, points):
        """One value a step, the last; in the order of the steps."""
        return sorted({point.step: point for point in points}.values())


# -- what only Aim has -----------------------------------------------------------------------------


def deliver(tmp_path, record, timeout=120, run_id=None, **options):
    """Record a run and deliver it; return how far it got, and what the courier knows."""
    settings = {"aim": {"repo": str(tmp_path / "repo"), **options}}
    with start_run(report_to="aim", dir=tmp_path / "runs", run_id=run_id, settings=settings) as run:
        record(run)
        [report] = run.finish(timeout=timeout, quiet=True)
    state = run.folder.courier("aim").read_state()
    return report, state


def test_bins_of_one_width_are_a_distribution(tmp_path):
    _, state = deliver(tmp_path, lambda run: run.log_histogram("h", ([1, 0, 2], [0, 1, 2, 3])))
    run = open_run(tmp_path / "repo", state.attachment.id)
    [distribution] = run.get_distribution_sequence(
        "h", Context({"kind": "histogram"})
    ).data.values_list()[0]
    assert distribution.weights.tolist() == [1, 0, 2]
    assert distribution.ranges.tolist() == [0, 1, 2, 3]


def test_captions_are_kept(tmp_path):
    def record(run):
        run.log_image("seen", samples.png(), caption="a cat")
        run.log_audio("heard", samples.wav(), caption="a purr")

    _, state = deliver(tmp_path, record)
    run = open_run(tmp_path / "repo", state.attachment.id)
    media = {name: items[0][1].storage["caption"] for _, name, items in sequences(run)}
    assert media == {"seen": "a cat", "heard": "a purr"}


def test_what_aim_does_not_play_is_a_file(tmp_path):
    video = tmp_path / "rollout.mp4"
    video.write_bytes(b"\0\0\0\x18ftypmp42")
    _, state = deliver(tmp_path, lambda run: run.log_video("a/b", video, step=3))
    artifacts = open_run(tmp_path / "repo", state.attachment.id).artifacts
    [(name, artifact)] = artifacts.items()
    assert name == "media/video/a_x2f_b/3.mp4"
    assert read_artifact(artifact) == video.read_bytes()


def test_an_empty_text_keeps_its_step(tmp_path):
    def record(run):
        for step, text in enumerate(["a", "", "b"]):
            run.log_text("answer", text, step=step)

    _, state = deliver(tmp_path, record)
    [(_, _, items)] = sequences(open_run(tmp_path / "repo", state.attachment.id))
    assert [(step, text.data) for step, text, *_ in items] == [(0, "a"), (1, " "), (2, "b")]


def test_artifacts_go_where_they_are_asked_to(tmp_path):
    place = tmp_path / "elsewhere"
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    _, state = deliver(
        tmp_path, lambda run: run.log_artifact(source, step=4), artifacts_uri=place.as_uri()
    )
    assert (place / state.attachment.id / "model.bin/4/model.bin").read_bytes() == b"weights"


def test_project_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTITRACK_PROJECT", "digits")
    _, state = deliver(tmp_path, lambda run: run.log({"loss": 1.0}))
    assert open_run(tmp_path / "repo", state.attachment.id).experiment == "digits"


def test_nearest_repository_is_the_default(tmp_path, monkeypatch):
    """Also one that was left half made: it is finished."""
    (tmp_path / ".aim").mkdir()
    work = tmp_path / "src" / "train"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    _, state = deliver(tmp_path, lambda run: run.log({"loss": 1.0}), repo=None)
    assert state.attachment.state["repo"] == str(tmp_path)


def test_a_run_that_was_deleted_waits_for_a_person(tmp_path):
    _, state = deliver(tmp_path, lambda run: run.log({"loss": 1.0}))
    shutil.rmtree(tmp_path / "repo")
    [run_id] = [path.name for path in (tmp_path / "runs").iterdir()]
    report, state = deliver(tmp_path, lambda run: run.log({"loss": 0.5}), run_id=run_id)
    assert not report.delivered
    assert state.phase == "parked"
    assert state.remedy == "Bring the repository back to where it was."


# -- a server --------------------------------------------------------------------------------------


@contextmanager
def aim_server(repo, port=None):
    """Run ``aim server``, on a free port if none is given; its uvicorn is a child of it."""
    if not repo.exists():
        repo.mkdir()
        subprocess.run(["aim", "init", "--repo", repo], check=True, capture_output=True)
    port = port or free_port()
    command = ["aim", "server", "--repo", repo, "--host", "127.0.0.1", "--port", port]
    server = subprocess.Popen(command, start_new_session=True, stdout=DEVNULL, stderr=DEVNULL)
    try:
        await_port(int(port))
        yield f"aim://127.0.0.1:{port}", server
    finally:
        stop(server)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def await_port(port):
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise AssertionError("aim server did not come up")


def stop(server):
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@pytest.fixture(autouse=True)
def _with_commands_of_the_environment(monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def test_server(tmp_path):
    def record(run):
        run.log_params({"optim": {"lr": 0.1}})
        run.log_params({"optim": {"name": "adam"}})
        run.set_tags({"team": "vision"})
        run.set_tags({"team": "audio"})
        for step in range(50):
            run.log({"loss": step / 4}, step=step, epoch=step / 10)
        run.log_text("answer", "Paris", step=2)
        run.log_image("seen", samples.png(), step=3)
        run.log_artifact(__file__)

    with aim_server(tmp_path / "served") as (repo, _):
        report, state = deliver(tmp_path, record, repo=repo)
    assert report.delivered
    assert report.refused == 1, "a file has no place without AIM_ARTIFACTS_URI"
    run = stored(open_run(tmp_path / "served", state.attachment.id))
    assert run.params == {"optim/lr": 0.1, "optim/name": "adam"}
    assert run.tags == {"team": "audio"}
    assert [(p.step, p.value, p.epoch) for p in run.metrics["loss"]] == [
        (step, step / 4, step / 10) for step in range(50)
    ]
    assert run.media == {
        "text": {"answer": [Item(2, "Paris")]},
        "image": {"seen": [Item(3, samples.png())]},
    }
    assert run.status == "finished"


def test_server_that_does_not_answer_keeps_nobody(tmp_path):
    began = time.monotonic()
    report, state = deliver(
        tmp_path, lambda run: run.log({"loss": 1.0}), repo="aim://127.0.0.1:9", timeout=30
    )
    assert time.monotonic() - began < 60
    assert not report.delivered
    assert "cannot be written now" in state.message


def test_server_that_dies_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_aim, "FLUSH_TIMEOUT", 5.0)
    with aim_server(tmp_path / "served") as (repo, server):
        settings = {"aim": {"repo": repo}}
        run = start_run(
            report_to="aim", dir=tmp_path / "runs", settings=settings, delivery="thread"
        )
        run.log({"loss": 0.0}, step=0)
        await_phase(run, "waiting")
        stop(server)
        run.log({"loss": 1.0}, step=1)
        await_phase(run, "retrying")
    with aim_server(tmp_path / "served", port=repo.rsplit(":")[-1]):
        [report] = run.finish(timeout=120, quiet=True)
    assert report.delivered
    state = run.folder.courier("aim").read_state()
    [(_, _, items)] = sequences(open_run(tmp_path / "served", state.attachment.id))
    assert [(step, value) for step, value, *_ in items] == [(0, 0.0), (1, 1.0)]


def await_phase(run, phase):
    for _ in range(600):
        if run.folder.courier("aim").read_state().phase == phase:
            return
        time.sleep(0.1)
    raise AssertionError(run.folder.courier("aim").read_state())
