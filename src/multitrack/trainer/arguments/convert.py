"""Values given for arguments, brought to the types of their fields."""

from __future__ import annotations

import dataclasses
import os
from enum import EnumMeta
from typing import Any, get_args, get_type_hints

import msgspec

from multitrack.trackers.values import as_number
from multitrack.trainer.arguments.fields import Fields


def hints() -> dict[str, Any]:
    """Return the type of every field."""
    return get_type_hints(Fields)


def convert_all(values: dict[str, Any], *, from_text: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the values with their fields' types, and what is wrong with the others.

    Args:
        values: by field name; unknown names are not allowed here.
        from_text: whether numbers and booleans may be written as strings.
    """
    types = hints()
    converted, problems = {}, []
    for name, value in values.items():
        try:
            converted[name] = convert(value, types[name], from_text=from_text)
        except (ValueError, TypeError):
            problems.append(f"{name} must be {allowed(types[name])}, not {value!r}")
    return converted, problems


def convert(value: Any, hint: Any, *, from_text: bool) -> Any:
    """Return a value with the type that its field has.

    Raises:
        ValueError: the value is not one that the field can hold.
    """
    if choice := _choice(hint):
        return choice(value) if isinstance(value, str) else msgspec.convert(value, hint)
    plain = _plain(value)
    if from_text and isinstance(plain, str) and dict in map(_origin, _options(hint)):
        plain = msgspec.json.decode(plain)
    return msgspec.convert(plain, hint, strict=not from_text)


def allowed(hint: Any) -> str:
    """Say in words what a field may hold."""
    if choice := _choice(hint):
        return "one of " + ", ".join(str(member) for member in choice)
    words = [_WORDS[_origin(option)] for option in _options(hint)]
    return " or ".join(words)


def dump(arguments: Fields) -> dict[str, Any]:
    """Return all arguments by name, as plain values."""
    return {
        field.name: msgspec.to_builtins(getattr(arguments, field.name), enc_hook=str)
        for field in dataclasses.fields(arguments)
    }


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list of names",
    dict: "a dictionary",
    type(None): "None",
}


def _options(hint: Any) -> tuple[Any, ...]:
    args = get_args(hint)
    return args if args and _origin(hint) not in (list, dict) else (hint,)


def _origin(hint: Any) -> Any:
    return getattr(hint, "__origin__", hint)


def _choice(hint: Any) -> EnumMeta | None:
    return next((option for option in _options(hint) if isinstance(option, EnumMeta)), None)


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "dtype"):  # numbers of numpy and torch
        return as_number(value)
    return list(value) if isinstance(value, tuple | set) else value
