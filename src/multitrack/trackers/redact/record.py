"""Secrets in a record: nothing gets into a journal but through here."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from multitrack.trackers.records import AnyRecord, Metrics
from multitrack.trackers.redact.command import redact_command
from multitrack.trackers.redact.text import redact_text
from multitrack.trackers.redact.tree import redact_tree

_OURS = {"run_id", "status", "path", "sha256", "edges", "counts"}
"""Fields that hold what we made up, and no user's text."""
_MOST_NAMES = 100_000
"""Names of metrics that are remembered."""

S = TypeVar("S", bound=msgspec.Struct)


class Redactor:
    """Redact the records of one writer; it remembers the names of metrics that are no secrets."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def redact(self, record: AnyRecord) -> AnyRecord:
        """Return a record without secrets; the record itself, if it has none."""
        if type(record) is not Metrics:
            return redact_struct(record)
        if self._names.issuperset(record.values):
            return record
        values = _redacted_names(record.values)
        if len(self._names) > _MOST_NAMES:
            self._names.clear()
        self._names.update(values)
        return record if values is record.values else msgspec.structs.replace(record, values=values)


def redact_struct(struct: S) -> S:
    """Return a record, or a part of one, without secrets in any of its fields."""
    fields = msgspec.structs.asdict(struct)
    redacted = {name: _redacted(name, value) for name, value in fields.items() if name not in _OURS}
    changes = {name: value for name, value in redacted.items() if value != fields[name]}
    return msgspec.structs.replace(struct, **changes) if changes else struct


def _redacted(field: str, value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return redact_tree(value)
    if isinstance(value, msgspec.Struct):
        return redact_struct(value)
    if isinstance(value, list):
        if field == "command":
            return redact_command(value)
        return [_redacted(field, inner) for inner in value]
    return value


def _redacted_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return metrics by names without secrets; two that are the same then are both kept."""
    redacted: dict[str, Any] = {}
    for name, value in values.items():
        shown = redact_text(name)
        while shown in redacted:
            shown += "_"
        redacted[shown] = value
    return values if redacted.keys() == values.keys() else redacted
