"""`multitrack doctor`: it finds each fault and names what mends it."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from loopback import Handler, listening

from multitrack.trackers import registry
from multitrack.trackers.folder import CourierState


def findings(multitrack, code=0, **environ):
    result = multitrack("doctor", "--json", code=code, **environ)
    return {finding["what"]: finding for finding in json.loads(result.output)}


def test_a_sound_machine_has_no_fault(multitrack, directory):
    found = findings(multitrack)
    assert {finding["verdict"] for finding in found.values()} <= {"ok", "absent"}
    assert found["directory"]["found"] == f"{directory} can be written"
    assert found["notebook"]["verdict"] == "ok"
    assert "python" in multitrack("doctor").output


def test_every_backend_is_there_or_has_a_command_that_brings_it(multitrack):
    found = findings(multitrack)
    for name in registry.names():
        finding = found[name]
        if not registry.is_installed(name):
            assert finding["verdict"] == "absent"
            assert finding["remedy"] == f'pip install "multitrack[{name}]"'


def test_settings_are_shown_and_secrets_are_not(multitrack):
    result = multitrack("doctor", "--json", NOTEBOOK_TOKEN="s3cr3t", NOTEBOOK_DIR="/a/b")
    assert "s3cr3t" not in result.output
    found = {finding["what"]: finding for finding in json.loads(result.output)}
    expected = "NOTEBOOK_DIR=/a/b, NOTEBOOK_TOKEN is set (not shown)"
    assert found["notebook settings"]["found"] == expected


def test_a_setting_that_cannot_be_is_a_fault(multitrack):
    finding = findings(multitrack, code=1, NOTEBOOK_PAPER="lined")["notebook settings"]
    assert finding["verdict"] == "fault"
    assert finding["found"] == "NOTEBOOK_PAPER holds 'lined'; allowed: plain, squared."


def test_a_name_that_is_no_backend_is_a_fault(multitrack):
    finding = findings(multitrack, code=1, MULTITRACK_REPORT_TO="notebook,nobody")["report_to"]
    assert "'nobody' is no known backend" in finding["found"]


def test_what_runs_report_to_is_said(multitrack):
    assert findings(multitrack, MULTITRACK_REPORT_TO="notebook")["report_to"]["found"] == "notebook"


def test_a_directory_that_cannot_be_written_is_a_fault(multitrack, tmp_path):
    file = tmp_path / "file"
    file.touch()
    finding = findings(multitrack, code=1, MULTITRACK_DIR=str(file))["directory"]
    assert finding["verdict"] == "fault"
    assert "MULTITRACK_DIR" in finding["remedy"]


def pretend_installed(site, name, version, points=""):
    """Lay down what is read of an installed distribution: its metadata."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)


def test_a_client_older_than_the_package_asks_for_is_a_fault(multitrack, tmp_path, monkeypatch):
    pretend_installed(tmp_path / "site", "tensorboard", "0.1")
    monkeypatch.syspath_prepend(tmp_path / "site")
    finding = findings(multitrack, code=1)["tensorboard"]
    assert finding["verdict"] == "fault"
    assert "tensorboard 0.1 is installed, multitrack needs tensorboard>=" in finding["found"]
    assert finding["remedy"] == 'pip install "multitrack[tensorboard]" --upgrade'


def test_an_adapter_that_cannot_be_loaded_is_a_fault(multitrack, tmp_path, monkeypatch):
    points = "[multitrack.trackers]\nbroken = broken_tracker:Broken\n"
    pretend_installed(tmp_path / "site", "broken", "1.0", points)
    (tmp_path / "site" / "broken_tracker.py").write_text("raise RuntimeError('it is broken')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    finding = findings(multitrack, code=1)["broken"]
    assert "broken_tracker:Broken of the package broken raised RuntimeError" in finding["found"]


def test_a_delivery_that_is_stuck_is_a_fault_with_why_and_what_to_do(multitrack, make_run):
    make_run("fine", report_to=[])
    folder = make_run("a", report_to=["notebook", "tensorboard", "mlflow"])
    size = folder.journal.stat().st_size
    states = {
        "notebook": CourierState(
            phase="parked", message="no key", remedy="get a key", failures=3, refused=2
        ),
        "tensorboard": CourierState(phase="retrying", message="nobody answers", failures=1),
        "mlflow": CourierState(offset=size, phase="done", refused=4),
    }
    for backend, state in states.items():
        courier = folder.courier(backend)
        courier.create()
        courier.write_state(state)
    found = findings(multitrack, code=1)
    assert found["a notebook"]["verdict"] == "fault"
    assert found["a notebook"]["remedy"] == "get a key"
    words = found["a notebook"]["found"]
    assert words.startswith("parked after 3 failed attempts since ")
    assert words.endswith("s, 5 records pending, 2 refused: no key")
    assert found["a tensorboard"]["remedy"] == f"multitrack sync {folder.path} --to tensorboard"
    assert "after 1 failed attempt since" in found["a tensorboard"]["found"]
    assert "nobody answers" in found["a tensorboard"]["found"]
    refused = {"verdict": "ok", "found": f"4 records refused: multitrack show {folder.path}"}
    assert found["a mlflow"] == {"what": "a mlflow", "remedy": None, **refused}
    assert "fine" not in "".join(found)


def test_deliveries_that_go_well_are_counted(multitrack, make_run):
    make_run("a", report_to=["notebook"])
    assert findings(multitrack)["deliveries"]["found"] == "nothing is stuck of 1 run"


@contextmanager
def serving(status, date=None):
    """Serve a backend that gives one answer to all."""

    class Answers(Handler):
        def date_time_string(self, timestamp=None):
            return date or super().date_time_string(timestamp)

        def do_GET(self):
            self.reply(status, b"", {"Location": "http://127.0.0.1:9/"})

    with listening(Answers) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_a_server_that_answers_is_well_whatever_it_says(multitrack, status):
    with serving(status) as address:
        found = findings(multitrack, NOTEBOOK_SERVER=address, NOTEBOOK_TOKEN="s3cr3t")
    assert found["notebook mode"]["found"] == "online"
    assert found["notebook key"]["found"] == "NOTEBOOK_TOKEN (not shown)"
    assert found["notebook server"]["verdict"] == "ok"
    assert found["notebook server"]["found"].startswith(f"{address} answers in ")
    assert "s3cr3t" not in json.dumps(found)


def test_a_server_that_is_out_of_order_is_a_fault(multitrack):
    with serving(503) as address:
        finding = findings(multitrack, code=1, NOTEBOOK_SERVER=address, NOTEBOOK_TOKEN="t")[
            "notebook server"
        ]
    assert finding["found"].startswith(f"{address} answers 503 in ")


def test_a_server_whose_clock_differs_is_a_fault_of_the_clock(multitrack):
    with serving(200, date=formatdate(time.time() + 7200, usegmt=True)) as address:
        found = findings(multitrack, code=1, NOTEBOOK_SERVER=address, NOTEBOOK_TOKEN="t")
    assert found["notebook server"]["verdict"] == "ok"
    assert found["notebook clock"]["verdict"] == "fault"
    assert "behind http://127.0.0.1" in found["notebook clock"]["found"]
    assert "chrony" in found["notebook clock"]["remedy"]


def test_a_server_that_refuses_is_a_fault(multitrack):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for scheme in ("http", "shelf"):
        address = f"{scheme}://127.0.0.1:{port}"
        found = findings(multitrack, code=1, NOTEBOOK_SERVER=address, NOTEBOOK_TOKEN="t")
        finding = found["notebook server"]
        assert finding["found"] == f"{address} cannot be reached: Connection refused"
        assert "waits in the journal" in finding["remedy"]


def test_a_server_that_says_nothing_holds_nobody_up(multitrack):
    with socket.create_server(("127.0.0.1", 0)) as hole:
        address = f"http://me:s3cr3t@127.0.0.1:{hole.getsockname()[1]}"
        began = time.monotonic()
        found = findings(multitrack, code=1, NOTEBOOK_SERVER=address, NOTEBOOK_TOKEN="t")
    assert time.monotonic() - began < 30
    assert found["notebook server"]["found"].endswith("does not answer within 3 s")
    assert "s3cr3t" not in json.dumps(found)


def test_a_server_of_any_other_kind_is_connected_to(multitrack):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"shelf://127.0.0.1:{server.getsockname()[1]}"
        found = findings(multitrack, NOTEBOOK_SERVER=address, NOTEBOOK_TOKEN="t")
    assert found["notebook server"]["found"].startswith(f"{address} answers in ")


def test_a_key_that_is_missing_is_a_fault_of_what_is_used(multitrack):
    with serving(200) as address:
        finding = findings(multitrack, code=1, NOTEBOOK_SERVER=address)["notebook key"]
    assert finding == {
        "verdict": "fault",
        "what": "notebook key",
        "found": "none was found",
        "remedy": "set NOTEBOOK_TOKEN",
    }


def test_a_folder_that_cannot_be_written_is_a_fault_of_what_is_used(multitrack, tmp_path):
    file = tmp_path / "file"
    file.touch()
    finding = findings(multitrack, code=1, NOTEBOOK_DIR=str(file / "below"))["notebook folder"]
    assert finding["found"] == f"{file / 'below'} cannot be written"
    assert finding["remedy"] == f"{file} is no folder: name another"


@pytest.mark.parametrize("width", ["80", "140"])
def test_what_is_printed_fits_and_says_how_many_faults(multitrack, width):
    output = multitrack(
        "doctor", code=1, COLUMNS=width, MULTITRACK_REPORT_TO="nobody", NOTEBOOK_PAPER="lined"
    ).output
    assert max(map(len, output.splitlines())) <= int(width)
    assert "2 faults; each → says what mends it" in output
    assert output.count("→ pip install") <= 1, "what nobody asked for takes one line"
