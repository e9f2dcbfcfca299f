"""Run folders that somebody made to do harm: errors, and nothing read, written or run elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest
from multitrack_notebook import read_notebook

from multitrack.trackers.journal import MAX_LINE
from multitrack.trackers.records import Artifact, Image, Metrics, Params, StagedFile, Tags, Text

pytestmark = pytest.mark.usefixtures("notebooks")
SECRET = b"what the owner of the machine keeps for himself"
EVIL = "\x1b]0;owned\x07\x1b[2Jname\x9b31m\u202e"
COMMANDS = ("\x1b", "\x07", "\x9b", "\u202e")


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "elsewhere" / "secret.txt"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    return path


def staged(path, name="weights.bin"):
    return StagedFile(path=str(path), name=name, size=len(SECRET))


def artifact(file):
    return Artifact(time=0, step=1, name="model", kind="model", files=[file])


def reasons(folder):
    return [refusal.reason for refusal in folder.courier("notebook").read_refused()]


def assert_not_delivered(notebooks, folder):
    kinds = [line["kind"] for line in read_notebook(notebooks, folder.run_id)]
    assert kinds == ["start", "metrics", "metrics", "metrics", "finish"]
    for path in notebooks.rglob("*"):
        assert path.is_dir() or SECRET not in path.read_bytes()


@pytest.mark.parametrize("way", ["absolute", "upwards", "link", "link to a folder", "device"])
def test_a_staged_path_reads_nothing_outside(multitrack, make_run, notebooks, secret, way):
    places = {
        "absolute": str(secret),
        "upwards": "files/../../../elsewhere/secret.txt",
        "link": "files/link",
        "link to a folder": "files/out/secret.txt",
        "device": "files/zero",
    }
    folder = make_run("a", artifact(staged(places[way])), report_to=["notebook"])
    folder.files.mkdir()
    (folder.files / "link").symlink_to(secret)
    (folder.files / "out").symlink_to(secret.parent)
    (folder.files / "zero").symlink_to("/dev/zero")
    multitrack("sync")
    assert_not_delivered(notebooks, folder)
    [reason] = reasons(folder)
    assert reason == f"{places[way]!r} is not among the files of the run"


@pytest.mark.parametrize(
    "name", ["../../weights.bin", "/etc/weights.bin", "a\\..\\..\\b", "x\0", ""]
)
def test_a_files_name_leads_nowhere(multitrack, make_run, notebooks, name):
    folder = make_run("a", artifact(staged("files/f", name)), report_to=["notebook"])
    folder.files.mkdir()
    (folder.files / "f").write_bytes(SECRET)
    multitrack("sync")
    assert_not_delivered(notebooks, folder)
    assert "leads out of the folder" in reasons(folder)[0]


def test_a_pipe_among_the_files_holds_nobody_up(multitrack, make_run, notebooks):
    folder = make_run(
        "a", Image(time=0, step=1, key="x", file=staged("files/pipe")), report_to=["notebook"]
    )
    folder.files.mkdir()
    os.mkfifo(folder.files / "pipe")
    multitrack("sync")
    assert_not_delivered(notebooks, folder)
    assert reasons(folder) == ["'files/pipe' is no file"]


def test_a_backends_name_names_no_path_and_no_module(multitrack, make_run, secret, tmp_path):
    make_run("a", report_to=["../../../elsewhere", "os", "multitrack_notebook:NotebookTracker"])
    multitrack("runs")
    multitrack("show", "a")
    result = multitrack("sync", code=1)
    assert "notebook" in result.output, "the names that there are"
    assert list(secret.parent.iterdir()) == [secret]


def test_links_in_place_of_a_couriers_files_are_not_written_through(multitrack, make_run, secret):
    target = secret.parent
    for run_id in ("folder", "parent", "log", "refused"):
        folder = make_run(run_id, artifact(staged("/x")), report_to=["notebook"])
        courier = folder.courier("notebook")
        shutil.rmtree(courier.path.parent)
        if run_id == "parent":
            courier.path.parent.symlink_to(target)
            continue
        courier.path.parent.mkdir()
        if run_id == "folder":
            courier.path.symlink_to(target)
            continue
        courier.create()
        {"log": courier.log, "refused": courier.refused}[run_id].symlink_to(secret)
    multitrack("sync", code=1)
    assert list(target.iterdir()) == [secret]
    assert secret.read_bytes() == SECRET


def test_deep_trees_and_long_and_wrong_lines_cost_themselves_only(multitrack, make_run, notebooks):
    folder = make_run("a", end=None, report_to=["notebook"])
    deep = '{"a":' * 900 + "1" + "}" * 900
    lines = [
        '{"type":"params","time":0,"values":' + deep + "}",
        '{"type":"params","time":0,"values":{"a":' + "[" * 100_000 + "]" * 100_000 + "}}",
        '{"type":"metrics","time":0,"step":"one","values":{}}',
        '{"type":"metrics","time":0,"step":1,"values":{"x":[]}}',
        '{"type":"metrics","time":0,"step":1,"values":{"x":{"__reduce__":["os.system","id"]}}}',
        '{"type":"artifact","time":0,"step":1,"name":"x","kind":"x","files":{"path":1}}',
        '{"type":"__import__","time":0}',
        '{"!!python/object/apply:os.system":["id"]}',
        "[]",
        "\x00\x01\x02",
    ]
    with folder.journal.open("ab") as journal:
        journal.write("".join(f"{line}\n" for line in lines).encode())
        journal.write(b'{"type":"text","time":0,"step":1,"key":"x","text":"' + b"x" * MAX_LINE)
        journal.write(b'"}\n{"type":"text","time":0,"step":1,"key":"last","text":"here"}\n')
    multitrack("sync")
    assert [line["kind"] for line in read_notebook(notebooks, "a")][-2:] == ["text", "finish"]
    assert folder.courier("notebook").read_state().corrupt == len(lines) + 1
    assert f"{len(lines) + 1} unreadable lines in the journal" in multitrack("show", "a").output
    multitrack("runs")


@pytest.mark.parametrize("header", ["{}", "[]", "null", '{"type":"run"}', "x" * 100_000, "\0" * 99])
def test_a_header_that_is_none(multitrack, make_run, header):
    folder = make_run("a", report_to=["notebook"])
    folder.journal.write_text(f"{header}\n")
    assert "unreadable" in multitrack("runs").output
    assert "does not start with the header" in multitrack("show", "a", code=2).output
    multitrack("gc")
    multitrack("sync")


@pytest.mark.parametrize(
    "state",
    [
        "[]",
        '{"offset":"x"}',
        '{"offset":-5}',
        '{"offset":17}',
        '{"offset":99999999}',
        '{"phase":"owned"}',
        '{"attachment":{"id":7}}',
    ],
)
def test_a_state_that_is_none_begins_again(multitrack, make_run, notebooks, state):
    folder = make_run("a", report_to=["notebook"])
    courier = folder.courier("notebook")
    courier.create()
    courier.state.write_text(state)
    multitrack("runs")
    multitrack("show", "a")
    multitrack("sync")
    kinds = [line["kind"] for line in read_notebook(notebooks, "a")]
    assert kinds == ["start", "metrics", "metrics", "metrics", "finish"]


def test_values_that_are_none_are_counted(multitrack, make_run):
    folder = make_run("a", Metrics(time=0, step=10**20, values={"x": 1.0}))
    with folder.journal.open("ab") as journal:
        journal.write(b'{"type":"metrics","time":0,"step":1,"values":{"x":"NaN"}}\n')
        journal.write(b'{"type":"metrics","time":0,"step":1,"values":{"x":"a word"}}\n')
        journal.write(b'{"type":"metrics","time":0,"step":1,"values":{"x":1%s}}\n' % (b"0" * 400))
    output = multitrack("show", "a").output
    assert "NaN" in output
    assert "unreadable lines in the journal" in output


def test_nothing_commands_the_terminal(multitrack, make_run, trouble):
    file = StagedFile(path="files/x", name=EVIL, size=1)
    records = [
        Metrics(time=0, step=1, values={EVIL: 1.0}),
        Metrics(time=0, step=2, values={EVIL: 2.0}),
        Params(time=0, values={EVIL: EVIL}),
        Tags(time=0, values={EVIL: EVIL}),
        Text(time=0, step=1, key=EVIL, text=EVIL),
        Artifact(time=0, step=1, name=EVIL, kind=EVIL, files=[file], aliases=[EVIL]),
    ]
    made = {"name": EVIL, "project": EVIL, "notes": EVIL, "command": [EVIL]}
    folder = make_run("a", *records, report_to=["notebook", EVIL], **made)
    trouble(refuse=[EVIL])
    outputs = [multitrack(*words, code=code).output for words, code in TERMINAL]
    for output in outputs:
        assert not [mark for mark in COMMANDS if mark in output], output
        assert "name" in output
    assert json.loads(outputs[-1])["header"]["name"] == EVIL, "a program gets what there is"
    assert folder.courier("notebook").read_state().refused


TERMINAL = [
    (("sync",), 1),
    (("runs",), 0),
    (("show", "a", "--all"), 0),
    (("runs", "--json"), 0),
    (("show", "a", "--json"), 0),
]


def test_a_plug_in_that_nobody_names_is_not_loaded(multitrack, make_run, monkeypatch):
    make_run("a", report_to=["tensorboard"])
    monkeypatch.delitem(sys.modules, "multitrack_notebook", raising=False)  # put back for others
    multitrack("runs")
    multitrack("show", "a")
    assert "multitrack_notebook" not in sys.modules
