"""Values in a pickle, with no program in it run: whatever it would call becomes its name."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from multitrack.migrate.source import SourceError

LARGEST = 16 << 20
"""Bytes of a pickle that are read."""


class Named:
    """What stands for any object in a pickle: what it was made of, and its state."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = {}

    def __new__(cls, *_args: Any, **_named: Any) -> Named:
        """Take whatever a pickle gives."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Keep the state as it is."""
        self.state = state


def load_torch(path: Path) -> dict[str, Any]:
    """Return the state of the one object that torch saved in a file, its own values alone.

    Raises:
        SourceError: it is no such file.
    """
    try:
        found = _Unpickler(io.BytesIO(_pickle_in(path))).load()
    except Exception as error:  # a pickle is a program, whose faults are of any kind
        raise SourceError(f"{path} is nothing that torch saved: {error}") from None
    state = getattr(found, "state", None)
    if not isinstance(state, dict):
        raise SourceError(f"{path} has no object with named values")
    return {str(name): _plain(value) for name, value in state.items()}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type(global_name, (Named,), {"__module__": module_name})

    def persistent_load(self, pid: Any, /) -> Any:
        return None


def _pickle_in(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("/data.pkl") and member.file_size <= LARGEST:
                with archive.open(member) as file:
                    return file.read(LARGEST)
    raise SourceError("it holds no pickle")


def _plain(value: Any) -> Any:
    """Return a value; of an object what it was made of, as an enum's member is of its value."""
    if isinstance(value, Named):
        args: tuple[Any, ...] = getattr(value, "args", ())
        return args[0] if len(args) == 1 and isinstance(args[0], str | int | float) else None
    return value
