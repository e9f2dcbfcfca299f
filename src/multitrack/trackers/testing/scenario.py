"""The run that holds everything: recorded once, delivered once, examined by many tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from multitrack.trackers.records import Number, Tree
from multitrack.trackers.run import Run
from multitrack.trackers.testing import samples

PROJECT = "conformance"
NAME = "a run of every kind"
NOTES = "What was tried,\nand why: naïve & <b>bold</b> | piped ✓"

CONFIG: Tree = {"seed": 7, "optim": {"name": "adamw", "lr": 0.1, "betas": [0.9, 0.999]}}
PARAMS: Tree = {
    "args": {"bf16": True, "epochs": 3, "run name": "résumé ✓", "resume": None, "empty": ""},
    "model": {"layers": {"0": {"width": 64}, "1": {"width": 32}}, "targets": ["q", "v"]},
    "nothing": {"list": [], "tree": {}},
    "long": "lorem ipsum " * 1667,
    "lines": "one\ntwo\n\n\tthree | four",
}
LATER_PARAMS: Tree = {"seed": 8, "args": {"batch": 16}}

TAGS = {"baseline": "", "team": "vision", "git.branch": "main"}
LATER_TAGS = {"team": "audio"}

SUMMARY: dict[str, Any] = {"best/accuracy": 0.75, "steps": 1000, "stopped": True, "why": "patience"}
LATER_SUMMARY = {"best/accuracy": 0.875}

VALUES: dict[str, Number] = {
    "value/float": 0.1,
    "value/zero": 0.0,
    "value/negative": -2.5,
    "value/int": 3,
    "value/bool": True,
    "value/nan": math.nan,
    "value/inf": math.inf,
    "value/-inf": -math.inf,
    "value/int64 max": 2**63 - 1,
    "value/int64 min": -(2**63),
    "value/huge": 1e300,
    "value/tiny": 1e-300,
}
STEPS = {
    "step/given": [0, 5, 10],
    "step/back": [9, 4, 7],
    "step/far": [0, 2**31 + 1, 2**53],
}
SAME_STEP = ("step/same", 3, [1.0, 2.0])
NO_STEP = ("step/none", 3)
EPOCHS = ("epoch/probe", [(1, 0.25), (2, 0.5), (3, 1.0)])
MANY = ("many/loss", 2500)

NAMES = [
    "hits@10",
    "f1(a)",
    "f1[a]",
    "f1_a_",
    "f1_x28_a_x29_",
    "a//b",
    "a/b",
    "a.b",
    "a:b",
    "a\\b",
    "/lead",
    "lead",
    "trail/",
    "with  two spaces",
    "Upper",
    "upper",
    "précision",
    "精度",
    "100%",
    "q?x=1&y#z",
    "<tag>",
    'it\'s "quoted"',
    "params",
    "tags",
    "x" * 300,
    "x" * 299 + "y",
]
"""Names that some backend forbids, cuts, rewrites or keeps for itself; their values differ."""

TEXTS = {"text/plain": "a piece of text", "text/unicode": "naïve ✓ 精度 <b>&amp;</b>\n\n| x |"}
HISTOGRAM = ([1.0, 0.0, 2.0, 3.0], [-1.0, 0.0, 0.5, 2.0, 8.0])
TABLE = (["name", "score"], [["a | b", 0.5], ["line\nbreak", 1], ["✓", None], ["", True]])
BOTH = "both"
"""A name that is used for a metric, a text, a picture and a figure at once."""

FILE_NAME, FILE = "weights.bin", bytes(range(256)) * 8
FOLDER = {
    "config.json": b"{}",
    "a/same.txt": b"one",
    "b/same.txt": b"two",
    "b/deep/er/same.txt": b"three",
    "b/spaced name ✓.txt": b"four",
    "empty.bin": b"",
}
"""Content by path of the folder artifact."""
VERSIONS = [b"first", b"second"]
"""Contents of the artifact that is logged twice under one name."""


def record_everything(run: Run, scratch: Path) -> None:
    """Log all of the above.

    Args:
        run: a run just started with `CONFIG`, `TAGS` and `NOTES`.
        scratch: a folder for the files that become artifacts.
    """
    _record_trees(run)
    _record_metrics(run)
    _record_media(run)
    _record_artifacts(run, scratch)


def _record_trees(run: Run) -> None:
    run.log_params(PARAMS)
    run.log_params(LATER_PARAMS)
    run.set_tags(LATER_TAGS)
    run.summary(SUMMARY)
    run.summary(LATER_SUMMARY)


def _record_metrics(run: Run) -> None:
    for _ in range(NO_STEP[1]):
        run.log({NO_STEP[0]: 1.0})
    run.log(VALUES, step=0)
    for name, steps in STEPS.items():
        for step in steps:
            run.log({name: float(step)}, step=step)
    for value in SAME_STEP[2]:
        run.log({SAME_STEP[0]: value}, step=SAME_STEP[1])
    for step, epoch in EPOCHS[1]:
        run.log({EPOCHS[0]: epoch}, step=step, epoch=epoch)
    run.log({name: float(i) for i, name in enumerate(NAMES)}, step=1)
    for step in range(MANY[1]):
        run.log({MANY[0]: step / 8}, step=step)


def _record_media(run: Run) -> None:
    for key, text in TEXTS.items():
        run.log_text(key, text, step=1)
        run.log_text(key, text + " again", step=2)
    run.log_image("image/png", samples.png("red"), step=1, caption="a caption ✓")
    run.log_image("image/png", samples.png("green"), step=2)
    run.log_image("image/jpeg", samples.jpeg(), step=1)
    run.log_image("image/gif", samples.gif(), step=1)
    run.log_figure("figure/drawn", samples.MatplotlibLike(), step=3)
    run.log_figure("figure/page", samples.PlotlyLike(), step=3)
    run.log_histogram("histogram/given", HISTOGRAM, step=2)
    run.log_table("table/mixed", TABLE[1], columns=TABLE[0], step=4)
    run.log_audio("audio/tone", samples.wav(), sample_rate=samples.RATE, step=1)
    run.log_video("video/gif", samples.gif(), step=5)
    run.log({BOTH: 0.5}, step=1)
    run.log_text(BOTH, "words", step=1)
    run.log_image(BOTH, samples.png("purple"), step=1)
    run.log_figure(BOTH, samples.MatplotlibLike(), step=1)


def _record_artifacts(run: Run, scratch: Path) -> None:
    file = scratch / FILE_NAME
    file.write_bytes(FILE)
    run.log_artifact(file, name="weights", kind="model", step=7, aliases=["best"])
    folder = scratch / "checkpoint"
    for name, content in FOLDER.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    run.log_artifact(folder, name="checkpoint-7", kind="checkpoint", metadata={"loss": 0.5})
    for step, version in enumerate(VERSIONS):
        path = scratch / "version.txt"
        path.write_bytes(version)
        run.log_artifact(path, name="versioned", step=step)
