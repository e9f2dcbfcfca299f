"""A run's folder that somebody else wrote, delivered in a home of its own, and what became of that.

The other person is an installation with another key. What they put into the folder afterwards is
theirs to choose: see `tampered`.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import msgspec
from hypothesis import strategies as st

import multitrack
from multitrack.trackers.courier import Courier, read_header
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.kept import kept_settings
from multitrack.trackers.protocol import Parked

WORDS = st.sampled_from(
    ["..", ".", "/", "{home}", "{home}/.ssh", "../..", "x", "{home}/lab/../.ssh", "~", "a\0b", ""]
)
TARGETS = st.sampled_from(["{home}", "{home}/.ssh", "{home}/.bashrc", "..", "../.ssh", "/"])
FILES = (".bashrc", ".ssh/authorized_keys")


def make_home(home: Path) -> Path:
    """Make a home with things that matter, and return the folder in which its owner works."""
    for name in FILES:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine\n")
    work = home / "lab"
    work.mkdir()
    return work


def what_lies_in(home: Path, *, but: tuple[Path, ...] = ()) -> dict[str, object]:
    """Return all that lies in a folder, as it is, apart from some folders."""
    found: dict[str, object] = {}
    for parent, folders, names in os.walk(home):
        folders[:] = [name for name in folders if Path(parent, name) not in but]
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink():
                found[str(path)] = str(path.readlink())
            elif path not in but:
                found[str(path)] = path.read_bytes() if path.is_file() else path.lstat().st_mode
    return found


def recorded_by_another(monkeypatch, directory: Path, backend: str, **options) -> RunFolder:
    """Record a run with the key of somebody else: a point, a text and an artifact."""
    with monkeypatch.context() as other:
        other.setenv("MULTITRACK_KEY", "that of somebody else")
        directory.mkdir(parents=True)
        given = directory / "given"
        given.write_text("theirs\n")
        with multitrack.start_run(
            "digits",
            "seed-1",
            report_to=[backend],
            dir=directory,
            run_id="evil",
            delivery="later",
            finish_timeout=0,
            **options,
        ) as run:
            run.log({"loss": 0.5}, step=1)
            run.log_text("note", "hello", step=1)
            run.log_artifact(given, name="n", step=1)
        run.finish(quiet=True)
    return run.folder


@st.composite
def tampered(draw, settings: dict[str, st.SearchStrategy[str]], links: list[str]):
    """What the other person changes: header, state, settings, and links where one delivers."""
    header = {name: draw(WORDS) for name in ("cwd", "name", "project")}
    if draw(st.booleans()):
        header["run_id"] = draw(WORDS)
    attachment = {
        "id": draw(WORDS),
        "url": draw(WORDS),
        "state": {name: draw(WORDS) for name in ("board", "folder", "repo", "root", "project")},
    }
    attachment["state"]["folders"] = [draw(WORDS)]
    state = {"attachment": attachment, "seal": draw(st.sampled_from([None, "", "0" * 64]))}
    stored = {name: draw(values) for name, values in settings.items() if draw(st.booleans())}
    placed = draw(st.dictionaries(st.sampled_from(links), TARGETS, max_size=2))
    return header, state, stored, placed


def write(folder: RunFolder, home: Path, header, state, stored, links) -> None:
    """Change a folder so, and put the links where its deliverer works."""
    fill = lambda value: json.dumps(value).replace("{home}", str(home))  # noqa: E731 - a short name
    first, *others = folder.journal.read_text().splitlines()
    changed = json.loads(fill(json.loads(first) | header))
    folder.journal.write_text("\n".join([json.dumps(changed), *others]) + "\n")
    courier = folder.courier(folder.couriers()[0].backend)
    courier.state.write_text(fill(state))
    courier.settings.write_text(fill({"arguments": stored, "seal": "0" * 64}))
    for place, target in links.items():
        path = home / "lab" / place
        if not os.path.lexists(path) and not any(p.is_symlink() for p in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target.replace("{home}", str(home)))


def deliver(folder: RunFolder, backend: str):
    """Deliver a folder here and now, as `multitrack sync` does; return the courier's state."""
    try:
        settings = kept_settings(folder, read_header(folder).run_id, backend)
    except Parked as answer:
        return answer
    gone = threading.Event()
    gone.set()
    courier = Courier(folder, backend, settings, linger=0)
    courier.run(gone)
    return msgspec.structs.replace(courier.state)
