"""What the tests of imports share: the command, a run worth moving, and what a journal holds."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys

from hypothesis import strategies as st
from PIL import Image as Pillow
from typer.testing import CliRunner

from multitrack.cli import app
from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.process import spawn
from multitrack.trackers.records import Metrics, Refused
from multitrack.trackers.testing.deliver import entries

START = 1_700_000_000.0


def call(*arguments, code=0):
    """Run the command line; return what it printed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def bring(source, directory, *options, code=0):
    """Import a store; return its run folders."""
    call("import", source, "--dir", directory, *options, code=code)
    return find_runs(directory)


def bring_one(source, directory, *options):
    """Import a store of one run; return its records and its history."""
    [folder] = bring(source, directory, *options)
    return records(folder), read_history(folder)


def state_of(tree):
    """Return what every file of a tree holds, and when it was changed: an import changes none."""
    return {
        path.relative_to(tree).as_posix(): (
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(tree.rglob("*"))
    }


@st.composite
def damages(draw):
    """A way to damage a file's content: cut it, turn bytes, or put some in, at any place."""
    kind = draw(st.sampled_from(["cut", "turn", "put in", "empty"]))
    place = draw(st.floats(0, 1, exclude_max=True))
    more = draw(st.binary(min_size=1, max_size=40))

    def damage(content):
        at = int(place * len(content))
        if kind == "cut":
            return content[:at]
        if kind == "turn":
            turned = bytes(a ^ (b or 1) for a, b in zip(content[at:], more, strict=False))
            return content[:at] + turned + content[at + len(turned) :]
        return content[:at] + more + content[at:] if kind == "put in" else b""

    return damage


def bring_damaged(tree, name, damage, directory):
    """Import a copy of a tree of which one file is damaged; nothing of it may change."""
    copy = directory / "copy"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(tree, copy, symlinks=True)
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    before = state_of(copy)
    result = CliRunner().invoke(app, ["import", str(copy), "--dir", str(directory / "runs")])
    assert result.exit_code in {0, 1, 2}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert "Traceback" not in result.output
    assert state_of(copy) == before
    return [read_history(folder) for folder in find_runs(directory / "runs")], result.output


def records(folder):
    """Return all records of a journal."""
    return [entry.record for entry in entries(folder)]


def of(kind, found):
    """Return the records of one type."""
    return [record for record in found if isinstance(record, kind)]


def points(found):
    """Return ``(step, time, value)`` of each metric, values spelled so that NaN is NaN."""
    series = {}
    for record in of(Metrics, found):
        for name, value in record.values.items():
            series.setdefault(name, []).append((record.step, record.time, repr(value)))
    return series


def deliver(folder, backend):
    """Play a run to a backend by its courier's process; return what the courier knows."""
    code = spawn(folder, backend).wait(180)
    assert not code, folder.courier(backend).log.read_text()
    assert not folder.courier(backend).read_refused()
    return folder.courier(backend).read_state()


def png(color=(255, 0, 0)):
    """Return a small picture's file."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (4, 3), color).save(buffer, "PNG")
    return buffer.getvalue()


def record_everything(run, tmp_path):
    """Log one of each kind of record."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"w" * 1000)
    (tmp_path / "model" / "config.json").write_bytes(b"{}")
    for step in (5, 10, 15):
        run.log({"train/loss": 1 / step, "hits@10": float(step)}, step=step)
    run.log({"train/loss": float("nan")}, step=20)
    run.log_text("samples/answer", "Paris", step=20)
    run.log_image("samples/digit", png(), step=20)
    run.log_histogram("weights", ([1.0, 2.0], [0.0, 0.5, 1.0]), step=20)
    run.log_artifact(tmp_path / "model", kind="model", step=20, aliases=["best"])
    run.summary({"best/loss": 0.25, "best/name": "step 15"})


def digests(folder):
    """Return what tells whether anything in a tree was changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def driven(script, folder, **environ):
    """Run a script with the real client in a folder; return the folder."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | {"HOME": str(folder)} | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.returncode, done.stderr
    return folder


def bring_unchanged(source, directory, *options):
    """Import a store of one run, twice; nothing of it may change, and nothing comes twice."""
    before = digests(source)
    found = bring_one(source, directory, *options)
    assert "1 there already" in call("import", source, "--dir", directory, *options)
    assert digests(source) == before
    return found


def values(found):
    """Return ``(step, value)`` of each metric."""
    return {name: [(s, v) for s, _, v in series] for name, series in points(found).items()}


def told(found):
    """Return the reasons of what was refused, by name."""
    return {record.key: record.reason for record in of(Refused, found)}
