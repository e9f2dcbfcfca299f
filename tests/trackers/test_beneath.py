"""What is written and removed below a folder stays below it, wherever links lead."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multitrack.trackers import beneath
from multitrack.trackers.protocol import Parked

PARTS = st.lists(st.sampled_from(["a", "out", "in", "file", "..", ".", "", "b.txt"]), max_size=4)


@pytest.fixture
def root(tmp_path):
    """A store, with links that lead out of it and links that do not."""
    root, outside = tmp_path / "store", tmp_path / "outside"
    for folder in (root / "a", outside):
        folder.mkdir(parents=True)
    (outside / "file").write_text("mine")
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root / "a")
    (root / "file").symlink_to(outside / "file")
    return root


def test_a_link_is_replaced_and_not_written_through(root, tmp_path):
    beneath.write_file(b"new", root, "file")
    assert (root / "file").read_bytes() == b"new"
    assert (tmp_path / "outside" / "file").read_text() == "mine"


def test_one_of_several_hard_links_is_replaced(root, tmp_path):
    os.link(tmp_path / "outside" / "file", root / "a" / "hard")
    beneath.write_file(b"new", root, "a/hard")
    assert (tmp_path / "outside" / "file").read_text() == "mine"


def test_links_within_are_followed_and_those_out_are_not(root, tmp_path):
    assert beneath.copy_file(tmp_path / "outside" / "file", root, "in/x") == root / "in" / "x"
    assert (root / "a" / "x").read_text() == "mine"
    with pytest.raises(beneath.OutsideError, match="leads out of"):
        beneath.write_file(b"", root, "out/x")


def test_of_a_link_only_itself_is_removed(root, tmp_path):
    beneath.remove(root, "out")
    beneath.remove(root, "a")
    beneath.remove(root, "not-there")
    assert (tmp_path / "outside" / "file").exists()
    assert sorted(path.name for path in root.iterdir()) == ["file", "in"]


def test_a_client_is_not_let_loose_on_a_store_with_ways_out(root):
    with pytest.raises(Parked, match="leads out of"):
        beneath.see_that_all_stays(root)
    for name in ("out", "file"):
        (root / name).unlink()
    beneath.see_that_all_stays(root)
    os.mkfifo(root / "pipe")
    with pytest.raises(Parked, match="no plain file"):
        beneath.see_that_all_stays(root)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=PARTS, does=st.sampled_from(["write", "remove", "make"]), absolute=st.booleans())
def test_no_place_reaches_what_is_outside(root, tmp_path, parts, does, absolute):
    place = ("/" if absolute else "") + "/".join(parts)
    try:
        if does == "write":
            beneath.write_file(b"theirs", root, place)
        elif does == "remove":
            beneath.remove(root, place)
        else:
            beneath.make_folder(root, place)
    except (beneath.OutsideError, OSError):
        pass
    assert root.is_dir()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside" / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "store"]
