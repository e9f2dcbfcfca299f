"""How far each backend of a run is, what it refused, and what to type: for `multitrack show`."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from multitrack.cli._output import NOTHING, duration, number, print_title, table
from multitrack.trackers.folder import CourierState
from multitrack.trackers.history import History
from multitrack.trackers.standing import Standing, reasons, standings, sync_command

MOST_REASONS = 3


def print_delivery(out: Console, history: History) -> None:
    """Print a table of the backends, then for each what a person should know or can do."""
    all_of_them = standings(history)
    if not all_of_them:
        return
    made = table("backend", "state", "delivered", "pending", "behind", "tries", "refused")
    for column in made.columns[2:]:
        column.justify = "right"
    for one in all_of_them:
        made.add_row(one.backend, Text(one.word, style=one.style), *_counts(history, one.state))
    print_title(out, "Delivery")
    out.print(made)
    for one in all_of_them:
        _print_notes(out, history, one)


def delivery_as_json(history: History) -> dict[str, Any]:
    """Return the same as builtins, by backend."""
    return {
        one.backend: {
            "state": one.word,
            "complete": one.is_complete,
            "delivered": history.records - history.pending(one.state.offset),
            "pending": history.pending(one.state.offset),
            "behind_seconds": history.lag(one.state.offset),
            "failures": one.state.failures,
            "refused": one.state.refused,
            "reasons": [
                {"name": name, "reason": reason, "count": count}
                for (name, reason), count in reasons(history.folder, one.backend).items()
            ],
            "url": one.url,
            "message": one.state.message,
            "remedy": one.state.remedy,
            "command": None if one.is_complete else sync_command(history.folder, one.backend),
        }
        for one in standings(history)
    }


def _counts(history: History, state: CourierState) -> list[str]:
    lag = history.lag(state.offset)
    return [
        number(history.records - history.pending(state.offset)),
        number(history.pending(state.offset)),
        duration(lag) if lag else NOTHING,
        number(state.failures) if state.failures else NOTHING,
        number(state.refused) if state.refused else NOTHING,
    ]


def _print_notes(out: Console, history: History, one: Standing) -> None:
    notes: list[tuple[str, str]] = []
    if one.url:
        notes.append(("look at it", one.url))
    if one.state.message and not one.is_complete:
        notes.append(("because", one.state.message))
    if one.state.remedy and not one.is_complete:
        notes.append(("mend", one.state.remedy))
    if not one.is_complete:
        notes.append(("deliver", sync_command(history.folder, one.backend)))
    refused = reasons(history.folder, one.backend)
    for (name, reason), count in refused.most_common(MOST_REASONS):
        times = f" ({count:,} times)" if count > 1 else ""
        notes.append(("refused", f"{name}: {reason}{times}"))
    if len(refused) > MOST_REASONS:
        more = len(refused) - MOST_REASONS
        notes.append(("refused", f"{more:,} more: {history.folder.courier(one.backend).refused}"))
    for index, (word, text) in enumerate(notes):
        backend = one.backend if index == 0 else ""
        out.print(
            Text.assemble((f"  {backend:<12}", "bold"), (f"{word:<11}", "dim"), text),
            soft_wrap=True,
        )
