"""The settings that a run was started with, and how far they count for who delivers it.

What this installation wrote counts as it stands. What somebody else wrote is data: the settings
are then those of the person who delivers, and a place that the folder names is used only if that
person trusts it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from multitrack.trackers import key, registry, trust
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.origin import read_origin
from multitrack.trackers.protocol import Parked
from multitrack.trackers.settings import Settings, Variable, load, storable, variables

_PURPOSE = "settings"
ADDRESSES = {"address"}
"""The kind of places to which a key or password is sent."""


class UntrustedError(Parked):
    """A folder of somebody else's names places for a run that nobody here has named.

    Attributes:
        places: where it would go.
    """

    def __init__(self, places: list[str], reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.places = places


class StoredSettings(msgspec.Struct, frozen=True):
    """What a run was started with for one backend: ``couriers/<backend>/settings.json``.

    Attributes:
        arguments: the settings that were given in code, by field name.
        environment: those that came from variables.
        seal: the signature of both.
    """

    arguments: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    seal: str = ""


def keep_settings(
    run: RunFolder, run_id: str, backend: str, settings: Settings, arguments: Mapping[str, Any]
) -> None:
    """Keep the settings of a run, without secrets, for couriers that come later."""
    values = storable(settings)
    stored = StoredSettings(
        arguments={name: value for name, value in values.items() if name in arguments},
        environment={name: value for name, value in values.items() if name not in arguments},
    )
    sign_settings(run, run_id, backend, stored)


def sign_settings(run: RunFolder, run_id: str, backend: str, stored: StoredSettings) -> None:
    """Keep settings as this user's."""
    seal = key.sign(*_parts(stored, run_id, backend))
    sealed = msgspec.structs.replace(stored, seal=seal)
    run.courier(backend).write_settings(msgspec.to_builtins(sealed))


def kept_settings(
    run: RunFolder, run_id: str, backend: str, accepted: Iterable[str] = ()
) -> Settings:
    """Return a run's settings: arguments first, then today's environment, then yesterday's.

    Of a folder that somebody else wrote, it is today's environment alone, and the places that
    are trusted.

    Args:
        run: the run's folder.
        run_id: its id, as the header says.
        backend: name of the backend.
        accepted: places that the person who delivers has just agreed to.

    Raises:
        SettingsError: a variable does not hold what it may.
        UntrustedError: the folder is somebody else's, and names a place that nothing here names.
        Parked: it is, and it would go to a server for which there is neither a name nor a key.
    """
    stored = read_settings(run, backend)
    is_ours = is_own(run, run_id, backend, stored)
    if is_ours or (stored == StoredSettings() and read_origin(run, run_id)):
        settings_type = registry.load(backend).settings_type
        return load(settings_type, arguments=stored.arguments, saved=stored.environment)
    return _of_a_foreign(run, backend, stored, [*trust.trusted(), *accepted])


def read_settings(run: RunFolder, backend: str) -> StoredSettings:
    """Return what is kept, whoever wrote it; nothing where it cannot be read."""
    try:
        return msgspec.convert(run.courier(backend).read_settings(), StoredSettings)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return StoredSettings()


def is_own(run: RunFolder, run_id: str, backend: str, stored: StoredSettings | None = None) -> bool:
    """Tell whether this installation wrote a run's settings for a backend."""
    stored = stored or read_settings(run, backend)
    return key.is_signed(stored.seal, *_parts(stored, run_id, backend))


def places_in(backend: str, stored: StoredSettings) -> list[str]:
    """Return the places that a run's settings for a backend name."""
    found = _places_in(registry.load(backend).settings_type, stored)
    return [trust.place_of(value, backend) for _, value in found]


def _of_a_foreign(
    run: RunFolder, backend: str, stored: StoredSettings, trusted: list[str]
) -> Settings:
    """Return the settings of who delivers, with what is trusted of the folder's places."""
    settings_type = registry.load(backend).settings_type
    named = _named(load(settings_type))
    theirs = {
        variable.field: value
        for variable, value in _places_in(settings_type, stored)
        if variable.env.place not in named
    }
    places = {trust.place_of(value, backend) for value in theirs.values()}
    if unknown := sorted(place for place in places if not trust.is_covered(place, trusted)):
        raise _untrusted(run, backend, settings_type, unknown)
    settings = load(settings_type, saved=theirs)
    access = settings.access()
    if access.address and not access.key and not _named(settings) & ADDRESSES:
        remedy = access.remedy or f"Set {_variables(settings_type)}."
        raise Parked(f"nothing here names {access.address}, or has a key for it", remedy)
    return settings


def _named(settings: Settings) -> set[str]:
    """Return which kinds of places settings name."""
    return {
        variable.env.place
        for variable in _places(type(settings))
        if getattr(settings, variable.field) != variable.default
    }


def _places_in(
    settings_type: type[Settings], stored: StoredSettings
) -> Iterator[tuple[Variable, str]]:
    values = stored.environment | stored.arguments
    for variable in _places(settings_type):
        value = values.get(variable.field)
        if isinstance(value, str) and value != variable.default:
            yield variable, value


def _untrusted(
    run: RunFolder, backend: str, settings_type: type[Settings], places: list[str]
) -> UntrustedError:
    where = " and ".join(places)
    words = " ".join(map(shlex.quote, places))
    return UntrustedError(
        places,
        f"{run.path} was written by somebody else, or elsewhere, and names {where} for {backend}, "
        f"which nothing here does",
        f"To deliver there, type: multitrack trust {words}; "
        f"to deliver elsewhere, set {_variables(settings_type)}; "
        f"if the run is yours, type: multitrack trust {shlex.quote(str(run.path))}",
    )


def _variables(settings_type: type[Settings]) -> str:
    return " or ".join(variable.env.name for variable in _places(settings_type))


def _places(settings_type: type[Settings]) -> list[Variable]:
    return [variable for variable in variables(settings_type) if variable.env.place]


def _parts(stored: StoredSettings, run_id: str, backend: str) -> tuple[Any, ...]:
    return (_PURPOSE, run_id, backend, stored.arguments, stored.environment)
