"""What an exception says of how a run ended."""

from __future__ import annotations

from typing import NamedTuple

from multitrack.trackers.records import EndStatus
from multitrack.trackers.redact import redact_text


class Outcome(NamedTuple):
    """How a run ended, and what ended it, as one line."""

    status: EndStatus
    error: str | None = None


FINISHED = Outcome("finished")

ENDS_WELL = {
    ("optuna", "TrialPruned"),
    ("fastai", "CancelFitException"),
    ("lightning", "_TunerExitException"),
    ("pytorch_lightning", "_TunerExitException"),
    ("_pytest", "Skipped"),
    ("unittest", "SkipTest"),
    ("airflow", "AirflowSkipException"),
}
"""Exceptions by which a framework ends a training as it was meant to, by package and name."""
INTERRUPTS = {
    ("builtins", "KeyboardInterrupt"),
    ("asyncio", "CancelledError"),
    ("concurrent", "CancelledError"),
    ("bdb", "BdbQuit"),
    ("click", "Abort"),
    ("typer", "Abort"),
    ("lightning", "SIGTERMException"),
    ("pytorch_lightning", "SIGTERMException"),
    ("torch", "SignalException"),
    ("ray", "TaskCancelledError"),
    ("sacred", "SacredInterrupt"),
}
"""Exceptions by which somebody stops a training from outside."""
EXITS = {("click", "Exit"), ("typer", "Exit")}
"""Exceptions that carry the process's exit code as ``exit_code``."""


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of a run that an exception left, which somebody may still handle."""
    return FINISHED if _is_among(error, ENDS_WELL) else ending_of(error)


def ending_of(error: BaseException) -> Outcome:
    """Return the outcome of a run whose process an exception ended."""
    if _is_among(error, INTERRUPTS):
        return Outcome("interrupted", one_line(error))
    code = _exit_code(error)
    is_clean = code is None or (isinstance(code, int) and code == 0)
    return FINISHED if is_clean else Outcome("failed", _reason(error))


def one_line(error: BaseException) -> str:
    """Return an exception as one line without secrets, whatever its message is or does."""
    try:
        line = f"{type(error).__name__}: {error}".splitlines()[0]
    except Exception:
        line = f"{type(error).__name__}, whose message cannot be shown"
    return redact_text(line)


def _exit_code(error: BaseException) -> object:
    """Return with what code an exception ends the process: 1, if it is no wish to leave."""
    if isinstance(error, SystemExit):
        return error.code
    return getattr(error, "exit_code", 1) if _is_among(error, EXITS) else 1


def _reason(error: BaseException) -> str:
    """Return what ended the process; a bare number tells less than what was being handled."""
    cause = error.__context__
    if isinstance(error, SystemExit) and type(error.code) is int and isinstance(cause, Exception):
        return f"{one_line(cause)} (exit code {error.code})"
    return one_line(error)


def _is_among(error: BaseException, names: set[tuple[str, str]]) -> bool:
    """Tell whether an exception is of a type known by name, or of one below it."""
    return any(
        (kind.__module__.split(".")[0], kind.__name__) in names for kind in type(error).__mro__
    )
