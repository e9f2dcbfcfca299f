"""Nothing that was logged or answered commands the terminal."""

import json

import pytest

from multitrack.trackers.terminal import escaped, harmless

EVIL = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\u202eb\tc\nd"


def test_commands_are_taken_out_and_text_stays():
    assert harmless(EVIL) == "a[2J]0;title31mb\tc\nd"
    assert harmless("Größe 学習率 🙂 é") == "Größe 学習率 🙂 é"


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_json_loses_nothing(ensure_ascii):
    text = escaped(json.dumps({"name": EVIL}, ensure_ascii=ensure_ascii))
    assert json.loads(text) == {"name": EVIL}
    assert harmless(text) == text
