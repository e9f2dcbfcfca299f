"""Places that the user trusts: addresses and paths to which runs of other people may go.

They stand in a file beside the user's key, one on a line. A place covers what is below it: an
address all that its server has, a path all files under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from multitrack.trackers import key
from multitrack.trackers.folder import make_private, read_file, replace_file
from multitrack.trackers.origin import current_directory

NAME = "trusted"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_WORD = re.compile(r"[a-z][a-z0-9_]*:[^/].*", re.DOTALL)


def place_of(value: object, backend: str) -> str:
    """Return where a setting leads, as one word: an address, a path, or a name at a backend.

    >>> place_of("https://me:secret@shelf.example/api?x=1", "mlflow")
    'https://shelf.example'
    >>> place_of("sqlite:////srv/runs.db", "mlflow"), place_of("me/board", "trackio")
    ('/srv/runs.db', 'trackio:me/board')
    """
    text = str(value).strip()
    if isinstance(value, Path) or text.startswith(("/", "~", ".")):
        return _path(text)
    if not _SCHEME.match(text):
        return f"{backend}:{text}"
    scheme, host, path = _split(text)
    return f"{scheme}://{host}" if host else _path(path)


def named(text: str) -> str:
    """Return the place that a person means: an address, a name at a backend, else a path.

    >>> named("https://shelf.example/"), named("trackio:me/board")
    ('https://shelf.example', 'trackio:me/board')
    """
    if _SCHEME.match(text):
        return place_of(text, "")
    return text if _WORD.fullmatch(text) else _path(text)


def trusted() -> list[str]:
    """Return the places that the user trusts."""
    directory = key.config_directory()
    if directory is None:
        return []
    try:
        lines = read_file(directory / NAME).decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line]


def add(place: str) -> None:
    """Trust a place from now on.

    Raises:
        OSError: there is nowhere to keep it.
    """
    _store([*trusted(), place])


def remove(place: str) -> bool:
    """Trust a place no longer; tell whether it was trusted.

    Raises:
        OSError: there is nowhere to keep it.
    """
    places = trusted()
    _store([known for known in places if known != place])
    return place in places


def is_covered(place: str, places: Iterable[str]) -> bool:
    """Tell whether a place is one of others, or below one.

    >>> is_covered("/srv/runs/a", ["/srv/runs"]), is_covered("/srv/runs2", ["/srv/runs"])
    (True, False)
    """
    return any(place == known or _is_below(place, known) for known in places)


def _is_below(place: str, known: str) -> bool:
    return place.startswith("/") and known.startswith("/") and Path(place).is_relative_to(known)


def _store(places: Iterable[str]) -> None:
    directory = key.config_directory()
    if directory is None:
        raise OSError("there is no home directory to keep it in: set XDG_CONFIG_HOME")
    make_private(directory)
    lines = "".join(f"{place}\n" for place in dict.fromkeys(places) if "\n" not in place)
    replace_file(directory / NAME, lines.encode())


def _path(text: str) -> str:
    """Return an absolute path, its links resolved, which is what is written to."""
    path = Path(text.replace("\0", ""))
    with suppress(RuntimeError):  # nobody of this name
        path = path.expanduser()
    return str(Path(current_directory(), path).resolve())


def _split(text: str) -> tuple[str, str, str]:
    """Return scheme, host with its port, and path; a SQLite database has a path alone."""
    scheme, _, rest = text.partition(":")
    if scheme.lower().startswith("sqlite"):
        return scheme, "", rest.removeprefix("///").partition("?")[0]
    with suppress(ValueError):
        parts = urlsplit(text)
        return scheme.lower(), parts.netloc.rpartition("@")[2].lower(), unquote(parts.path)
    return scheme.lower(), rest, ""
