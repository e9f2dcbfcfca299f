"""Escaped names stay apart and come back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multitrack.trackers.names import apart, component, escape, flatten, merge, unescape

TRICKY = st.text("_x0123456789abcdef@/é😀\n")
NAMES = st.text() | TRICKY


def is_plain(character):
    return character.isascii() and (character.isalnum() or character in "_-. /")


def is_lower(character):
    return character in "abcdefghijklmnopqrstuvwxyz0123456789_"


@pytest.mark.parametrize("is_allowed", [is_plain, is_lower])
def test_escaped_name_is_allowed_and_comes_back(is_allowed):
    @given(NAMES)
    @example("_x40_")
    @example("_x5f_x40_")
    @example("@x40_")
    @example("__x40__")
    @example("_x")
    @example("_x\U0010ffff_")
    def check(name):
        escaped = escape(name, is_allowed)
        assert all(map(is_allowed, escaped))
        assert unescape(escaped) == name  # so no two names become one

    check()


def test_allowed_names_stay_readable():
    assert escape("train/loss_x.1 b-c", is_plain) == "train/loss_x.1 b-c"


@given(NAMES)
@example("_xffffff_")
@example("_x110000_")
def test_any_name_can_be_unescaped(name):
    unescape(name)


@given(st.lists(NAMES | st.text("./", max_size=4) | st.text("é", min_size=90), unique=True))
def test_components_are_file_names_and_stay_apart(names):
    components = [component(name) for name in names]
    assert len(set(components)) == len(names)
    for one in components:
        assert one.strip(".")
        assert not set(one) & set("/\\\0")
        assert len(one.encode()) <= 255


def test_component_is_a_real_file_name(tmp_path):
    names = ["", ".", "..", "a/../b", "\0", "x" * 5000, "é" * 5000, "CON", "a\nb", "~", "😀"]
    for name in names:
        (tmp_path / component(name)).write_text(name)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == sorted(names)


def test_flatten():
    tree = {"a": {"b": {"c": 1, "d": []}, "e": {}}, "f": [{"g": 1}]}
    assert dict(flatten(tree)) == {"a/b/c": 1, "a/b/d": [], "a/e": {}, "f": [{"g": 1}]}
    assert dict(flatten({"a": {"b": 1}}, ".")) == {"a.b": 1}


TREES = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "a/b", "a/b_2", "b/a", ""]), inner),
    max_leaves=12,
)


def leaves(tree):
    """Return every value that is no mapping of others, in order."""
    if isinstance(tree, dict) and tree:
        return [leaf for inner in tree.values() for leaf in leaves(inner)]
    return [tree]


@given(st.dictionaries(st.sampled_from(["a", "a/b", "a/b_2", "a/b/a"]), TREES, min_size=1))
@example({"a": {"b": 1}, "a/b": 2, "a/b_2": 3})
@example({"a/b_2": 3, "a": {"b": 1}, "a/b": 2})
def test_no_two_leaves_of_a_tree_have_one_name(tree):
    assert list(dict(flatten(tree)).values()) == leaves(tree)


def test_the_first_of_one_name_keeps_it():
    assert dict(flatten({"a": {"b": 1}, "a/b": 2})) == {"a/b": 1, "a/b_2": 2}
    assert dict(apart([("a", 1), ("a_2", 2), ("a", 3)])) == {"a": 1, "a_2": 2, "a_3": 3}


def test_merge():
    tree = {"a": {"b": 1, "c": 2}, "d": {"e": 1}, "f": 1}
    later = {"a": {"b": 3}, "d": 5, "f": {"g": 6}}
    merge(tree, later)
    assert tree == {"a": {"b": 3, "c": 2}, "d": 5, "f": {"g": 6}}
