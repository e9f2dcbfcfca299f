"""Secrets in nested values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multitrack.trackers.redact.command import redact_command
from multitrack.trackers.redact.names import Kind, hints_at_secret, is_plain_value, kind_of
from multitrack.trackers.redact.spans import REDACTED
from multitrack.trackers.redact.text import redact_text

_MANY = 32
_NUMBERS = frozenset({bool, float, int, type(None)})
"""What holds no secret under a name that is none's."""


def redact_tree(value: Any, name: str = "") -> Any:
    """Return a copy of a nested value without its secrets.

    Texts under a name that looks secret are replaced, at any depth; empty values, numbers and words
    such as ``none`` stay, since they are no secrets. In all other texts, names included, secrets
    are replaced as in `redact_text`.
    """
    return _redacted(value, kind_of(name) if name else Kind.PLAIN)


def _redacted(value: Any, kind: Kind) -> Any:
    if isinstance(value, str):
        return _redacted_text(value, kind)
    if isinstance(value, dict):
        return _redacted_mapping(value, kind)
    if isinstance(value, list | tuple):
        return _redacted_list(value, kind)
    return value if not kind or is_plain_value(value, kind) else REDACTED


def _redacted_text(text: str, kind: Kind) -> str:
    if kind and not is_plain_value(text, kind):
        return REDACTED
    return redact_text(text)


def _redacted_mapping(mapping: Mapping[Any, Any], kind: Kind) -> dict[Any, Any]:
    named = _name_in(mapping)
    names = _joined(mapping) if len(mapping) >= _MANY else None
    are_clean = names is not None and redact_text(names) == names
    are_plain = names is not None and not hints_at_secret(names)
    if are_clean and are_plain and not kind and _NUMBERS.issuperset(map(type, mapping.values())):
        return dict(mapping)
    result: dict[Any, Any] = {}
    for key, value in mapping.items():
        own = Kind.PLAIN if are_plain or not isinstance(key, str) else kind_of(key)
        if named and key in _VALUE:
            own = max(own, named)
        shown = redact_text(key) if isinstance(key, str) and not are_clean else key
        if shown != key and shown in result:  # both are kept
            shown = f"{shown} ({len(result)})"
        own = max(kind, own)
        result[shown] = value if not own and type(value) in _NUMBERS else _redacted(value, own)
    return result


def _joined(mapping: Mapping[Any, Any]) -> str:
    """Return all names in one text: where they are many, they are looked at all at once."""
    return "\n".join(key for key in mapping if isinstance(key, str))


def redact_table(columns: list[str], rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return a table's columns and rows without secrets: a column's name is that of its cells."""
    kinds = [kind_of(column) for column in columns]
    shown = [redact_text(column) for column in columns]
    return shown, [
        [
            _redacted(cell, max(kind, named) if column in _VALUE else kind)
            for column, kind, cell in zip(columns, kinds, row, strict=True)
        ]
        for row in rows
        for named in (_name_in(dict(zip(columns, row, strict=True))),)
    ]


_NAME, _VALUE = ("name", "key", "Name", "Key"), ("value", "Value")


def _name_in(mapping: Mapping[Any, Any]) -> Kind:
    """Return the kind of ``{"name": "API_KEY", "value": ...}``, as containers' variables are."""
    if not any(value in mapping for value in _VALUE):
        return Kind.PLAIN
    names = [mapping[name] for name in _NAME if isinstance(mapping.get(name), str)]
    return max(map(kind_of, names), default=Kind.PLAIN)


def _redacted_list(values: list[Any] | tuple[Any, ...], kind: Kind) -> list[Any]:
    if not kind and len(values) == 2 and isinstance(values[0], str):  # noqa: PLR2004 - a pair
        named = kind_of(values[0])
        if named >= Kind.SECRET and not values[0].startswith("-"):
            return [values[0], _redacted(values[1], named)]
    if not kind and _NUMBERS.issuperset(map(type, values)):
        return list(values)
    if not kind and all(type(value) is str for value in values):
        return redact_command(values)
    return [_redacted(value, kind) for value in values]
