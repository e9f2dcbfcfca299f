"""`multitrack show`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time

import pytest

from multitrack.trackers.folder import CourierState, Refusal
from multitrack.trackers.protocol import Attachment
from multitrack.trackers.records import (
    Artifact,
    End,
    Git,
    Metrics,
    Params,
    Refused,
    StagedFile,
    Summary,
    Tags,
    Text,
)


def show(multitrack, *arguments):
    return json.loads(multitrack("show", *arguments, "--json").output)


def test_all_that_was_logged_is_shown(multitrack, make_run):
    make_run(
        "20231114-221320-000-abc123",
        Params(time=0, values={"optim": {"lr": 0.01}, "note": "[bold]not markup[/]"}),
        Tags(time=0, values={"team": "audio"}),
        Summary(time=0, values={"best/accuracy": 0.97}),
        Text(time=0, step=1, key="sample", text="hello"),
        Artifact(
            time=0,
            step=3,
            name="checkpoint-3",
            kind="checkpoint",
            aliases=["best"],
            files=[StagedFile(path="files/a", name="a", size=3_000_000, mtime_ns=0)],
        ),
        Refused(time=0, key="gradient", reason="a list is not one number"),
        project="digits",
        name="quiet-fox",
        notes="What was tried.",
        config={"optim": {"lr": 0.1, "name": "adamw"}, "seed": 7},
        tags={"baseline": "", "team": "vision"},
        git=Git(commit="1a2b3c4d5e6f7", branch="main", dirty=True),
        command=["python", "train.py", "--name", "a b"],
    )
    lines = multitrack("show", "abc123").output.splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    for expected in (
        "digits / quiet-fox  finished",
        "started 2023-11-14 22:13:20, took 1m 15s, 11 records",
        "on node-1, Python 3.11.7, git 1a2b3c4d5 (main), changed files",
        "$ python train.py --name 'a b'",
        "What was tried.",
        "  optim/lr    0.01",
        "  optim/name  adamw",
        "  note        [bold]not markup[/]",
        "  team      audio",
        "  best/accuracy  0.97",
        "train/loss       3   0.5     3     0.5     3        2     1",
        "  text sample (1 time)",
        "  checkpoint checkpoint-3 (1 file, 3 MB, best)",
        "  refused gradient: a list is not one number",
    ):
        assert expected in text


def test_the_error_of_a_failed_run_is_shown(multitrack, make_run):
    make_run(end=End(time=0, status="failed", error="RuntimeError: out of memory"))
    assert "RuntimeError: out of memory" in multitrack("show").output


def test_extremes_pass_over_what_is_not_finite_and_the_last_value_does_not(multitrack, make_run):
    make_run(losses=[2.0, math.inf, 1.0, 3.0, math.nan])
    series = show(multitrack)["metrics"]["train/loss"]
    assert series["lowest"] == {"step": 3, "value": 1.0}
    assert series["highest"] == {"step": 4, "value": 3.0}
    assert series["last"] == {"step": 5, "value": "NaN"}
    assert series["values"] == [2.0, "Infinity", 1.0, 3.0, "NaN"]
    output = multitrack("show").output
    assert "NaN (2 not finite)" in output


def test_a_metric_without_a_finite_value_has_no_curve(multitrack, make_run):
    make_run(losses=[math.nan, math.nan])
    output = multitrack("show").output
    assert "Curves" not in output
    assert "train/loss       2   NaN     2       -     -        -     -" in output


def test_metrics_are_chosen_by_pattern(multitrack, make_run):
    make_run("a", Metrics(time=0, step=1, values={"eval/accuracy": 0.5, "eval/loss": 1.0}))
    assert list(show(multitrack, "a", "-m", "eval/*")["metrics"]) == ["eval/accuracy", "eval/loss"]
    assert list(show(multitrack, "a", "-m", "*loss")["metrics"]) == ["train/loss", "eval/loss"]


def test_long_lists_are_cut_and_say_so(multitrack, make_run):
    values = {f"m{i}": float(i) for i in range(20)}
    points = [Metrics(time=0, step=step, values=values) for step in (1, 2)]
    make_run("a", *points, config={f"p{i}": i for i in range(40)})
    short = multitrack("show", "a").output
    assert "24 more params" in short
    assert "15 more curves" in short
    whole = multitrack("show", "a", "--all").output
    assert "more" not in whole
    assert "  p39  39" in whole


def test_a_hundred_thousand_metrics_are_looked_at_in_a_moment(multitrack, make_run):
    values = {f"layer/{i}": float(i) for i in range(100_000)}
    make_run("a", *[Metrics(time=0, step=step, values=values) for step in (1, 2)])
    started = time.monotonic()
    output = multitrack("show", "a").output
    assert time.monotonic() - started < 20
    assert "99,801 more metrics: --all, or --metric PATTERN" in output
    assert "layer/99999 " in multitrack("show", "a", "-m", "layer/9999?").output


def test_delivery_tells_what_is_pending_why_and_what_to_type(multitrack, make_run):
    folder = make_run(report_to=["wandb", "mlflow", "aim"])
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    size = sum(map(len, lines))
    wandb, mlflow = folder.courier("wandb"), folder.courier("mlflow")
    for courier in (wandb, mlflow):
        courier.create()
    wandb.write_state(
        CourierState(
            offset=len(lines[0]) + len(lines[1]),
            phase="parked",
            message="no API key",
            remedy="wandb login",
            failures=4,
        )
    )
    url = Attachment(url="http://127.0.0.1:5000/#/runs/1")
    mlflow.write_state(CourierState(offset=size, phase="done", refused=3, attachment=url))
    for key in ("a", "a", "b"):
        mlflow.set_aside(Refusal(time=0, offset=0, record="params", key=key, reason="too long"))
    text = multitrack("show").output
    row = next(line for line in text.splitlines() if line.startswith("wandb "))
    assert row.split() == ["wandb", "parked", "2", "3", "1m", "13s", "4", "-"]
    for expected in (
        "because    no API key",
        "mend       wandb login",
        f"deliver    multitrack sync {folder.path} --to wandb",
        "look at it http://127.0.0.1:5000/#/runs/1",
        "refused    a: too long (2 times)",
        "refused    b: too long",
        f"deliver    multitrack sync {folder.path} --to aim",
    ):
        assert expected in text
    seen = show(multitrack)["delivery"]
    assert seen["mlflow"]["command"] is None
    assert seen["mlflow"]["reasons"][0] == {"name": "a", "reason": "too long", "count": 2}
    assert seen["wandb"]["pending"] == 3
    assert seen["wandb"]["behind_seconds"] == 73.0


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_curves_keep_within_the_terminal(multitrack, make_run, columns):
    values = {f"a/very/long/name/of/a/metric/{i}": float(i) for i in range(6)}
    points = [Metrics(time=0, step=step, values=values) for step in (1, 10_000_000)]
    make_run("a", *points, losses=[10.0 ** (i - 150) for i in range(300)])
    lines = multitrack("show", "a", COLUMNS=str(columns)).output.splitlines()
    start = lines.index("Curves")
    assert max(map(len, lines[start:])) <= columns


def test_a_terminal_without_unicode_gets_stars(make_run):
    make_run(losses=[3.0, 1.0, 2.0])
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    command = [sys.executable, "-c", "from multitrack.cli import app; app()", "show"]
    result = subprocess.run(command, env=environ, capture_output=True, check=True)
    output = result.stdout.decode("ascii")
    assert "***" in output
    assert "+---" in output
