"""Values given for arguments, brought to the types of their fields."""

from __future__ import annotations

import dataclasses
import os
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from multitrack.trackers.values import as_number
from multitrack.trainer.arguments.choices import Choice
from multitrack.trainer.arguments.fields import Fields


def hints() -> dict[str, Any]:
    """Return the type of every field."""
    return get_type_hints(Fields)


def as_text_or_type() -> dict[str, Any]:
    """Return a type for each field that text alone can give: where there are several, or none."""
    found = {name: {_origin(option) for option in _options(hint)} for name, hint in hints().items()}
    return {
        name: str | None for name, kinds in found.items() if dict in kinds or kinds > {bool, str}
    }


def helps() -> dict[str, str]:
    """Return what every field means."""
    annotated = get_type_hints(Fields, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in annotated.items()}


def convert_all(values: dict[str, Any], *, from_text: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the values with their fields' types, and what is wrong with the others.

    Args:
        values: by name; those that are no fields of ours, but of a subclass, stay as they are.
        from_text: whether numbers and booleans may be written as strings; dictionaries always
            may, as JSON.
    """
    fields = hints()
    converted, problems = dict(values), []
    for name in values.keys() & fields.keys():
        outcome = _try_convert(values[name], fields[name], from_text=from_text)
        if isinstance(outcome, _Problem):
            problems.append(f"{name} must be {allowed(fields[name])}, not {values[name]!r}")
        converted[name] = outcome
    return converted, sorted(problems)


def convert(value: Any, hint: Any, *, from_text: bool) -> Any:
    """Return a value with the type that its field has.

    Raises:
        ValueError: the value is not one that the field can hold.
        TypeError: likewise.
    """
    options = _options(hint)
    if isinstance(value, bool) and bool in options:
        return value
    if choice := _choice(options):
        return choice(value)
    kinds = {_origin(option) for option in options}
    plain = _plain(value)
    if isinstance(plain, float) and plain.is_integer() and int in kinds:
        plain = int(plain)
    if isinstance(plain, str) and dict in kinds:
        plain = msgspec.json.decode(plain)
    if from_text and list in kinds:
        plain = _split(plain)
    return msgspec.convert(plain, hint, strict=not from_text)


def allowed(hint: Any) -> str:
    """Say in words what a field may hold."""
    options = _options(hint)
    if choice := _choice(options):
        words = [str(member) for member in choice]
        return "one of " + ", ".join(words)
    return " or ".join(_WORDS[_origin(option)] for option in options)


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


class _Problem:
    """The value could not be converted."""


def _try_convert(value: Any, hint: Any, *, from_text: bool) -> Any:
    try:
        return convert(value, hint, from_text=from_text)
    except (ValueError, TypeError, msgspec.MsgspecError):  # no ValueError before msgspec 0.20
        return _Problem()


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _origin(option: Any) -> Any:
    return get_origin(option) or option


def _choice(options: tuple[Any, ...]) -> type[Choice] | None:
    for option in options:
        if isinstance(option, type) and issubclass(option, Choice):
            return option
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "dtype"):  # numbers of numpy and torch
        return as_number(value)
    return list(value) if isinstance(value, tuple | set) else value


def _split(value: Any) -> Any:
    """Take apart the text of a list, with commas."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        return [part.strip() for item in value for part in str(item).split(",") if part.strip()]
    return value
