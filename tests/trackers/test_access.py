"""Where the settings of our own backends lead: told without a client and without a network."""

from pathlib import Path

import pytest

from multitrack.trackers import registry
from multitrack.trackers.access import Access
from multitrack.trackers.settings import load


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("NETRC", "XDG_CACHE_HOME", "HF_HOME", "HF_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def access(backend, **environ):
    return load(registry.load(backend).settings_type, environ=environ).access()


@pytest.mark.parametrize(
    ("backend", "environ", "address", "key"),
    [
        ("wandb", {"WANDB_API_KEY": "k"}, "https://api.wandb.ai", "WANDB_API_KEY"),
        ("wandb", {"WANDB_BASE_URL": "https://w.example"}, "https://w.example", None),
        ("comet", {"COMET_API_KEY": "k"}, "https://www.comet.com", "COMET_API_KEY"),
        (
            "clearml",
            {"CLEARML_API_ACCESS_KEY": "a", "CLEARML_API_SECRET_KEY": "b"},
            "https://api.clear.ml",
            "CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY",
        ),
        ("clearml", {"CLEARML_API_ACCESS_KEY": "a"}, "https://api.clear.ml", None),
        ("swanlab", {"SWANLAB_API_KEY": "k"}, "https://api.swanlab.cn", "SWANLAB_API_KEY"),
        (
            "dagshub",
            {"DAGSHUB_REPO": "me/r", "DAGSHUB_USER_TOKEN": "t"},
            "https://dagshub.com",
            "DAGSHUB_USER_TOKEN",
        ),
        (
            "mlflow",
            {"MLFLOW_TRACKING_URI": "http://m:5000", "MLFLOW_TRACKING_TOKEN": "t"},
            "http://m:5000",
            "MLFLOW_TRACKING_TOKEN",
        ),
        ("mlflow", {"MLFLOW_TRACKING_URI": "postgresql://m:5432/x"}, "postgresql://m:5432/x", None),
        (
            "azureml",
            {"AZUREML_SERVICE_ENDPOINT": "https://a.example", "AZUREML_RUN_TOKEN": "t"},
            "https://a.example",
            "AZUREML_RUN_TOKEN",
        ),
        ("aim", {"AIM_REPO": "aim://a.example:53800"}, "aim://a.example:53800", None),
        ("trackio", {"TRACKIO_SPACE_ID": "me/board"}, "https://huggingface.co", None),
        ("trackio", {"TRACKIO_SERVER_URL": "http://t/?write_token=s"}, "http://t/", None),
    ],
)
def test_servers_and_keys(backend, environ, address, key):
    found = access(backend, **environ)
    assert (found.address, found.key, found.folder) == (address, key, None)
    assert found.remedy or backend in {"mlflow", "aim", "trackio"}


@pytest.mark.parametrize(
    ("backend", "environ", "folder"),
    [
        ("wandb", {"WANDB_MODE": "offline", "WANDB_DIR": "/w"}, "/w"),
        ("comet", {"COMET_START_ONLINE": "false", "COMET_OFFLINE_DIRECTORY": "/c"}, "/c"),
        ("clearml", {"CLEARML_OFFLINE_MODE": "1", "CLEARML_CACHE_DIR": "/l"}, "/l"),
        ("swanlab", {"SWANLAB_MODE": "offline"}, "swanlog"),
        ("neptune", {}, ".neptune"),
        ("dvclive", {"DVCLIVE_DIR": "/d"}, "/d"),
        ("tensorboard", {}, "runs"),
        ("mlflow", {"MLFLOW_TRACKING_URI": "sqlite:////m/x.db"}, "/m"),
        ("mlflow", {"MLFLOW_TRACKING_URI": "file:///m%20n"}, "/m n"),
        ("aim", {"AIM_REPO": "/a"}, "/a"),
        ("trackio", {"TRACKIO_DIR": "/t"}, "/t"),
    ],
)
def test_folders(backend, environ, folder):
    found = access(backend, **environ)
    assert (found.folder, found.address, found.remedy) == (Path(folder), None, "")


def test_keys_that_a_login_has_left(home):
    left = {
        ("wandb", ".netrc"): "machine api.wandb.ai login user password k",
        ("comet", ".comet.config"): "[comet]\napi_key=k",
        (
            "clearml",
            "clearml.conf",
        ): 'api { api_server: "https://c"\n credentials { "access_key" = "k" } }',
        ("swanlab", ".swanlab/.netrc"): "machine api.swanlab.cn\n login x\n password k",
        ("trackio", ".cache/huggingface/token"): "k",
        ("dagshub", ".cache/dagshub/tokens"): "https://dagshub.com:\n- access_token: k",
    }
    environ = {"TRACKIO_SPACE_ID": "me/board", "DAGSHUB_REPO": "me/r"}
    for (backend, file), content in left.items():
        assert access(backend, **environ).key is None
        path = home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)
        assert access(backend, **environ).key in {str(path), file}
    assert access("clearml").address == "https://c"


def test_what_is_said_of_a_tracker_that_says_nothing():
    assert access("codecarbon") == Access(mode="local")


def test_a_dagshub_repository_must_be_named():
    assert "DAGSHUB_REPO" in access("dagshub").remedy
