"""Backends are found by name, and what is wrong with a name is said before training starts."""

import sys

import pytest
from multitrack_notebook import NotebookTracker

from multitrack.trackers import registry
from multitrack.trackers.protocol import METHODS

BUILT_IN = registry._built_in()


@pytest.fixture
def no_client(monkeypatch):
    """Take the client of a backend away."""

    def take_away(name):
        monkeypatch.setattr(registry.load(name), "distributions", ("no-such-client", "nor-this"))

    return take_away


def test_knows_its_own_and_those_of_others():
    assert registry.names() == sorted({*BUILT_IN, "notebook"})
    assert registry.load("notebook") is NotebookTracker
    for name in BUILT_IN:
        assert registry.load(name).name == name


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'noteboook' is no known backend; known are .*notebook"):
        registry.load("noteboook")
    with pytest.raises(ValueError, match="no known backend"):
        registry.resolve(["notebook", "tensorbored"])


@pytest.mark.parametrize(
    ("name", "pip"),
    [(BUILT_IN[0], f'"multitrack[{BUILT_IN[0]}]"'), ("notebook", "no-such-client")],
)
def test_missing_client_names_the_command(no_client, name, pip):
    no_client(name)
    assert not registry.is_installed(name)
    assert registry.client_version(name) is None
    with pytest.raises(ImportError) as raised:
        registry.resolve(name)
    assert str(raised.value) == (
        f"report_to='{name}' needs no-such-client, which is not installed: pip install {pip}"
    )


def test_client_in_another_environment(no_client, monkeypatch):
    no_client("notebook")
    monkeypatch.setenv("MULTITRACK_PYTHON_NOTEBOOK", sys.executable)
    assert registry.resolve("notebook") == ["notebook"]
    monkeypatch.setenv("MULTITRACK_PYTHON_NOTEBOOK", "/no/such/python")
    with pytest.raises(ValueError, match="MULTITRACK_PYTHON_NOTEBOOK holds '/no/such/python'"):
        registry.resolve("notebook")


def test_variable_of_a_name_is_one_that_a_shell_takes():
    assert registry.python_variable("my-own.tracker") == "MULTITRACK_PYTHON_MY_OWN_TRACKER"


def test_backend_without_a_client_is_always_there(monkeypatch):
    monkeypatch.setattr(NotebookTracker, "distributions", ())
    assert registry.is_installed("notebook")
    assert registry.client_version("notebook") is None


@pytest.mark.parametrize(
    ("report_to", "backends"),
    [
        ("notebook", ["notebook"]),
        (" notebook ", ["notebook"]),
        (["notebook", "notebook"], ["notebook"]),
        (("notebook",), ["notebook"]),
        ({"notebook": 1}, ["notebook"]),
        (iter(["notebook"]), ["notebook"]),
        ("none", []),
        (["none"], []),
        ((), []),
        ([], []),
        ("", []),
        (None, []),
    ],
)
def test_report_to(report_to, backends):
    assert registry.resolve(report_to) == backends


@pytest.mark.parametrize(
    ("text", "backends"),
    [("notebook", ["notebook"]), (" notebook , notebook,", ["notebook"]), ("none", []), ("", [])],
)
def test_report_to_from_the_environment(monkeypatch, text, backends):
    monkeypatch.setenv("MULTITRACK_REPORT_TO", text)
    assert registry.resolve(None) == backends
    assert registry.resolve("none") == []


def test_all_are_those_that_are_installed(no_client, monkeypatch):
    installed = [name for name in registry.names() if registry.is_installed(name)]
    assert "notebook" in installed
    assert registry.resolve("all") == installed
    no_client("notebook")
    assert registry.resolve(["all"]) == [name for name in installed if name != "notebook"]


@pytest.mark.parametrize("report_to", [["all", "notebook"], ["notebook", "none"]])
def test_all_and_none_stand_alone(report_to):
    with pytest.raises(ValueError, match="stands alone, not beside other names"):
        registry.resolve(report_to)


@pytest.mark.parametrize("report_to", [[None], [5], 5])
def test_what_is_no_name(report_to):
    with pytest.raises(ValueError, match="report_to takes names of backends, not"):
        registry.resolve(report_to)


@pytest.mark.parametrize(("alias", "name"), registry.ALIASES.items())
def test_alias(monkeypatch, alias, name):
    monkeypatch.setattr(registry, "_built_in", lambda: ())
    monkeypatch.setattr(registry, "_entry_points", lambda: [Point(name)])
    monkeypatch.setattr(NotebookTracker, "name", name)
    assert registry.resolve([alias, name]) == [name]
    assert registry.load(alias) is NotebookTracker


class Point:
    """An entry point, as a third party declares it."""

    def __init__(self, name, target=NotebookTracker):
        self.name = name
        self.load = lambda: target


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Install a third party's package whose module raises when it is imported."""
    (tmp_path / "smashed.py").write_text("1 / 0\n")
    about = tmp_path / "smashed_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: smashed-plugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[multitrack.trackers]\nsmashed = smashed:Tracker\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_broken_plug_in_is_left_out_of_all(broken, caplog):
    assert "smashed" in registry.names()
    chosen = registry.resolve("all")
    assert "notebook" in chosen
    assert "smashed" not in chosen
    [warning] = caplog.messages
    assert "left out of report_to='all'" in warning
    assert "smashed-plugin raised ZeroDivisionError: division by zero" in warning


@pytest.mark.parametrize("ask", [registry.load, registry.resolve, registry.is_installed])
def test_broken_plug_in_is_named_if_it_is_asked_for(broken, ask):
    with pytest.raises(ImportError) as raised:
        ask("smashed")
    assert str(raised.value) == (
        "the backend 'smashed' cannot be loaded: smashed:Tracker of the package smashed-plugin "
        "raised ZeroDivisionError: division by zero. "
        "Update that package, or remove it: pip uninstall smashed-plugin"
    )
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_backend_that_needs_no_client_is_installed_by_its_package(monkeypatch):
    assert registry.install_command("notebook") == f"pip install {NotebookTracker.distributions[0]}"
    monkeypatch.setattr(NotebookTracker, "distributions", ())
    assert registry.install_command("notebook") == "pip install multitrack-notebook"


class Half:
    name = "half"

    def start(self, run):
        """The only method."""


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Half, f"Half lacks {METHODS[0]}"),
        (NotebookTracker, "the backend 'half' gives no Tracker class whose name is 'half'"),
        ("a string", "gives no Tracker class"),
    ],
)
def test_entry_point_that_gives_no_tracker(monkeypatch, target, message):
    monkeypatch.setattr(registry, "_entry_points", lambda: [Point("half", target)])
    with pytest.raises(TypeError, match=message):
        registry.load("half")
