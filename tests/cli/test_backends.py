"""`multitrack backends`."""

from __future__ import annotations

import pytest

from multitrack.trackers import registry
from multitrack.trackers.protocol import RECORD_METHODS

pytestmark = pytest.mark.usefixtures("ledger")


def test_every_backend_is_listed_with_its_client_and_how_to_get_it(multitrack):
    output = multitrack("backends").output
    rows = {line.split()[0]: line for line in output.partition("\n\n")[0].splitlines()}
    assert list(rows) == ["backend", *registry.names()]
    assert "none needed" in rows.pop("ledger")
    for name in set(rows) - {"backend"}:
        assert (registry.client_version(name) or registry.install_command(name)) in rows[name]


def test_cells_tell_where_a_record_goes_or_why_it_does_not(multitrack):
    lines = multitrack("backends", "ledger").output.splitlines()
    cells = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in lines[4:]}
    assert cells["metrics"] == "a line each"
    assert cells["tags"] == "a line each"
    assert cells["image"] == "not what this backend is for: a ledger holds text"
    assert cells["video"] == "not done by multitrack yet: it could be told of them"


def test_every_kind_of_record_has_a_row(multitrack):
    lines = multitrack("backends", "ledger").output.splitlines()
    assert len(lines) == len(["heading", "ledger", "", "heading"]) + len(RECORD_METHODS)


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
