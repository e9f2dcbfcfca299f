"""Exports: every value of every run, in three formats, whole or not at all."""

from __future__ import annotations

import csv
import json
import math

import pytest
from typer.testing import CliRunner

from multitrack.cli import app
from multitrack.migrate import tables
from multitrack.trackers.start import start_run

NAMES = ["runs", "params", "metrics", "summary"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs in the default directory."""
    monkeypatch.setenv("MULTITRACK_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("COLUMNS", raising=False)
    made = []
    for name in ("a", "b"):
        config = {"optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "amp": True}
        run = start_run("p", name, config=config, tags={"team": "x"}, notes="n", delivery="later")
        run.log({"loss": 0.5, "n": 3}, step=10, epoch=0.25)
        run.log({"loss": float("nan")}, step=20)
        run.log({"loss": float("-inf")}, step=30)
        run.log_params({"optim": {"lr": 0.2}})
        run.summary({"best": 0.5, "which": "step 10"})
        run.finish("failed", quiet=True)
        made.append(run)
    return made


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def read(folder, kind):
    """Return the tables' rows, as other programs read them."""
    found = {}
    for name in NAMES:
        path = folder / f"{name}.{kind}"
        if kind == "parquet":
            parquet = pytest.importorskip("pyarrow.parquet")
            found[name] = parquet.read_table(path).to_pylist()
        elif kind == "csv":
            with path.open(newline="") as file:
                found[name] = list(csv.DictReader(file))
        else:
            found[name] = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{n}.{kind}" for n in NAMES)
    return found


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_all_that_runs_hold(runs, tmp_path, kind, monkeypatch):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(tables, "BATCH", 3)
    output = call("export", "--format", kind, "-o", tmp_path / "out")
    assert "2 runs in" in output
    found = read(tmp_path / "out", kind)
    assert [row["run"] for row in found["runs"]] == [run.id for run in runs]
    first = found["runs"][0]
    assert (first["project"], first["name"], first["status"]) == ("p", "a", "failed")
    assert float(first["ended"]) >= float(first["started"]) > 1.7e9
    assert (first["notes"], json.loads(first["tags"])) == ("n", {"team": "x"})
    params = {r["name"]: json.loads(r["value"]) for r in found["params"] if r["run"] == runs[1].id}
    assert params == {"optim/lr": 0.2, "optim/betas": [0.9, 0.99], "amp": True}
    metrics = [r for r in found["metrics"] if r["run"] == runs[0].id]
    values = [(r["name"], int(r["step"]), float(r["value"])) for r in metrics]
    assert values[:2] == [("loss", 10, 0.5), ("n", 10, 3.0)]
    assert math.isnan(values[2][2])
    assert values[3] == ("loss", 30, -math.inf)
    assert [str(r["epoch"] or "") for r in metrics] == ["0.25", "0.25", "", ""]
    summary = {r["name"]: (r["value"], r["text"]) for r in found["summary"]}
    assert {k: (str(v or ""), t or "") for k, (v, t) in summary.items()} == {
        "best": ("0.5", ""),
        "which": ("", "step 10"),
    }


def test_some_runs_and_a_second_export(runs, tmp_path):
    call("export", "--format", "csv", "-o", tmp_path / "out")
    call("export", runs[1].id, runs[1].folder.path, "--format", "csv", "-o", tmp_path / "out")
    assert [row["run"] for row in read(tmp_path / "out", "csv")["runs"]] == [runs[1].id]


def test_a_run_that_cannot_be_read(runs, tmp_path):
    broken = runs[0].folder.journal
    broken.write_bytes(b"{broken}\n" + broken.read_bytes())
    output = call("export", "--format", "jsonl", "-o", tmp_path / "out", code=1)
    assert "1 run left out" in output
    assert "does not start with the header" in output
    found = read(tmp_path / "out", "jsonl")
    assert {row["run"] for rows in found.values() for row in rows} == {runs[1].id}


def test_an_export_that_fails_leaves_the_earlier_one(runs, tmp_path):
    call("export", "--format", "csv", "-o", tmp_path / "out")
    before = read(tmp_path / "out", "csv")

    def interrupt(folder):
        with tables.Tables(tmp_path / "out", "csv") as made:
            made.add(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt(runs[0].folder)
    assert read(tmp_path / "out", "csv") == before


def test_errors_say_what_would_help(runs, tmp_path, monkeypatch):
    assert "allowed: parquet, csv, jsonl" in call(
        "export", "--format", "xls", "-o", tmp_path / "out", code=2
    )
    assert "no run in" in call("export", "nonesuch", "-o", tmp_path / "out", code=2)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert 'pip install "multitrack[migrate]"' in call("export", "-o", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()
