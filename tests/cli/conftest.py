"""Real runs in a directory of their own, and the command line to look at them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from multitrack.cli import app
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import JournalWriter
from multitrack.trackers.kept import StoredSettings, sign_settings
from multitrack.trackers.records import AnyRecord, End, Header, Host, Metrics, spell

START = 1_700_000_000.0
Command = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for runs, which the commands find by themselves."""
    where = tmp_path / "runs"
    monkeypatch.setenv("MULTITRACK_DIR", str(where))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("COLUMNS", "MULTITRACK_REPORT_TO", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return where


@pytest.fixture
def multitrack() -> Command:
    """The command line, called in this process; ``multitrack("runs")``."""
    runner = CliRunner()

    def call(*arguments: str, code: int = 0, **environ: str) -> Any:
        result = runner.invoke(app, list(arguments), env=environ)
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def make_run(directory: Path) -> MakeRun:
    """Write a journal: a header, points of a loss, what else is given, and an outcome.

    That a run reports to a notebook is signed as `start_run` signs it.
    """

    def make(
        run_id: str = "20231114-221320-000-abc123",
        *others: AnyRecord,
        losses: list[float] | None = None,
        end: End | None = End(time=START + 75, status="finished"),  # noqa: B008 - it is frozen
        **header: Any,
    ) -> RunFolder:
        folder = RunFolder(directory / run_id)
        folder.create()
        host = Host(hostname="node-1", pid=7, platform="Linux", python="3.11.7")
        writer = JournalWriter(folder.journal)
        writer.append(Header(time=START, run_id=run_id, host=host, cwd="/", **header))
        for step, loss in enumerate(losses if losses is not None else [2.0, 1.0, 0.5], start=1):
            point = {"train/loss": spell(loss)}
            writer.append(Metrics(time=START + step, step=step, values=point))
        for record in (*others, *([end] if end else [])):
            writer.append(record)
        writer.close()
        if "notebook" in header.get("report_to", []):
            folder.courier("notebook").create()
            sign_settings(folder, run_id, "notebook", StoredSettings())
        return folder

    return make


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a third party's tracker keeps its runs."""
    monkeypatch.setenv("NOTEBOOK_DIR", str(tmp_path / "notebooks"))
    return tmp_path / "notebooks"


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give that tracker its orders; none, to end its trouble."""
    orders = tmp_path / "orders.json"
    monkeypatch.setenv("NOTEBOOK_TROUBLE", str(orders))
    return lambda **given: orders.write_text(json.dumps(given))
