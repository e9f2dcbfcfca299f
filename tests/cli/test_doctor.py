"""`multitrack doctor`: it finds each fault and names what mends it."""

from __future__ import annotations

import json

import pytest

from multitrack.trackers import registry

pytestmark = pytest.mark.usefixtures("ledger")


def findings(multitrack, code=0, **environ):
    result = multitrack("doctor", "--json", code=code, **environ)
    return {finding["what"]: finding for finding in json.loads(result.output)}


def test_a_sound_machine_has_no_fault(multitrack, directory):
    found = findings(multitrack)
    assert {finding["verdict"] for finding in found.values()} <= {"ok", "absent"}
    assert found["directory"]["found"] == f"{directory} can be written"
    assert "ledger" in found
    assert "python" in multitrack("doctor").output


def test_every_backend_is_there_or_has_a_command_that_brings_it(multitrack):
    found = findings(multitrack)
    for name in registry.names():
        finding = found[name]
        if not registry.is_installed(name):
            assert finding["verdict"] == "absent"
            assert finding["remedy"] == f'pip install "multitrack[{name}]"'


def test_settings_are_shown_and_secrets_are_not(multitrack):
    result = multitrack("doctor", "--json", LEDGER_TOKEN="s3cr3t", LEDGER_FILE="/a/b")
    assert "s3cr3t" not in result.output
    found = {finding["what"]: finding for finding in json.loads(result.output)}
    assert found["ledger settings"]["found"] == "LEDGER_FILE=/a/b, LEDGER_TOKEN is set (not shown)"


def test_a_setting_that_cannot_be_is_a_fault(multitrack):
    finding = findings(multitrack, code=1, LEDGER_WIDTH="wide")["ledger settings"]
    assert finding["verdict"] == "fault"
    assert finding["found"] == "LEDGER_WIDTH holds 'wide'; allowed: a whole number."


def test_a_name_that_is_no_backend_is_a_fault(multitrack):
    finding = findings(multitrack, code=1, MULTITRACK_REPORT_TO="ledger,nobody")["report_to"]
    assert "'nobody' is no known backend" in finding["found"]


def test_what_runs_report_to_is_said(multitrack):
    assert findings(multitrack, MULTITRACK_REPORT_TO="ledger")["report_to"]["found"] == "ledger"


def test_a_directory_that_cannot_be_written_is_a_fault(multitrack, tmp_path):
    file = tmp_path / "file"
    file.touch()
    finding = findings(multitrack, code=1, MULTITRACK_DIR=str(file))["directory"]
    assert finding["verdict"] == "fault"
    assert "MULTITRACK_DIR" in finding["remedy"]


def test_a_client_older_than_the_package_asks_for_is_a_fault(multitrack, tmp_path):
    """A distribution's metadata is all that a version is read from."""
    info = tmp_path / "site" / "tensorboard-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorboard\nVersion: 0.1\n")
    finding = findings(multitrack, code=1)["tensorboard"]
    assert finding["verdict"] == "fault"
    assert "tensorboard 0.1 is installed, multitrack needs tensorboard>=" in finding["found"]
    assert finding["remedy"] == 'pip install "multitrack[tensorboard]" --upgrade'


def test_an_adapter_that_cannot_be_loaded_is_a_fault(multitrack, tmp_path):
    (tmp_path / "site" / "ledger_site.py").write_text("raise RuntimeError('broken')")
    import sys

    sys.modules.pop("ledger_site", None)
    finding = findings(multitrack, code=1)["ledger"]
    assert finding["found"] == "its adapter cannot be loaded: broken"
