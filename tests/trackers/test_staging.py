"""What was logged stays what it was, whatever happens to the original."""

import errno
import fcntl
import os
import shutil
import socket
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitrack.trackers import staging
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.texts import Unread, attempt

LARGE = 100
"""Bytes from which on a file counts as large here."""


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a-run")
    folder.create()
    return folder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture(params=["copied", "linked"])
def way(request, monkeypatch):
    """How files are kept: small ones are copied, large ones linked where nothing is cloned."""
    if request.param == "linked":
        monkeypatch.setattr(staging, "COPY_LIMIT", LARGE - 1)
        monkeypatch.setattr(staging, "_clone", lambda *_: False)
    return request.param


def content_of(run, file):
    return (run.path / file.path).read_bytes()


def stage_one(run, path):
    (file,) = staging.stage_path(run, path)
    return file


def delete(path):
    path.unlink()


def replace(path):
    other = path.with_name("other")
    other.write_bytes(b"new" * LARGE)
    other.replace(path)


@pytest.mark.parametrize("change", [delete, replace])
def test_file_survives_its_original(run, source, way, change):
    path = source / "weights.bin"
    path.write_bytes(b"x" * LARGE)
    file = stage_one(run, path)
    change(path)
    assert content_of(run, file) == b"x" * LARGE
    assert (file.name, file.size) == ("weights.bin", LARGE)
    assert not staging.was_overwritten(run, file)


def test_original_that_is_overwritten_in_place(run, source, way):
    path = source / "weights.bin"
    path.write_bytes(b"x" * LARGE)
    file = stage_one(run, path)
    path.write_bytes(b"y" * LARGE)
    os.utime(path, ns=(0, file_time(path) + 1))  # a clock may stand still between two writes
    if way == "copied":
        assert content_of(run, file) == b"x" * LARGE
    assert staging.was_overwritten(run, file) == (way == "linked")


def file_time(path):
    return path.stat().st_mtime_ns


def test_large_file_is_linked_at_no_cost(run, source, monkeypatch):
    monkeypatch.setattr(staging, "_clone", lambda *_: False)
    path = source / "weights.bin"
    with path.open("wb") as file:
        file.truncate(staging.COPY_LIMIT + 1)
    assert path.samefile(run.path / stage_one(run, path).path)
    os.truncate(path, staging.COPY_LIMIT)
    assert not path.samefile(run.path / stage_one(run, path).path)


def test_large_file_is_cloned_or_else_linked_by_itself(run, source, monkeypatch):
    monkeypatch.setattr(staging, "COPY_LIMIT", 0)
    path = source / "weights.bin"
    path.write_bytes(b"x" * LARGE)
    file = stage_one(run, path)
    assert content_of(run, file) == b"x" * LARGE
    assert path.samefile(run.path / file.path) != can_clone(source)


def can_clone(folder):
    with (folder / "a").open("wb+") as one, (folder / "b").open("wb") as other:
        try:
            fcntl.ioctl(other.fileno(), staging._FICLONE, one.fileno())
        except OSError:
            return False
    return True


def test_large_file_is_copied_where_nothing_else_goes(run, source, monkeypatch):
    def no_link(*_):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(staging, "COPY_LIMIT", 0)
    monkeypatch.setattr(staging, "_clone", lambda *_: False)
    monkeypatch.setattr("pathlib.Path.hardlink_to", no_link)
    path = source / "weights.bin"
    path.write_bytes(b"x" * LARGE)
    file = stage_one(run, path)
    path.write_bytes(b"y")
    assert content_of(run, file) == b"x" * LARGE
    assert not staging.was_overwritten(run, file)


@pytest.mark.parametrize("keeps_times", [True, False])
def test_copied_run_is_as_good_as_the_original(run, source, tmp_path, keeps_times):
    path = source / "weights.bin"
    path.write_bytes(b"x" * LARGE)
    files = [stage_one(run, path), staging.stage_bytes(run, b"y", "y.png")]
    copy = shutil.copytree(
        run.path,
        tmp_path / "elsewhere",
        copy_function=shutil.copy2 if keeps_times else shutil.copyfile,
    )
    assert not any(staging.was_overwritten(RunFolder(copy), file) for file in files)


def test_file_that_is_gone_from_the_run(run):
    file = staging.stage_bytes(run, b"x", "x.png")
    (run.path / file.path).unlink()
    with pytest.raises(FileNotFoundError):
        staging.was_overwritten(run, file)


def test_folder_is_kept_with_its_tree(run, source):
    for name in ("b/deep/er.txt", "a.txt", "b/empty"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "no-files").mkdir()
    files = staging.stage_path(run, source)
    assert [file.name for file in files] == ["a.txt", "b/empty", "b/deep/er.txt"]
    assert [content_of(run, file).decode() for file in files] == [file.name for file in files]


def test_links_that_lead_out_of_the_folder_are_not_followed(run, source, tmp_path, caplog):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("secret")
    (source / "real.txt").write_text("real")
    (source / "inner").symlink_to("real.txt")
    (source / "outer").symlink_to("../secret")
    (source / "absolute").symlink_to(tmp_path / "secret")
    (source / "folder").symlink_to("../secrets")
    (source / "broken").symlink_to("nowhere")
    (source / "loop").symlink_to("loop")
    (source / "self").symlink_to(".")
    files = staging.stage_path(run, source)
    assert {file.name: content_of(run, file) for file in files} == {
        "inner": b"real",
        "real.txt": b"real",
    }
    assert "absolute: it leads out of the folder" in caplog.text
    assert "broken: a link to nothing" in caplog.text
    assert "self: a link to a folder" in caplog.text


def test_link_to_a_file_or_folder_is_that_file_or_folder(run, source, tmp_path):
    (source / "real.txt").write_text("real")
    (tmp_path / "link").symlink_to(source)
    assert [file.name for file in staging.stage_path(run, tmp_path / "link")] == ["real.txt"]
    (tmp_path / "latest").symlink_to(source / "real.txt")
    assert content_of(run, stage_one(run, tmp_path / "latest")) == b"real"


@pytest.mark.parametrize(
    "name", [b"a\nb", b"\xff\xfe", "é😀".encode(), b"back\\slash", b" ", b"x" * 250, b"-rf *"]
)
def test_nasty_file_names(run, source, name):
    path = source / os.fsdecode(name)
    path.write_bytes(b"content")
    for staged in staging.stage_path(run, source) + staging.stage_path(run, path):
        assert content_of(run, staged) == b"content"
        assert staged.name.encode() == name.replace(b"\xff\xfe", rb"\udcff\udcfe")


def test_what_is_no_file_is_left_out_of_a_folder_and_refused_alone(run, source):
    os.mkfifo(source / "pipe")
    assert staging.stage_path(run, source) == []
    with pytest.raises(ValueError, match="pipe is neither a file nor a folder"):
        staging.stage_path(run, source / "pipe")
    with pytest.raises(FileNotFoundError):
        staging.stage_path(run, source / "nothing")


def test_nothing_is_left_of_an_artifact_that_could_not_be_kept(run, source, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    (source / "a").write_text("a")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="no space left"):
        staging.stage_path(run, source)
    assert not any(path.is_file() for path in run.files.rglob("*"))
    assert not any((run.files / "artifacts").iterdir())


def test_equal_content_is_kept_once(run):
    one, other = (staging.stage_bytes(run, b"same", name) for name in ("a.PNG", "b.png"))
    assert one.path == other.path
    assert one.path.endswith(".png")
    assert (one.name, other.name) == ("a.PNG", "b.png")
    assert staging.stage_bytes(run, b"same", "c.wav").path != one.path
    assert len(list((run.files / "media").iterdir())) == 2


def test_everything_is_for_the_owner_alone(run, source):
    (source / "deep").mkdir()
    (source / "deep" / "a").write_text("a")
    (source / "deep" / "a").chmod(0o644)
    staging.stage_path(run, source)
    staging.stage_bytes(run, b"x", "x.png")
    paths = [run.path, *run.path.rglob("*")]
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_dir()} == {0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_file()} == {0o600}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("model", "model"),
        ("my model/v1", "my model/v1"),
        ("../../etc/passwd", "etc/passwd-3754d6cb"),
        ("/abs/./x/..", "abs/x-8836502f"),
        ("..\\..\\x", "x-baaa9aba"),
        ("a\0b", "ab-59b271ae"),
        (".hidden", ".hidden"),
        ("...", None),
        ("", None),
        ("/", None),
        (". ./ ..", None),
    ],
)
def test_artifact_name_cannot_leave_its_folder(name, safe):
    if safe is None:
        with pytest.raises(ValueError, match="is no name for a file or folder"):
            staging.safe_name(name)
    else:
        assert staging.safe_name(name) == safe


def test_different_names_stay_different():
    names = ["a/b", "a//b", "a/../b", "./a/b", "a/b/", "a\\b", "a/b\0", "/a/b"]
    assert len({staging.safe_name(name) for name in names}) == len(names)


@given(st.sets(st.text("ab/.\\\0 ", min_size=1, max_size=6), max_size=8))
def test_no_two_names_merge(names):
    found = [
        safe for name in names if not isinstance(safe := attempt(staging.safe_name, name), Unread)
    ]
    assert len(set(found)) == len(found)
    assert not any(".." in name.split("/") for name in found)


def test_what_is_no_file_or_cannot_be_read_costs_itself_alone(run, source, monkeypatch):
    (source / "good").write_text("good")
    (source / "gone").write_text("gone")
    (source / "long").write_text("long")
    os.mkfifo(source / "pipe")
    (source / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(source)
        listening.bind("socket")
    copy = shutil.copyfile

    def copyfile(path, target):
        if path.name in {"gone", "long"}:
            number = errno.ENOENT if path.name == "gone" else errno.ENAMETOOLONG
            raise OSError(number, os.strerror(number))
        return copy(path, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    skipped = {}
    files = staging.stage_path(run, source, skipped.__setitem__)
    assert [file.name for file in files] == ["good"]
    assert skipped == {
        "dangling": "a link to nothing",
        "gone": "No such file or directory",
        "long": "File name too long",
        "pipe": "a pipe, not a file",
        "socket": "a socket, not a file",
    }


def test_file_name_that_is_too_long_once_its_odd_bytes_are_escaped(run, source):
    (source / os.fsdecode(b"\xff" * 200)).write_text("odd")
    (source / "good").write_text("good")
    skipped = {}
    files = staging.stage_path(run, source, skipped.__setitem__)
    assert [file.name for file in files] == ["good"]
    assert list(skipped.values()) == ["File name too long"]


def test_two_files_whose_names_are_written_alike_are_not_merged(run, source):
    (source / os.fsdecode(b"a\xff")).write_text("odd")
    (source / "a\\udcff").write_text("plain")
    skipped = {}
    (file,) = staging.stage_path(run, source, skipped.__setitem__)
    assert content_of(run, file) in {b"odd", b"plain"}
    assert len(skipped) == 1


def test_of_many_files_that_are_left_out_the_first_are_told(run, source):
    for number in range(50):
        (source / f"link-{number:02}").symlink_to("nowhere")
    skipped = {}
    staging.stage_path(run, source, skipped.__setitem__)
    assert len(skipped) == staging.MOST_TOLD + 1
    assert skipped["…"] == "30 more were left out, for reasons like these"
