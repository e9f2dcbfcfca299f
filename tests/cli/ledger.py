"""A tracker of a third party: it keeps a run as lines of a text file, and needs no client.

``LEDGER_FAULT`` makes it misbehave: ``park``, ``refuse`` or ``die``.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, Any

from multitrack.trackers.protocol import (
    Attachment,
    Gap,
    Parked,
    Refused,
    Repeat,
    Tracker,
    classify_by_default,
    stored_as,
    unsupported,
)
from multitrack.trackers.settings import Env, Settings


class LedgerSettings(Settings, frozen=True):
    file: Annotated[Path, Env("LEDGER_FILE", help="Where it is kept.")] = Path("ledger.txt")
    token: Annotated[str | None, Env("LEDGER_TOKEN", help="Who writes.", secret=True)] = None
    width: Annotated[int, Env("LEDGER_WIDTH", help="Columns.")] = 80


class Ledger(Tracker):
    name = "ledger"
    distributions = ()
    settings_type = LedgerSettings
    repeat = Repeat.DUPLICATES
    batch_size = 100
    placement = "courier"

    def __init__(self, settings: LedgerSettings) -> None:
        self._file = settings.file

    def start(self, run):
        if os.environ.get("LEDGER_FAULT") == "park":
            raise Parked("the ledger is locked away", "fetch the ledger")
        if os.environ.get("LEDGER_FAULT") == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        self._run = run.run_id
        self._write("start", run.header.name)
        return Attachment(id=run.run_id, url=f"file://{self._file}")

    @stored_as("a line")
    def log_params(self, params):
        self._write("params", params.values)

    @stored_as("a line each")
    def log_metrics(self, points):
        for point in points:
            if os.environ.get("LEDGER_FAULT") == "refuse":
                raise Refused("the ledger takes no numbers")
            self._write("metrics", point.step, point.values)

    @stored_as("a `line` each")
    def set_tags(self, tags):
        self._write("tags", tags.values)

    log_summary = log_text = log_params
    log_image = log_figure = log_histogram = log_table = unsupported(
        Gap.NEVER, "a ledger holds text"
    )
    log_audio = log_video = log_artifact = unsupported(Gap.NOT_DONE, "it could be told of them")

    def flush(self) -> bool:
        return True

    def finish(self, status) -> None:
        self._write("end", status)

    def abandon(self) -> None: ...

    def classify(self, error):
        return classify_by_default(error)

    def _write(self, *words: Any) -> None:
        with self._file.open("a") as file:
            print(self._run, *words, file=file)
