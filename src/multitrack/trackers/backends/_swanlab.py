"""SwanLab's rules: names, steps, and the errors of its client.

The client logs what it does not take as an error and goes on. So its rules are applied here,
before it is asked: what breaks one is set aside by name.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.names import escape
from multitrack.trackers.protocol import (
    Parked,
    Refused,
    Restart,
    Retry,
    RunInfo,
    TrackerError,
    classify_by_default,
)
from multitrack.trackers.records import Metrics, Number

if TYPE_CHECKING:
    from pyroaring import BitMap64
    from swanlab import Run

LONGEST_NAME = 512
LAST_STEP = 2**48
SYSTEM = "__swanlab__"
"""What the names of the client's own metrics begin with."""
SCALAR = "scalar"
HOST = "https://api.swanlab.cn"
"""The client's own default."""
LOGIN = "Set SWANLAB_API_KEY to your key, or SWANLAB_MODE to offline."
_EDGES = re.compile(r"^[ \t\n\r./]+|[ \t\n\r./]+$")


class Columns:
    """SwanLab's columns of one run: a name, what it holds, and the steps it has.

    A name holds one kind of thing. The first kind gets the name as it is, others get it with
    their kind behind it: ``loss``, ``loss (text)``.

    Args:
        run: whose journal tells which kind came first, if it was delivered before.
    """

    def __init__(self, run: RunInfo) -> None:
        self._kinds: dict[str, str] = {}
        self._steps: dict[str, BitMap64] = {}
        if run.attachment:
            self._recall(RunFolder(run.folder).journal)

    def claim(self, key: str, kind: str, step: int) -> str:
        """Return the column for a thing of a kind, and note that it has this step.

        Raises:
            Refused: the client would drop it.
        """
        name = self._name(key, kind)
        if problem := self._problem(name, step):
            raise Refused(problem)
        return name

    def row(self, point: Metrics, refused: dict[str, str]) -> dict[str, Number]:
        """Return what the client takes of a point; the reasons for the rest go to ``refused``."""
        row: dict[str, Any] = {}
        for key, value in point.values.items():
            name = self._name(key, SCALAR)
            if problem := self._problem(name, point.step):
                refused[key] = problem
            else:
                row[name] = value
        if row and point.epoch is not None and self._take("epoch", point.step):
            row["epoch"] = point.epoch
        return row

    def _problem(self, name: str, step: int) -> str | None:
        if len(name) > LONGEST_NAME:
            return f"SwanLab's names have at most {LONGEST_NAME} characters"
        if not 0 <= step <= LAST_STEP:
            return f"SwanLab's steps go from 0 to 2**48, not {step}"
        if not self._take(name, step):
            return f"SwanLab keeps one value a step, and {name!r} has one at step {step}"
        return None

    def _take(self, name: str, step: int) -> bool:
        """Note that a column has a step; return False if it has it already."""
        from pyroaring import BitMap64

        steps = self._steps.setdefault(name, BitMap64())
        is_new = step not in steps
        steps.add(step)
        return is_new

    def _name(self, key: str, kind: str) -> str:
        is_first = self._kinds.setdefault(key, kind) == kind
        return column_name(key if is_first else f"{key} ({kind})")

    def _recall(self, journal: Path) -> None:
        with closing(JournalReader(journal)) as reader:
            while entries := reader.read():
                for entry in entries:
                    record: Any = entry.record if isinstance(entry, Entry) else None
                    if isinstance(record, Metrics):
                        for key in record.values:
                            self._kinds.setdefault(key, SCALAR)
                    elif hasattr(record, "key") and hasattr(record, "step"):
                        self._kinds.setdefault(record.key, type(record).__name__.lower())


def column_name(name: str) -> str:
    """Return a name that the client takes as it is.

    >>> column_name("/lead"), column_name("a/b.c")
    ('_x2f_lead', 'a/b.c')
    """
    plain = escape(name, lambda c: c >= " " and c != "\x7f")
    if plain.startswith(SYSTEM):
        plain = f"_x5f_{plain[1:]}"
    return _EDGES.sub(lambda edge: "".join(f"_x{ord(c):x}_" for c in edge[0]), plain)


def project_name(name: str) -> str:
    """Return a project's name in the characters that SwanLab takes.

    >>> project_name("my project")
    'my_x20_project'
    """
    return escape(name, lambda c: c.isascii() and (c.isalnum() or c in "_-+."))


def finish(run: Run, **outcome: Any) -> None:
    """End a run.

    Args:
        run: the client's.
        **outcome: passed on.

    Raises:
        Restart: the server has not taken all of it, or not the outcome; the client only prints so.
    """
    core: Any = run._core  # noqa: SLF001 - nothing public tells it
    confirm, answers = core.confirm_run_finish, []

    def confirm_and_keep() -> Any:
        answers.append(confirm())
        return answers[-1]

    core.confirm_run_finish = confirm_and_keep
    run.finish(**outcome)
    if not all(answer.success for answer in answers):
        raise Restart(answers[-1].message)


def config_folders() -> tuple[Path, Path]:
    """Return where ``swanlab login`` keeps a key: for a project, and for the user."""
    own = os.environ.get("SWANLAB_ROOT") or os.environ.get("SWANLAB_SAVE_DIR")
    return Path(".swanlab"), Path(own or "~/.swanlab").expanduser()


def name_error(error: Exception, host: str | None) -> TrackerError:
    """Tell a missing or wrong key from a server that is away.

    Args:
        error: what the client raised; for both, it says that the key may be wrong.
        host: address of the server.
    """
    from swanlab.exceptions import ApiError, AuthenticationError

    reason = f"{type(error).__name__}: {error}"
    has_no_key = "no API key" in reason or "no TTY" in reason
    if isinstance(error, AuthenticationError) and _is_away(host or HOST):
        return Retry(f"{host or HOST} does not answer")
    if isinstance(error, AuthenticationError) or has_no_key:
        return Parked(reason, LOGIN)
    if isinstance(error, ApiError):
        return Retry(reason) if error.retryable else Refused(reason)
    return classify_by_default(error)


def _is_away(host: str) -> bool:
    import requests

    try:
        requests.get(host, timeout=5)
    except requests.RequestException:
        return True
    return False
