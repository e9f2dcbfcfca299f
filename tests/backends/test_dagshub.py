"""DagsHub: the conformance suite at a real MLflow server, behind a stand-in for DagsHub's API."""

import os
import re
import shutil
import time

import pytest
from dagshub_wire import TOKEN, WELL, standing_in
from mlflow_bench import NOW, metrics
from mlflow_reader import Reader
from mlflow_server import Server
from test_mlflow import MLflowConformance

from multitrack.trackers.backends.dagshub import DagsHubSettings, DagsHubTracker
from multitrack.trackers.names import unescape
from multitrack.trackers.process import spawn
from multitrack.trackers.protocol import Parked, Refused, Retry, RunInfo
from multitrack.trackers.records import Artifact, Header, Host, StagedFile
from multitrack.trackers.settings import load
from multitrack.trackers.start import start_run
from multitrack.trackers.testing.deliver import environment

pytest_plugins = ["mlflow_fixtures"]


@pytest.fixture(scope="session")
def hub(tmp_path_factory, template):
    folder = tmp_path_factory.mktemp("hub")
    server = Server(folder, shutil.copy(template, folder / "mlflow.db"))
    server.start()
    with standing_in(server.uri) as found:
        yield found
    server.kill()


@pytest.fixture(autouse=True)
def _nobody_is_signed_in(monkeypatch, tmp_path):
    from dagshub.common import config
    from dagshub.common.api import user

    for name in list(os.environ):
        if name.startswith(("DAGSHUB_", "MLFLOW_")) or name in {"BRANCH", "MULTITRACK_PROJECT"}:
            monkeypatch.delenv(name)
    user._token_user_cache.clear()
    monkeypatch.setattr(config, "cache_location", str(tmp_path / "tokens"))
    monkeypatch.setenv("DAGSHUB_CLIENT_TOKENS_CACHE", config.cache_location)


@pytest.fixture
def environ(hub):
    """Return what a user sets."""
    yield {"DAGSHUB_REPO": "me/r", "DAGSHUB_CLIENT_HOST": hub.uri, "DAGSHUB_USER_TOKEN": TOKEN}
    hub.failing = WELL


def mlflow_of(hub):
    """Return the address of the repository's MLflow server, with what it asks for."""
    return f"{hub.uri.replace('://', f'://me:{TOKEN}@')}/me/r.mlflow"


def committed(hub, run_id, branch):
    """Return content by path of a run's artifacts in the repository, read with the client."""
    from dagshub.auth.token_auth import EnvVarDagshubToken
    from dagshub.common.api import RepoAPI

    api = RepoAPI("me/r", host=hub.uri, auth=EnvVarDagshubToken(TOKEN))
    start = f"artifacts/{run_id}/"
    paths = [p for b, p in hub.files if b == branch and p.startswith(start)]
    return {path.removeprefix(start): api.get_file(path, branch) for path in sorted(paths)}


KEPT = re.compile(r"(?P<name>.+?)/-?\d+-\d{16}/(?P<file>.+)")
"""The path of an artifact's file in the folder of its run."""


class TestDagsHub(MLflowConformance):
    """Artifacts are committed to the repository, all else is at its MLflow server."""

    __test__ = True
    tracker = "dagshub"

    @pytest.fixture(autouse=True)
    def _address(self, hub):
        type(self).hub = hub

    def environ(self, tmp_path):
        return {
            "MLFLOW_TRACKING_URI": f"{self.hub.uri}/me/r.mlflow",
            "DAGSHUB_USER_TOKEN": TOKEN,
            "HF_DAGSHUB_LOG_ARTIFACTS": "TRUE",
        }

    def read(self, folder, state):
        stored = Reader(mlflow_of(self.hub), state.attachment.id).read()
        for path, content in committed(self.hub, folder.run_id, "main").items():
            kept = KEPT.fullmatch(path)
            files = stored.artifacts.setdefault(unescape(kept["name"]), {})
            files[unescape(kept["file"])] = content
        return stored


# -- by a courier ---------------------------------------------------------------------------------


def record(tmp_path, environ, **arguments):
    with environment(environ):
        run = start_run(
            report_to="dagshub", dir=tmp_path / "multitrack", delivery="later", **arguments
        )
    run.log({"loss": 0.5}, step=3)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    run.log_artifact(path, name="weights", kind="model", metadata={"size": 7})
    run.finish(quiet=True)
    return run


def deliver(run, environ):
    """Deliver by a courier process; return what it knows."""
    courier = run.folder.courier("dagshub")
    with environment(environ):
        assert not spawn(run.folder, "dagshub").wait(180), courier.log.read_text()
    return courier.read_state()


def test_artifacts_are_with_the_run_beside_another_mlflow_server(hub, tmp_path, environ):
    environ |= {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_TRACKING_USERNAME": "somebody",
        "MLFLOW_TRACKING_PASSWORD": "of another server",
    }
    run = record(tmp_path, environ, name="plain")
    attachment = deliver(run, environ).attachment
    stored = Reader(mlflow_of(hub), attachment.id)
    assert stored.read().artifacts == {"weights": {"weights.bin": b"weights"}}
    assert not committed(hub, run.id, "main")
    experiment = stored.info.experiment_id
    page = f"{hub.uri}/me/r.mlflow/#/experiments/{experiment}/runs/{attachment.id}"
    assert attachment.url == page, "no token, and not a word in its place"
    kept = [path.read_bytes() for path in run.folder.path.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in content for content in kept)


def test_variables_of_transformers_callback(hub, tmp_path):
    environ = {
        "MLFLOW_TRACKING_URI": f"{hub.uri}/me/r.mlflow",
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": TOKEN,
        "MLFLOW_EXPERIMENT_NAME": "digits",
        "HF_DAGSHUB_LOG_ARTIFACTS": "1",
        "HF_DAGSHUB_MODEL_NAME": "unused",
        "BRANCH": "models",
    }
    run = record(tmp_path, environ)
    state = deliver(run, environ)
    [(path, content)] = committed(hub, run.id, "models").items()
    assert content == b"weights"
    form = hub.commits[-1]
    assert form["commit_summary"] == f"model weights of {run.id}"
    assert (form["versioning"], form["new_branch_name"]) == ("dvc", "models")
    stored = Reader(mlflow_of(hub), state.attachment.id)
    assert stored.read().project == "digits"
    [about] = [
        text.decode() for name, text in stored.files.items() if name.startswith("artifacts/")
    ]
    place = path.rpartition("/")[0]
    assert f"{hub.uri}/me/r/src/models/artifacts/{run.id}/{place}" in about
    assert '"size":7' in about


def test_a_commit_that_fails_is_tried_again_and_no_token_is_logged(hub, tmp_path, environ):
    environ |= {"HF_DAGSHUB_LOG_ARTIFACTS": "yes"}
    run = record(tmp_path, environ)
    courier = run.folder.courier("dagshub")
    hub.failing = ("/content/", 502)
    with environment(environ):
        process = spawn(run.folder, "dagshub")
        deadline = time.monotonic() + 120
        while (state := courier.read_state()).phase != "retrying":
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
        process.terminate()
        process.wait(60)
    assert "502" in state.message
    assert TOKEN not in courier.log.read_text() + state.message
    hub.failing = WELL
    deliver(run, environ)
    assert not courier.read_refused()
    assert [*committed(hub, run.id, "main").values()] == [b"weights"]


# -- on the bench ---------------------------------------------------------------------------------


def start(tmp_path, environ):
    tracker = DagsHubTracker(load(DagsHubSettings, environ=environ))
    host = Host(hostname="h", pid=1, platform="p", python="3")
    header = Header(time=NOW, run_id=tmp_path.name, host=host, cwd=str(tmp_path))
    tracker.start(RunInfo(header=header, folder=tmp_path, directory=tmp_path))
    return tracker


def artifact(tmp_path, count=1):
    """Return an artifact of some small files."""
    files = []
    for number in range(count):
        path = tmp_path / f"{number}.txt"
        path.write_text(str(number))
        files.append(StagedFile(path=path.name, name=path.name, size=path.stat().st_size))
    return Artifact(time=NOW, step=1, name="many", kind="file", files=files, folder=True)


def answer_of(call, *arguments):
    """Return what the adapter makes of the exception that the client raises."""
    try:
        call(*arguments)
    except Exception as error:
        answer = DagsHubTracker(DagsHubSettings()).classify(error)
        assert TOKEN not in answer.reason
        return answer
    raise AssertionError("it went through")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", (False, "none")),
        ("0", (False, "none")),
        ("TRUE", (True, "all")),
        ("last", (True, "last")),
    ],
)
def test_variable_of_transformers_asks_for_checkpoints_too(word, expected):
    environ = {"HF_DAGSHUB_LOG_ARTIFACTS": word, "DISABLE_MLFLOW_INTEGRATION": "TRUE"}
    settings = load(DagsHubSettings, environ=environ | {"HF_MLFLOW_LOG_ARTIFACTS": "TRUE"})
    assert (settings.log_artifacts, settings.log_model) == expected
    assert not settings.disabled


def test_more_files_than_one_commit_takes(hub, tmp_path, environ):
    tracker = start(tmp_path, environ | {"HF_DAGSHUB_LOG_ARTIFACTS": "true"})
    before = len(hub.commits)
    tracker.log_artifact(artifact(tmp_path, count=101))
    assert len(hub.commits) - before == 2
    found = committed(hub, tmp_path.name, "main").items()
    stored = {path.rpartition("/")[2]: content for path, content in found}
    assert stored == {f"{number}.txt": str(number).encode() for number in range(101)}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MLFLOW_TRACKING_URI": "mlruns"},
        {"MLFLOW_TRACKING_URI": "http://host:5000"},
        {"DAGSHUB_REPO": "no-owner"},
    ],
)
def test_without_a_repository_it_waits_for_a_person(tmp_path, environ):
    answer = answer_of(start, tmp_path, environ | {"DAGSHUB_USER_TOKEN": TOKEN})
    assert isinstance(answer, Parked)
    assert "DAGSHUB_REPO" in answer.remedy


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_token_it_waits_for_a_person(tmp_path, environ, token):
    answer = answer_of(start, tmp_path, environ | {"DAGSHUB_USER_TOKEN": token})
    assert isinstance(answer, Parked)
    assert "DAGSHUB_USER_TOKEN" in answer.remedy


def test_an_outage_leaves_the_token_of_dagshub_login(hub, tmp_path, environ):
    from dagshub.auth.tokens import TokenStorage

    environ["DAGSHUB_USER_TOKEN"] = ""
    login = TokenStorage()
    login.add_token("0" * 40, hub.uri, skip_validation=True)
    login.add_token(TOKEN, hub.uri)
    hub.failing = ("/user", 502)
    assert isinstance(answer_of(start, tmp_path, environ), Retry)
    hub.failing = WELL
    start(tmp_path, environ).log_metrics([metrics(1, loss=1.0)])


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (("/user", 0), Retry),
        (("/user", 502), Retry),
        (("/user", 404), Parked),
        (("/user", 200), Parked),
        (("/repos/me/r", 404), Parked),
        (("/repos/me/r", 403), Parked),
        (("/repos/me/r", 500), Retry),
        ((".mlflow", 0), Retry),
        ((".mlflow", 502), Retry),
        ((".mlflow", 403), Parked),
    ],
)
def test_what_keeps_a_run_from_starting(hub, tmp_path, environ, failing, kind):
    hub.failing = failing
    answer = answer_of(start, tmp_path, environ)
    assert isinstance(answer, kind), answer
    if kind is Parked:
        assert "DAGSHUB_" in answer.remedy


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (("/branches/", 0), Retry),
        (("/branches/", 503), Retry),
        (("/content/", 0), Retry),
        (("/content/", 401), Parked),
        (("/content/", 403), Parked),
        (("/content/", 413), Refused),
        (("/content/", 429), Retry),
        (("/content/", 500), Retry),
    ],
)
def test_what_keeps_an_artifact_from_the_repository(hub, tmp_path, environ, failing, kind):
    tracker = start(tmp_path, environ | {"HF_DAGSHUB_LOG_ARTIFACTS": "1"})
    hub.failing = failing
    answer = answer_of(tracker.log_artifact, artifact(tmp_path))
    assert isinstance(answer, kind), answer
    if kind is Parked:
        assert "DAGSHUB_" in answer.remedy


def test_a_commit_that_was_overtaken_is_tried_again(hub, tmp_path, environ):
    tracker = start(tmp_path, environ | {"HF_DAGSHUB_LOG_ARTIFACTS": "1"})
    hub.overtaken = True
    answer = answer_of(tracker.log_artifact, artifact(tmp_path))
    assert isinstance(answer, Retry), answer
    tracker.log_artifact(artifact(tmp_path))
    assert [*committed(hub, tmp_path.name, "main").values()] == [b"0"]


def test_a_repeated_artifact_is_no_second_commit(hub, tmp_path, environ):
    tracker = start(tmp_path, environ | {"HF_DAGSHUB_LOG_ARTIFACTS": "1"})
    tracker.log_artifact(artifact(tmp_path))
    before = len(hub.commits)
    tracker.log_artifact(artifact(tmp_path))
    assert len(hub.commits) == before


def test_two_installations_in_one_process(hub, tmp_path, environ):
    """The token of the one is not for the other."""
    environ |= {"HF_DAGSHUB_LOG_ARTIFACTS": "1"}
    tracker = start(tmp_path, environ)
    with standing_in(hub.mlflow) as other:
        start(tmp_path, environ | {"DAGSHUB_CLIENT_HOST": other.uri})
        before = len(other.calls)
        tracker.log_artifact(artifact(tmp_path))
        assert len(other.calls) == before
    assert [*committed(hub, tmp_path.name, "main").values()] == [b"0"]
