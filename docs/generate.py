"""Write the tables of the documentation that the code knows already.

    python docs/generate.py            # rewrite them
    python docs/generate.py --check    # fail if one is stale

A page marks the place: ``<!-- generated: environment wandb -->`` … ``<!-- end generated -->``.
"""

from __future__ import annotations

import argparse
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import typer.main
from typer.core import TyperArgument, TyperGroup

from multitrack.cli import app
from multitrack.cli.backends import kind_of
from multitrack.trackers import backends as built_in
from multitrack.trackers import registry
from multitrack.trackers.protocol import RECORD_METHODS, Tracker, Unsupported, describe
from multitrack.trackers.settings import Variable, variables

DOCS = Path(__file__).parent
NAMES = [
    module.name
    for module in pkgutil.iter_modules(built_in.__path__)
    if not module.name.startswith("_")
]
"""Our own backends: one of a third party that is installed here has no page here."""
BACKEND_PAGE = "../backends/{}.md"
"""Where a guide finds the page of a backend."""
BLOCK = re.compile(
    r"(?P<begin><!-- generated: (?P<table>\w+)(?: (?P<name>\w+))? -->\n)"
    r".*?(?P<end><!-- end generated -->)",
    re.DOTALL,
)


def environment(backend: str) -> str:
    """Return the table of a backend's environment variables."""
    rows = [_variable_row(variable) for variable in variables(registry.load(backend).settings_type)]
    if not rows:
        return "It has no settings.\n"
    return _table(["Variable", "Setting", "Allowed", "Default", "What it does"], rows)


def storage(backend: str) -> str:
    """Return the table of where a backend keeps each kind of record."""
    tracker = registry.load(backend)
    rows = [[kind_of(method), _storage_cell(getattr(tracker, method))] for method in RECORD_METHODS]
    rows.append(["a repeated batch", tracker.repeat.value])
    return _table(["Logged", "Kept as"], rows)


def backends() -> str:
    """Return the table of all backends: what each holds, and what a repeat shows there."""
    rows = [
        [
            f"[{name}]({name}.md)",
            f"`{registry.install_command(name)}`",
            *(_holds(name) if _stores(name) else ("nothing: it measures the run", "")),
        ]
        for name in NAMES
    ]
    return _table(["Backend", "Install", "Holds", "If a batch comes twice"], rows)


def _stores(name: str) -> bool:
    return registry.load(name).placement != "source"


def _holds(name: str) -> tuple[str, str]:
    gaps = [kind_of(method) for method in _gaps(name)]
    held = f"all but {', '.join(gaps)}" if gaps else "everything"
    return held, registry.load(name).repeat.value


def capabilities() -> str:
    """Return the table of what each backend holds, kind by kind."""
    names = [name for name in NAMES if _stores(name)]
    trackers = [registry.load(name) for name in names]
    rows = [
        [kind_of(method), *(_storage_cell(getattr(tracker, method)) for tracker in trackers)]
        for method in RECORD_METHODS
    ]
    return _table(["Logged", *names], rows)


def by_hand() -> str:
    """Return the table of what `run.native` hands out: what each adapter says of it."""
    rows = []
    for name in NAMES:
        native = registry.load(name).native
        if native is not Tracker.native:
            what, _, rules = (inspect.getdoc(native) or "").replace("``", "`").partition("\n\n")
            rows.append([f"[{name}]({BACKEND_PAGE.format(name)})", _noun(what), rules])
    return _table(["Backend", "`run.native(…)`", "Mind"], rows)


def _noun(sentence: str) -> str:
    """Return what a docstring says that it returns."""
    return sentence.removeprefix("Return ").removesuffix(".")


def command(name: str) -> str:
    """Return the arguments and options of one command."""
    group = cast("TyperGroup", typer.main.get_command(app))
    found = group.commands[name]
    params: list[Any] = list(found.params)
    rows = [[f"`{_usage(param)}`", param.help or ""] for param in params]
    return f"{found.help}\n\n" + _table(["Argument or option", "What it does"], rows)


TABLES: dict[str, Callable[..., str]] = {
    table.__name__: table
    for table in (environment, storage, backends, capabilities, by_hand, command)
}


def main() -> int:
    """Rewrite or check all pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    check = parser.parse_args().check
    stale = [page for page in sorted(DOCS.rglob("*.md")) if _is_stale(page, write=not check)]
    for page in stale:
        print(f"{page.relative_to(DOCS.parent)}: {'is stale' if check else 'rewritten'}")
    if check and stale:
        print("Mend with: python docs/generate.py")
    return int(check and bool(stale))


def _is_stale(page: Path, *, write: bool) -> bool:
    before = page.read_text()
    after = BLOCK.sub(_fill, before)
    if write and after != before:
        page.write_text(after)
    return after != before


def _fill(match: re.Match[str]) -> str:
    arguments = [match["name"]] if match["name"] else []
    return f"{match['begin']}\n{TABLES[match['table']](*arguments)}\n{match['end']}"


def _variable_row(variable: Variable) -> list[str]:
    env = variable.env
    names = "<br>".join(f"`{name}`" for name in env.names)
    notes = [env.help]
    notes += ["Its client reads it, too."] if env.client else []
    notes += ["Never stored."] if variable.is_secret else []
    default = "" if variable.default in (None, "") else f"`{_default(variable.default)}`"
    return [names, f"`{variable.field}`", variable.allowed, default, " ".join(filter(None, notes))]


def _default(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _storage_cell(method: object) -> str:
    what = describe(method)
    return f"— {what.gap.value}: {what.reason}" if isinstance(what, Unsupported) else what


def _gaps(name: str) -> Iterable[str]:
    tracker = registry.load(name)
    return (m for m in RECORD_METHODS if isinstance(describe(getattr(tracker, m)), Unsupported))


def _usage(param: Any) -> str:
    if isinstance(param, TyperArgument):
        return param.metavar or f"[{param.name}]".upper()
    return ", ".join([*param.opts, *param.secondary_opts])


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(_cell(text) for text in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
