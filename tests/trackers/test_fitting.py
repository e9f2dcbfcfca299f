"""Values that are too large for a record: cut, split, and none of them lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitrack.trackers import fitting, names
from multitrack.trackers.history import read_history
from multitrack.trackers.records import Artifact, Params, Summary, Text

TEXT = "0123456789" * 200_000
"""Twice as long as a value may be."""
trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=30)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=30,
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(fitting, "LONGEST_VALUE", 25)
    monkeypatch.setattr(fitting, "LONGEST_RECORD", 400)
    monkeypatch.setattr(fitting, "SHOWN_TEXT", 5)
    monkeypatch.setattr(fitting, "SHOWN_VALUES", 2)


def content(run, artifact):
    (file,) = artifact.files
    return (run.folder.path / file.path).read_text()


def test_a_long_text_is_cut_and_whole_in_an_artifact(start, records):
    run = start()
    run.log_params({"lr": 0.1, "data": {"text": TEXT}})
    (params,), (artifact,) = records(run, Params), records(run, Artifact)
    assert params.values["lr"] == 0.1
    assert params.values["data"]["text"].startswith(TEXT[:1000])
    assert params.values["data"]["text"].endswith(
        "… (cut: 2,000,000 characters in all, in the artifact params/data/text.txt)"
    )
    assert artifact.name == "params/data/text.txt"
    assert content(run, artifact) == TEXT


def test_a_long_list_is_cut_and_whole_in_an_artifact(start, records):
    run = start()
    run.log_params({"lr": 0.1, "numbers": list(range(400_000))})
    (params,), (artifact,) = records(run, Params), records(run, Artifact)
    assert params.values["numbers"][:3] == [0, 1, 2]
    assert params.values["numbers"][-1].startswith("… (cut: 400,000 values in all")
    assert json.loads(content(run, artifact)) == list(range(400_000))


def test_what_is_kept_whole_has_no_secrets(start, records):
    run = start()
    run.log_params({"text": TEXT + " hf_" + "x1" * 20, "hub_token": TEXT})
    (artifact,) = records(run, Artifact)
    assert content(run, artifact) == TEXT + " <redacted>"
    assert records(run, Params)[0].values["hub_token"] == "<redacted>"


def test_config_summary_tags_metadata_and_texts(start, records, tmp_path):
    run = start(config={"lr": 0.1, "text": TEXT}, tags={"long": TEXT})
    run.summary({"best": 0.5, "text": TEXT})
    run.log_text("long", TEXT * 5)
    run.log_artifact(__file__, metadata={"lr": 0.1, "text": TEXT})
    assert records(run, Params)[0].values["lr"] == 0.1
    assert records(run, Summary)[0].values["best"] == 0.5
    assert records(run, Text)[0].text.startswith(TEXT[:1000])
    found = {artifact.name: artifact for artifact in records(run, Artifact)}
    assert content(run, found["long.txt"]) == TEXT * 5
    assert content(run, found["summary/text.txt"]) == TEXT
    assert found["test_fitting.py"].metadata["lr"] == 0.1
    assert content(run, found["test_fitting.py/metadata/text.txt"]) == TEXT
    assert read_history(run.folder).params["lr"] == 0.1


@pytest.mark.usefixtures("small")
@given(st.dictionaries(st.text(min_size=1, max_size=4), trees, max_size=30))
def test_parts_are_the_whole_again_but_for_what_was_cut(tree):
    fitted = fitting.fit(tree, "params")
    merged = {}
    for part in fitted.parts:
        names.merge(merged, part)
        assert len(json.dumps(part, ensure_ascii=False).encode()) <= 2000
    assert_equal_but_for_cuts(merged, tree, "params", {w.name: w.content for w in fitted.wholes})


def assert_equal_but_for_cuts(found, tree, name, wholes):
    if isinstance(tree, dict):
        assert found.keys() == tree.keys()
        for key, value in tree.items():
            assert_equal_but_for_cuts(found[key], value, f"{name}/{key}", wholes)
    elif found != tree:
        whole = wholes.get(f"{name}.txt") or wholes[f"{name}.json"]
        assert whole.decode() == tree if isinstance(tree, str) else json.loads(whole) == tree
