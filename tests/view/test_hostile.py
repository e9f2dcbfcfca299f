"""A run's folder that someone else made gets an error or a row that says so, and nothing else."""

from __future__ import annotations

import os
import shutil

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from run_folders import PATHS, SECRET, folders, make_home, what_lies_in, write_folder

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import Artifact, Codec, Header, Host, Image, Metrics, StagedFile

HOST = Host(hostname="node", pid=1, platform="Linux", python="3.12")


@pytest.fixture
def make(viewer, request):
    """Write a journal of a header and what else is given."""

    def write(*lines: bytes | msgspec.Struct, run_id: str = "") -> RunFolder:
        folder = RunFolder(viewer.directory / (run_id or f"hostile-{abs(hash(request.node.name))}"))
        folder.create()
        header = Header(time=1.0, run_id="../../etc", host=HOST, cwd="/", report_to=["../../x"])
        content = [line if isinstance(line, bytes) else Codec.encode(line) for line in lines]
        folder.journal.write_bytes(Codec.encode(header) + b"".join(content))
        return folder

    return write


def image(path: str, name: str = "a.png") -> Image:
    file = StagedFile(path=path, name=name, size=1)
    return Image(time=2.0, step=1, key="image", file=file)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "/etc/passwd",
        "files/../../secret.png",
        "files/link.png",
        "journal.jsonl",
        "files",
    ],
)
def test_a_record_cannot_name_a_file_elsewhere(viewer, make, path):
    secret = viewer.directory / "secret.png"
    secret.write_bytes(b"secret")
    folder = make(image(path))
    folder.files.mkdir(exist_ok=True)
    if not (folder.files / "link.png").is_symlink():
        (folder.files / "link.png").symlink_to(secret)
    listed = viewer.get(f"/api/runs/{folder.run_id}/media", {"kind": "image", "name": "image"})
    [entry] = listed.json["entries"]
    assert "url" not in entry["files"][0]
    answer = viewer.get(f"/api/runs/{folder.run_id}/files/{path}")
    assert answer.status == 404
    assert b"secret" not in answer.content.replace(path.encode(), b"")


def test_a_file_that_no_record_names_is_not_served(viewer, make):
    folder = make()
    folder.files.mkdir()
    (folder.files / "other.png").write_bytes(b"other")
    assert viewer.get(f"/api/runs/{folder.run_id}/files/files/other.png").status == 404


@pytest.mark.parametrize("run_id", ["..", ".", "%2e%2e", "..%2f..%2fetc", "a/b", "\0"])
def test_a_run_is_looked_up_and_no_path_is_joined(viewer, run_id):
    assert viewer.get(f"/api/runs/{run_id}").status in {400, 404}


def test_a_file_name_cannot_break_out_of_its_header(viewer, make):
    folder = make(image("files/a.bin", name='x"\r\nSet-Cookie: a=b\r\n\r\n.html'))
    folder.files.mkdir()
    (folder.files / "a.bin").write_bytes(b"content")
    answer = viewer.get(f"/api/runs/{folder.run_id}/files/files/a.bin")
    assert answer.status == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-disposition"].startswith("attachment")


def test_the_rows_id_is_the_folders_not_the_headers(viewer, make):
    folder = make()
    assert viewer.row(folder.run_id)["backends"][0]["name"] == "../../x"


@pytest.mark.parametrize("kind", ["link", "nothing", "garbage"])
def test_what_is_no_journal_is_unreadable(viewer, make, kind):
    folder = make(run_id=f"unreadable-{kind}")
    if kind == "link":
        folder.journal.rename(viewer.directory / "elsewhere.jsonl")
        folder.journal.symlink_to(viewer.directory / "elsewhere.jsonl")
    else:
        folder.journal.write_bytes(b"" if kind == "nothing" else b"\xff\x00" * 1000 + b"\n")
    assert viewer.row(folder.run_id)["unreadable"]
    assert viewer.get(f"/api/runs/{folder.run_id}").status == 404


def test_pipes_in_place_of_files_hold_nobody_up(viewer, make):
    folder = make()
    courier = folder.courier("mlflow")
    courier.create()
    for path in (courier.state, courier.lock, courier.refused, folder.writer_lock):
        os.mkfifo(path)
    assert viewer.row(folder.run_id)["unreadable"]
    assert viewer.get(f"/api/runs/{folder.run_id}").status == 404
    assert viewer.get("/api/runs").status == 200


def test_broken_lines_and_odd_values_hide_nothing(viewer, make):
    folder = make(
        b"not json\n",
        b'{"type":"metrics","time":2,"step":1,"values":{"loss":"text"}}\n',
        b'{"type":"metrics","time":2,"step":1e400,"values":{}}\n',
        b'{"type":"metrics","time":2,"step":99999999999999999999999,"values":{"big":1}}\n',
        b'{"type":"params","time":2,"values":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}\n",
        Metrics(time=3.0, step=2, values={"loss": 1.0}),
    )
    found = viewer.get(f"/api/runs/{folder.run_id}")
    assert found.status == 200
    assert {one["name"]: one["points"] for one in found.json["metrics"]} == {"loss": 1}
    assert found.json["corrupt"]


def test_a_line_of_many_megabytes_is_passed_over(viewer, make):
    folder = make(
        b"x" * (65 * 1024 * 1024) + b"\n", Metrics(time=3.0, step=2, values={"loss": 1.0})
    )
    [metric] = viewer.get(f"/api/runs/{folder.run_id}").json["metrics"]
    assert metric["points"] == 1


def test_an_artifacts_folder_lists_what_can_be_had(viewer, make):
    files = [StagedFile(path=path, name="a", size=1) for path in ("files/a", "../b")]
    folder = make(Artifact(time=2.0, step=1, name="model", kind="model", files=files, folder=True))
    folder.files.mkdir()
    (folder.files / "a").write_bytes(b"1")
    [artifact] = viewer.get(f"/api/runs/{folder.run_id}").json["artifacts"]
    assert ["url" in file for file in artifact["files"]] == [True, False]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=folders())
def test_no_folder_makes_the_page_show_or_change_what_lies_elsewhere(viewer, tmp_path, made):
    home, folder = tmp_path / "home", viewer.directory / "evil"
    make_home(home)
    shutil.rmtree(folder, ignore_errors=True)
    write_folder(folder, home, *made)
    before = what_lies_in(home)
    addresses = ["", "/media?kind=text&name=a", *(f"/files/{path}" for path in PATHS)]
    targets = [f"/api/runs/evil{one.replace('{home}', str(home))}" for one in addresses]
    for target in ["/api/runs", *targets, "/api/series?run=evil&name=a"]:
        answer = viewer.ask(target, Authorization=f"Bearer {viewer.token}")
        assert answer.status in {200, 204, 400, 404}
        assert SECRET.encode() not in answer.content
    shutil.rmtree(folder)
    assert what_lies_in(home) == before
