"""Arguments from files and from the command line."""

from __future__ import annotations

import dataclasses
import json
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from multitrack.trainer.arguments.absent import unknown, without_defaults
from multitrack.trainer.arguments.convert import allowed, helps, hints
from multitrack.trainer.arguments.fields import Fields


def known(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the values whose names are arguments, and a sentence for each other name."""
    names = [field.name for field in dataclasses.fields(Fields)]
    found = {name: value for name, value in values.items() if name in names}
    return found, unknown(without_defaults(values), names)


def read(path: Path) -> dict[str, Any]:
    """Return the mapping that a JSON or YAML file holds.

    Raises:
        ValueError: the file is neither, or holds something else.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        values = json.loads(text)
    elif path.suffix in (".yaml", ".yml"):
        values = yaml.safe_load(text)
    else:
        raise ValueError(f"{path}: arguments come from .json, .yaml or .yml files")
    if not isinstance(values, dict):
        raise ValueError(  # noqa: TRY004 - the file is wrong, not the call
            f"{path} must hold one mapping of argument names to values"
        )
    return values


def new_parser() -> ArgumentParser:
    """Return a parser that knows no argument yet but ``--config``."""
    parser = ArgumentParser(
        usage="%(prog)s [--config FILE] [options]; --help lists them", allow_abbrev=False
    )
    parser.add_argument("--config", metavar="FILE", help="JSON or YAML file of arguments")
    return parser


def add_options(parser: ArgumentParser) -> None:
    """Add ``--name`` for every argument, with dashes or underscores; also ``--no-name``."""
    types, texts = hints(), helps()
    group = parser.add_argument_group("training")
    for name, hint in types.items():
        _add_option(group, name, hint, texts[name].replace("%", "%%"))


def parse(parser: ArgumentParser, argv: Sequence[str] | None) -> Namespace:
    """Return what a command line says; a wrong one ends the program with a message."""
    namespace, rest = parser.parse_known_args(argv)
    if rest:
        options = [word[2:].partition("=")[0] for word in rest if word.startswith("--")]
        names = [field.name for field in dataclasses.fields(Fields)]
        problems = unknown([option.replace("-", "_") for option in options], names)
        parser.error("; ".join(problems) or f"unrecognized arguments: {' '.join(rest)}")
    return namespace


def given(namespace: Namespace) -> dict[str, Any]:
    """Return the arguments that the command line has."""
    names = [field.name for field in dataclasses.fields(Fields)]
    return {name: getattr(namespace, name) for name in names if hasattr(namespace, name)}


def _add_option(group: Any, name: str, hint: Any, text: str) -> None:
    """Add an option; other spellings of it, and its negation, are not shown in the help."""
    options: dict[str, Any] = {"dest": name, "default": SUPPRESS, "metavar": "VALUE"}
    kinds = allowed(hint)
    dashed = name.replace("_", "-")
    if kinds.startswith("one of"):
        options["metavar"] = kinds.removeprefix("one of ").replace(", ", "|")
    if "true or false" in kinds:
        options |= {"nargs": "?", "const": True}
        options["metavar"] = "VALUE" if "text" in kinds else "true|false"
        for spelling in dict.fromkeys([f"--no-{dashed}", f"--no_{name}"]):
            group.add_argument(
                spelling, dest=name, default=SUPPRESS, action="store_false", help=SUPPRESS
            )
    elif "a list of names" in kinds:
        options |= {"nargs": "+", "metavar": "NAME"}
    group.add_argument(f"--{dashed}", help=text, **options)
    if dashed != name:
        group.add_argument(f"--{name}", help=SUPPRESS, **options)
