"""`multitrack backends`."""

from __future__ import annotations

import pytest

from multitrack.cli.backends import cell_of
from multitrack.trackers import registry
from multitrack.trackers.protocol import RECORD_METHODS, Gap, unsupported


def test_every_backend_is_listed_with_its_client_and_how_to_get_it(multitrack):
    output = multitrack("backends").output
    rows = {line.split()[0]: line for line in output.partition("\n\n")[0].splitlines()}
    assert list(rows) == ["backend", *registry.names()]
    for name in set(rows) - {"backend"}:
        assert (registry.client_version(name) or registry.install_command(name)) in rows[name]


def test_cells_tell_where_a_record_goes(multitrack):
    lines = multitrack("backends", "notebook").output.splitlines()
    cells = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in lines[4:]}
    assert list(cells) == [method.partition("_")[2] for method in RECORD_METHODS]
    assert cells["metrics"] == "line metrics"
    assert cells["artifact"] == "files"


def test_a_gap_tells_why():
    gap = unsupported(Gap.NEVER, "a terminal shows no video")
    assert cell_of(gap).plain == "not what this backend is for: a terminal shows no video"


def test_no_cell_of_our_own_backends_is_empty():
    for name in registry.names():
        tracker = registry.load(name)
        for method in RECORD_METHODS:
            declared = getattr(tracker, method)
            assert hasattr(declared, "gap") or declared.stored_as, f"{name}.{method}"


@pytest.mark.parametrize("columns", [80, 120])
def test_it_keeps_within_the_terminal(multitrack, columns):
    output = multitrack("backends", COLUMNS=str(columns)).output
    assert max(map(len, output.splitlines())) <= columns


def test_an_unknown_backend_is_one_line(multitrack):
    result = multitrack("backends", "nobody", code=2)
    assert result.stderr.startswith("Error: 'nobody' is no known backend; known are ")
    assert result.stderr.count("\n") == 1


def test_one_that_cannot_be_loaded_does_not_hide_the_others(multitrack, tmp_path, monkeypatch):
    info = tmp_path / "smashed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: smashed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[multitrack.trackers]\nsmashed = smashed:Tracker\n")
    (tmp_path / "smashed.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    output = multitrack("backends").output
    assert "notebook" in output
    assert "smashed: the backend 'smashed' cannot be loaded" in output
    assert "cannot be loaded" in multitrack("backends", "smashed", code=2).stderr
