"""The user's key: where it lies, who makes it, and what happens where it cannot be kept."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from multitrack.trackers import key


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(key.VARIABLE)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".config" / "multitrack"


def test_it_is_made_once_and_is_its_owners_alone(home):
    seal = key.sign("a", 1)
    assert key.is_signed(seal, "a", 1)
    assert not key.is_signed(seal, "a", 2)
    assert (home / "key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in home.iterdir()] == ["key"]
    (home / "key").unlink()
    assert not key.is_signed(seal, "a", 1), "another key"


def test_many_at_once_have_one_key(home):
    with ThreadPoolExecutor(16) as pool:
        assert len({*pool.map(lambda _: key.sign("a"), range(64))}) == 1


def test_another_process_has_the_same(home):
    program = "from multitrack.trackers import key; print(key.sign('a'))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.decode().strip() == key.sign("a")


@pytest.mark.parametrize("trouble", ["a file in its place", "no home", "a link", "an empty file"])
def test_where_none_can_be_kept_one_is_handed_on(home, monkeypatch, trouble):
    if trouble == "a file in its place":
        home.parent.write_text("")
    elif trouble == "no home":
        monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/none")
    else:
        home.mkdir(parents=True)
        (home / "key").symlink_to("/etc/hostname") if trouble == "a link" else (
            home / "key"
        ).touch()
    seal = key.sign("a")
    assert key.is_signed(seal, "a"), "the same key as long as the process lives"
    handed = key.to_hand_on()
    monkeypatch.setitem(os.environ, key.VARIABLE, handed[key.VARIABLE])
    assert key.is_signed(seal, "a")
    assert key.to_hand_on() == {}


def test_a_key_of_a_variable_needs_no_file(home, monkeypatch):
    monkeypatch.setenv(key.VARIABLE, "shared by my machines")
    assert key.is_signed(key.sign("a"), "a")
    assert not home.exists()
