"""What must be redacted, and what must not, row by row: secrets.tsv."""

import json
import re
import shlex
from pathlib import Path

import pytest

from multitrack.trackers.redact import looks_secret, redact_command, redact_text, redact_tree

_REPEATED = re.compile(r"\{(\w+)\*(\d+)\}")
_FORMS = {
    "name": (str, lambda name: "<redacted>" if looks_secret(name) else name, str),
    "tree": (json.loads, redact_tree, json.dumps),
    "text": (lambda text: text.replace("\\n", "\n"), redact_text, str),
    "command": (shlex.split, redact_command, " ".join),
}
"""How an input is read, redacted, and shown."""


def _rows():
    lines = Path(__file__).with_name("secrets.tsv").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            whole = _REPEATED.sub(lambda piece: piece[1] * int(piece[2]), line)
            yield whole.split("\t")


ROWS = list(_rows())


def _ids(row):
    return "-".join(row[1:3])[:60]


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] == "secret"], ids=_ids)
def test_a_secret_goes(row):
    _, form, given, *parts = row
    read, redact, show = _FORMS[form]
    shown = show(redact(read(given)))
    assert "<redacted>" in shown
    assert [part for part in parts if part in shown] == []
    assert show(redact(redact(read(given)))) == shown, "a second look finds more, or less"


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] == "plain"], ids=_ids)
def test_what_is_none_stays(row):
    _, form, given = row
    read, redact, _ = _FORMS[form]
    assert redact(read(given)) == read(given)


def test_the_table_is_whole():
    assert len(ROWS) >= 150
    assert {row[0] for row in ROWS} == {"secret", "plain"}
