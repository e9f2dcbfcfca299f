"""Which settings count: those that this installation wrote; of all others, those of today."""

import msgspec
import pytest

from multitrack.trackers import trust
from multitrack.trackers.adopt import adopt, disown
from multitrack.trackers.kept import UntrustedError, is_own, kept_settings, read_settings
from multitrack.trackers.origin import directory_of, read_origin
from multitrack.trackers.protocol import Parked


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("MLFLOW_TRACKING_URI", "WANDB_BASE_URL", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def folder(tmp_path, make_folder):
    """The folder of a run of ours, which was started with an address in code."""
    return make_folder("mlflow", {"tracking_uri": "https://shelf.example/api", "run_id": "r"})


@pytest.fixture
def make_folder(tmp_path):
    from multitrack.trackers.folder import RunFolder
    from multitrack.trackers.journal import JournalWriter
    from multitrack.trackers.kept import keep_settings
    from multitrack.trackers.origin import write_origin
    from multitrack.trackers.records import Header, Host
    from multitrack.trackers.registry import load
    from multitrack.trackers.settings import load as load_settings

    def make(backend, arguments):
        run = RunFolder(tmp_path / "run")
        run.create()
        host = Host(hostname="h", pid=1, platform="p", python="3")
        writer = JournalWriter(run.journal)
        writer.append(Header(time=1.0, run_id="run", host=host, cwd="/", report_to=[backend]))
        writer.close()
        settings = load_settings(load(backend).settings_type, environ={}, arguments=arguments)
        run.courier(backend).create()
        write_origin(run, "run")
        keep_settings(run, "run", backend, settings, arguments)
        return run

    return make


def other_person(monkeypatch):
    monkeypatch.setenv("MULTITRACK_KEY", "that of somebody else")


def test_what_this_installation_wrote_counts(folder):
    settings = kept_settings(folder, "run", "mlflow")
    assert (settings.tracking_uri, settings.run_id) == ("https://shelf.example/api", "r")


@pytest.mark.parametrize("change", ["arguments", "environment", "run", "backend"])
def test_what_was_changed_is_not_ours(folder, change):
    stored = read_settings(folder, "mlflow")
    assert is_own(folder, "run", "mlflow", stored)
    if change in {"run", "backend"}:
        ids = {"run": ("another", "mlflow"), "backend": ("run", "dagshub")}[change]
        assert not is_own(folder, *ids, stored)
        return
    other = msgspec.structs.replace(stored, **{change: {"tracking_uri": "https://evil.example"}})
    folder.courier("mlflow").write_settings(msgspec.to_builtins(other))
    with pytest.raises(UntrustedError, match="which nothing here does"):
        kept_settings(folder, "run", "mlflow")


def test_an_address_needs_trust_and_then_is_all_that_counts(folder, monkeypatch):
    other_person(monkeypatch)
    with pytest.raises(UntrustedError) as caught:
        kept_settings(folder, "run", "mlflow")
    assert caught.value.places == ["https://shelf.example"]
    assert "multitrack trust https://shelf.example" in caught.value.remedy
    assert "MLFLOW_TRACKING_URI" in caught.value.remedy
    agreed = kept_settings(folder, "run", "mlflow", ["https://shelf.example"])
    assert (agreed.tracking_uri, agreed.run_id) == ("https://shelf.example/api", None)
    trust.add("https://shelf.example")
    assert kept_settings(folder, "run", "mlflow") == agreed


def test_a_variable_names_a_place_and_the_folders_is_not_asked_about(folder, monkeypatch):
    other_person(monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mine.example")
    assert kept_settings(folder, "run", "mlflow").tracking_uri == "https://mine.example"


def test_a_folder_that_names_none_goes_to_no_server_without_a_key(make_folder, monkeypatch):
    folder = make_folder("wandb", {"project": "theirs"})
    other_person(monkeypatch)
    with pytest.raises(Parked, match=r"nothing here names https://api.wandb.ai"):
        kept_settings(folder, "run", "wandb")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert kept_settings(folder, "run", "wandb").project is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"arguments": 1}', b"\xff", b'{"seal": 3}'])
def test_settings_that_are_none_are_nothing(folder, content, monkeypatch):
    other_person(monkeypatch)
    folder.courier("mlflow").settings.write_bytes(content)
    assert kept_settings(folder, "run", "mlflow").tracking_uri is None


def test_where_it_ran_counts_only_if_signed(folder, monkeypatch, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    started = directory_of(folder, "run")
    monkeypatch.chdir(here)
    assert directory_of(folder, "run") == started
    other_person(monkeypatch)
    assert read_origin(folder, "run") is None
    assert directory_of(folder, "run") == here
    monkeypatch.chdir(folder.files.parent)
    assert directory_of(folder, "run") == tmp_path, "never in a run's folder"


def test_a_folder_is_taken_for_ones_own_as_it_is_and_no_other(folder, monkeypatch):
    other_person(monkeypatch)
    adopt(folder)
    assert kept_settings(folder, "run", "mlflow").run_id == "r"
    disown(folder)
    with pytest.raises(UntrustedError):
        kept_settings(folder, "run", "mlflow")


def test_places_that_are_trusted_cover_what_is_below(tmp_path):
    trust.add(trust.named(str(tmp_path / "a")))
    assert trust.is_covered(trust.place_of(tmp_path / "a" / "b", "x"), trust.trusted())
    assert not trust.is_covered(trust.place_of(tmp_path / "ab", "x"), trust.trusted())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "out").symlink_to("/etc")
    assert not trust.is_covered(trust.place_of(tmp_path / "a" / "out", "x"), trust.trusted())
    assert trust.remove(str(tmp_path / "a"))
    assert trust.trusted() == []
