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
    "numbers": {
        "beyond float64": 2**53 + 1,
        "int64": 2**63 - 1,
        "no": False,
    },
    "names": {
        "": "empty",
        ".hidden": "a dot",
        "..": "two dots",
        "🚀 ✓": "emoji",
        " edge ": "spaces",
        "a.b": "dot",
        "a:b": "colon",
        "a_x3a_b": "as if escaped",
        "Case": "upper",
        "case": "lower",
        "line\nbreak": "line",
        "p" * 300: "long",
        "p" * 299 + "q": "long, too",
    },
    "step": "a word that some backend reserves",
    "long": "lorem ipsum " * 1667,
    "lines": "one\ntwo\n\n\tthree | four",
}
LATER_PARAMS: Tree = {"seed": 8, "args": {"batch": 16}}

TAGS = {"baseline": "", "team": "vision", "git.branch": "main", "🚀 a/b": "✓", "Team": "case"}
LATER_TAGS = {"team": "audio"}

SUMMARY: dict[str, Any] = {
    "best/accuracy": 0.75,
    "steps": 1000,
    "stopped": True,
    "why": "patience",
    "not finite": math.nan,
    "beyond float64": 2**53 + 1,
    "nothing": "",
    "long": "lorem ipsum " * 200,
    "_step": 3,
    "🚀 best ✓": 4,
    ".best": 5,
    "best.of": 6,
    "best_x2e_of": 7,
    "s" * 300: 8,
    "s" * 299 + "t": 9,
}
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
    "value/beyond float64": 2**53 + 1,
    "value/int64 max": 2**63 - 1,
    "value/int64 min": -(2**63),
    "value/beyond int64": 2**63,
    "value/huge": 1e300,
    "value/tiny": 1e-300,
}
STEPS = {
    "step/given": [0, 5, 10],
    "step/back": [9, 4, 7],
    "step/far": [0, 2**31 + 1, 2**53],
    "step/huge": [2**62],
    "step/negative": [-3, -1],
}
SAME_STEP = ("step/same", 3, [1.0, 2.0])
NO_STEP = ("step/none", 3)
EPOCHS = ("epoch/probe", [(1, 0.25), (2, 0.5), (3, 1.0)])
NAMED_EPOCH = ("epoch", 11, 7.0)
"""A metric that is called what some backends call the epoch of a point."""
MANY = ("many/loss", 1200)

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
    "🚀 ✓",
    ".hidden",
    "..",
    "../up",
    "a/../b",
    " edge ",
    "line\nbreak",
    "params",
    "tags",
    "name",
    "value",
    "step",
    "_step",
    "time",
    "timestamp",
    "_timestamp",
    "x" * 300,
    "x" * 299 + "y",
]
"""Names that some backend forbids, cuts, rewrites or keeps for itself; their values differ."""

TEXTS = {
    "text/plain": "a piece of text",
    "text/unicode": "naïve ✓ 精度 🚀 <b>&amp;</b>\n\n| x |",
    "text/empty": "",
    "text/long": "lorem ipsum " * 8000,
}
HISTOGRAMS = {
    "histogram/given": ([1.0, 0.0, 2.0, 3.0], [-1.0, 0.0, 0.5, 2.0, 8.0]),
    "histogram/empty": ([0.0, 0.0], [0.0, 0.5, 1.0]),
    "histogram/no width": ([3.0], [0.5, 0.5]),
}
"""Counts and edges."""
TABLES: dict[str, tuple[list[str], list[list[Any]]]] = {
    "table/mixed": (
        ["name", "score"],
        [["a | b", 0.5], ["line\nbreak", 1], ["✓", None], ["", True]],
    ),
    "table/no rows": (["name", "score"], []),
    "table/nothing": ([], []),
}
CAPTION = "a caption ✓\nof <b>two</b> lines | 'quoted'"
KEYS = [
    "a/b",
    "a.b",
    "a_x2f_b",
    "a:b",
    "a\\b",
    "/lead",
    "lead",
    "trail/",
    "..",
    "../up",
    ".hidden",
    "🚀 ✓",
    " edge ",
    "Case",
    "case",
    "100%",
    "step",
    "k" * 300,
    "k" * 299 + "l",
]
"""Keys of media, each of a text and of a picture, that some backend forbids, cuts or rewrites."""
BOTH = "both"
"""A name that is used for a metric and for something of each other kind at once."""

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
ARTIFACTS = [
    "net:v1",
    "net_v1",
    "a/b",
    "a//b",
    "a_x2f_b",
    "🚀 net",
    ".hidden",
    "Case",
    "case",
    "x" * 120,
]
"""Names of artifacts, of a file each, that some backend forbids or rewrites."""
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
    _record_one_name(run, scratch)
    _record_artifacts(run, scratch)


def _record_trees(run: Run) -> None:
    run.log_params(PARAMS)
    run.log_params(LATER_PARAMS)
    run.log_params({})
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
    run.log({NAMED_EPOCH[0]: NAMED_EPOCH[2]}, step=NAMED_EPOCH[1])
    for step in range(MANY[1]):
        run.log({MANY[0]: step / 8}, step=step)


def _record_media(run: Run) -> None:
    for key, text in TEXTS.items():
        run.log_text(key, text, step=1)
        run.log_text(key, text + " again", step=2)
    run.log_image("image/png", samples.png("red"), step=1, caption=CAPTION)
    run.log_image("image/png", samples.png("green"), step=2)
    run.log_image("image/jpeg", samples.jpeg(), step=1)
    run.log_image("image/gif", samples.gif(), step=1)
    run.log_image("image/webp", samples.webp(), step=1, caption=CAPTION)
    run.log_figure("figure/drawn", samples.MatplotlibLike(), step=3, caption=CAPTION)
    run.log_figure("figure/page", samples.PlotlyLike(), step=3, caption=CAPTION)
    for key, histogram in HISTOGRAMS.items():
        run.log_histogram(key, histogram, step=2)
    for key, (columns, rows) in TABLES.items():
        run.log_table(key, rows, columns=columns, step=4)
    tone = samples.wav()
    run.log_audio("audio/tone", tone, sample_rate=samples.RATE, step=1, caption=CAPTION)
    run.log_video("video/gif", samples.gif(), step=5, caption=CAPTION)
    for key in KEYS:
        run.log_text(key, f"text of {key}", step=1)
        run.log_image(key, samples.picture_of(key), step=1)


def _record_one_name(run: Run, scratch: Path) -> None:
    run.log({BOTH: 0.5}, step=1)
    run.log_text(BOTH, "words", step=1)
    run.log_image(BOTH, samples.png("purple"), step=1)
    run.log_figure(BOTH, samples.MatplotlibLike(), step=1)
    run.log_histogram(BOTH, HISTOGRAMS["histogram/given"], step=1)
    columns, rows = TABLES["table/mixed"]
    run.log_table(BOTH, rows, columns=columns, step=1)
    run.log_audio(BOTH, samples.wav(), step=1)
    run.log_video(BOTH, samples.gif(), step=1)
    file = scratch / BOTH
    file.write_bytes(FILE)
    run.log_artifact(file, step=1)


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
    for name in ARTIFACTS:
        path = scratch / "odd.txt"
        path.write_text(name)
        run.log_artifact(path, name=name, step=1)
