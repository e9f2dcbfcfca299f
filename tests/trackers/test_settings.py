"""Variables are parsed strictly, and a wrong one is named with what it may hold."""

import math
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from multitrack.trackers.settings import (
    Env,
    LogModel,
    Settings,
    SettingsError,
    load,
    storable,
    switch,
    variables,
)


class Everything(Settings, frozen=True):
    flag: Annotated[bool, Env("X_FLAG")] = False
    maybe: Annotated[bool | None, Env("X_MAYBE")] = None
    count: Annotated[int, Env("X_COUNT")] = 1
    rate: Annotated[float | None, Env("X_RATE")] = None
    name: Annotated[str | None, Env("X_NAME", fallbacks=("X_OLD_NAME", "X_OLDER"))] = None
    mode: Annotated[Literal["online", "Offline"], Env("X_MODE")] = "online"
    folder: Annotated[Path | None, Env("X_FOLDER")] = None
    groups: Annotated[list[str], Env("X_GROUPS")] = []
    extra: Annotated[dict[str, int], Env("X_EXTRA")] = {}
    model: Annotated[bool | Literal["end"], Env("X_MODEL")] = False
    code: Annotated[int | None, Env("X_CODE", secret=True)] = None
    api_key: Annotated[str | None, Env("X_API_KEY")] = None
    inner: int = 5
    log_model: Annotated[LogModel, Env("X_KEEP", words={"end": "last", **switch("all")})] = "none"


def read(**environ):
    return load(Everything, environ=environ)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        *[("X_FLAG", word, "flag", True) for word in ("1", "true", "True", "YES", "on", " on ")],
        *[("X_FLAG", word, "flag", False) for word in ("0", "false", "False", "NO", "off")],
        ("X_MAYBE", "False", "maybe", False),
        ("X_COUNT", "-12", "count", -12),
        ("X_RATE", "1e-3", "rate", 1e-3),
        ("X_RATE", "5", "rate", 5.0),
        ("X_RATE", "inf", "rate", math.inf),
        ("X_NAME", " a b ", "name", "a b"),
        ("X_OLD_NAME", "old", "name", "old"),
        ("X_OLDER", "older", "name", "older"),
        ("X_MODE", "OFFLINE", "mode", "Offline"),
        ("X_FOLDER", "/tmp/../x", "folder", Path("/tmp/../x")),
        ("X_FOLDER", "~/x", "folder", Path.home() / "x"),
        ("X_GROUPS", " a, b ,,c", "groups", ["a", "b", "c"]),
        ("X_EXTRA", '{"a": 1}', "extra", {"a": 1}),
        ("X_MODEL", "true", "model", True),
        ("X_MODEL", "end", "model", "end"),
        ("X_COUNT", "", "count", 1),
        ("X_KEEP", "best", "log_model", "best"),
        ("X_KEEP", " END ", "log_model", "last"),
        *[("X_KEEP", word, "log_model", "all") for word in ("1", "True", "YES", "on")],
        *[("X_KEEP", word, "log_model", "none") for word in ("0", "False", "NO", "off")],
    ],
)
def test_text_is_parsed_by_the_type_of_its_field(variable, text, field, value):
    found = getattr(read(**{variable: text}), field)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("X_FLAG", "2", r"true or false \(1/0, yes/no, on/off\)"),
        ("X_FLAG", "nope", "true or false"),
        ("X_FLAG", " ", "true or false"),
        ("X_MAYBE", "None", "true or false"),
        ("X_COUNT", "1.5", "a whole number"),
        ("X_COUNT", "true", "a whole number"),
        ("X_RATE", "fast", "a number"),
        ("X_MODE", "dryrun", "online, Offline"),
        ("X_EXTRA", "[1]", "a JSON object"),
        ("X_EXTRA", "{", "a JSON object"),
        ("X_MODEL", "checkpoint", "true or false .*, or end"),
        ("X_KEEP", "some", "none, last, best, all, end, 1, true, yes, on, 0, false, no, off"),
    ],
)
def test_wrong_text_is_named_with_what_is_allowed(variable, text, allowed):
    with pytest.raises(
        SettingsError, match=f"^{variable} holds '{re.escape(text)}'; allowed: {allowed}"
    ):
        read(**{variable: text})


def test_value_of_another_type_inside_is_named():
    with pytest.raises(SettingsError, match="Everything: Expected `int`, got `str`"):
        read(X_EXTRA='{"a": "b"}')


@pytest.mark.parametrize("name", ["X_CODE", "X_API_KEY"])
def test_secret_is_never_shown(name):
    variable = next(v for v in variables(Everything) if v.env.name == name)
    assert variable.is_secret
    with pytest.raises(SettingsError, match="X_CODE holds a value that is not shown") as raised:
        read(X_CODE="hunter2")
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_secret_is_never_stored():
    settings = read(X_CODE="12", X_API_KEY="k", X_COUNT="2")
    assert (settings.code, settings.api_key) == (12, "k")
    assert storable(settings) == {"count": 2}


def test_stored_settings_come_back():
    environ = {"X_FOLDER": "/x", "X_MODE": "offline", "X_GROUPS": "a,b", "X_EXTRA": '{"a": 1}'}
    settings = read(**environ)
    stored = msgspec.json.decode(msgspec.json.encode(storable(settings)))
    assert load(Everything, environ={}, saved=stored) == settings


def test_argument_wins_over_environment_and_that_over_what_was_saved():
    everything = load(
        Everything,
        environ={"X_COUNT": "2", "X_RATE": "2"},
        arguments={"count": 3},
        saved={"count": 1, "rate": 1.0, "name": "saved"},
    )
    assert (everything.count, everything.rate, everything.name) == (3, 2.0, "saved")


def test_first_variable_wins():
    assert read(X_OLDER="c", X_OLD_NAME="b", X_NAME="a").name == "a"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flag": "False"}, "Everything: Expected `bool`, got `str`"),
        ({"cuont": 1}, "Everything has no setting 'cuont'; it has api_key, code, count,"),
        ({"mode": "Online"}, "Everything: Invalid enum value 'Online'"),
    ],
)
def test_wrong_argument_is_named(arguments, message):
    with pytest.raises(SettingsError, match=message):
        load(Everything, environ={}, arguments=arguments)


def test_argument_may_be_a_path_or_its_text():
    for folder in ("/x", Path("/x")):
        assert load(Everything, environ={}, arguments={"folder": folder}).folder == Path("/x")


def test_what_a_version_saved_that_this_one_does_not_know_is_left_out():
    assert load(Everything, environ={}, saved={"gone": 1, "count": 4}).count == 4


def test_reads_the_environment_when_it_is_called(monkeypatch):
    monkeypatch.setenv("X_COUNT", "8")
    assert load(Everything).count == 8


def test_an_address_with_a_password_is_not_stored():
    class Where(Settings, frozen=True):
        uri: Annotated[str | None, Env("WHERE_URI")] = None

    assert storable(Where(uri="http://me:hunter2@host:5000")) == {}
    assert storable(Where(uri="http://host:5000")) == {"uri": "http://host:5000"}
