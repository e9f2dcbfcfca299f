"""Run folders as somebody who means harm could write them, and a home that must stay as it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from hypothesis import strategies as st

SECRET = "what I keep to myself"
PLACES = [
    "journal.jsonl",
    "writer.lock",
    "files",
    "files/media",
    "files/x",
    "pruned",
    "couriers",
    "couriers/notebook",
    "couriers/tensorboard",
    *(
        f"couriers/notebook/{name}"
        for name in ("state.json", "settings.json", "lock", "log.txt", "refused.jsonl", "bell")
    ),
]
"""What a run's folder may hold; somebody else may put a link or a pipe in its place."""
TARGETS = [
    "{home}",
    "{home}/secret.txt",
    "{home}/not-yet",
    "{home}/projects",
    "../../home",
    "../../home/secret.txt",
    "/dev/zero",
    "/",
]
PATHS = [
    "files/x",
    "files/../../../home/secret.txt",
    "{home}/secret.txt",
    "files",
    "../journal.jsonl",
]
WORDS = st.sampled_from(["..", "/", "{home}", "{home}/projects", "../../home", "", "a", "\0", "~"])


@st.composite
def folders(draw):
    """What such a folder holds: a journal, what couriers keep, links and pipes by their place."""
    word = lambda: draw(WORDS)  # noqa: E731 - drawn anew at each call
    header = {
        "type": "run",
        "time": 0,
        "run_id": word() or "x",
        "host": {"hostname": word(), "pid": 1, "platform": word(), "python": word()},
        "cwd": word(),
        "name": word(),
        "project": word(),
        "report_to": draw(
            st.lists(st.sampled_from(["notebook", "tensorboard", "..", "os"]), max_size=2)
        ),
    }
    files = [
        {"path": draw(st.sampled_from(PATHS)), "name": word() or "a", "size": 1}
        for _ in range(draw(st.integers(0, 2)))
    ]
    records = [
        header,
        {"type": "metrics", "time": 0, "step": 1, "values": {word() or "m": 1.0}},
        {"type": "artifact", "time": 0, "step": 1, "name": word(), "kind": word(), "files": files},
        {"type": "end", "time": 1, "status": "finished"},
    ]
    attachment = {"id": word(), "url": word(), "state": {"board": word(), "folders": [word()]}}
    state = {"offset": 0, "phase": "done", "attachment": attachment, "told": "finished"}
    links = st.dictionaries(
        st.sampled_from(PLACES), st.sampled_from([*TARGETS, "pipe"]), max_size=3
    )
    return records, state, draw(links)


def write_folder(folder, home, records, state, links):
    """Write it, as one that is delivered; a link takes the place of what would stand there."""
    folder.mkdir(parents=True)
    for place, target in links.items():
        path = folder / place
        if not is_free(folder, place):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if target == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(target.replace("{home}", str(home)))
    text = "".join(json.dumps(one).replace("{home}", str(home)) + "\n" for one in records)
    described = json.dumps(state | {"offset": len(text.encode())}).replace("{home}", str(home))
    contents = {"journal.jsonl": text, "files/x": "x"}
    contents |= {f"couriers/{name}/state.json": described for name in ("notebook", "tensorboard")}
    for place, content in contents.items():
        path = folder / place
        if not is_free(folder, place):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def is_free(folder, place):
    """Tell whether nothing is at a place yet, and no link or pipe above it."""
    above = [folder / parent for parent in Path(place).parents]
    return not (os.path.lexists(folder / place) or any(map(is_odd, above)))


def is_odd(path):
    return path.is_symlink() or path.is_fifo()


def what_lies_in(place):
    """Return all that a folder holds: kinds, contents and times of change."""
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.is_file() and path.read_bytes(),
        )
        for path in sorted(place.rglob("*"))
    }


def make_home(home):
    shutil.rmtree(home, ignore_errors=True)
    (home / "projects" / "media").mkdir(parents=True)
    (home / "secret.txt").write_text(SECRET)
    (home / "projects" / "x").write_text("work\n")
    (home / "projects" / "media" / "y").write_text("work\n")
