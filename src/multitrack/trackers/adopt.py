"""A run's folder taken for one's own: what it says is signed, as it stands, with the user's key."""

from __future__ import annotations

import msgspec

from multitrack.trackers.courier import read_header, sign_attachment
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.kept import StoredSettings, places_in, read_settings, sign_settings
from multitrack.trackers.locks import FileLock
from multitrack.trackers.origin import write_origin


def adopt(run: RunFolder) -> None:
    """Sign what a run's folder says of places, as if it had been recorded here and now.

    What somebody changes afterwards is no longer signed.

    Raises:
        ValueError: the journal does not begin with a header.
        LockedError: a process writes to the run, or delivers it.
        OSError: the folder cannot be written.
    """
    run_id = read_header(run).run_id
    with FileLock(run.writer_lock):
        write_origin(run, run_id)
        for courier in run.couriers():
            with FileLock(courier.lock):
                stored = read_settings(run, courier.backend)
                sign_settings(run, run_id, courier.backend, stored)
                state = courier.read_state()
                sign_attachment(state, run_id, courier.backend)
                courier.write_state(state)


def disown(run: RunFolder) -> None:
    """Take the signatures away again: the run is then somebody else's.

    Raises:
        LockedError: a process writes to the run, or delivers it.
        OSError: the folder cannot be written.
    """
    with FileLock(run.writer_lock):
        run.origin.unlink(missing_ok=True)
        for courier in run.couriers():
            with FileLock(courier.lock):
                stored = read_settings(run, courier.backend)
                unsigned = msgspec.structs.replace(stored, seal="")
                courier.write_settings(msgspec.to_builtins(unsigned))
                state = courier.read_state()
                state.seal = None
                courier.write_state(state)


def places_of(run: RunFolder) -> list[tuple[str, str]]:
    """Return the backends of a run, each with a place that its settings or its state name."""
    found: list[tuple[str, str]] = []
    for courier in run.couriers():
        stored = read_settings(run, courier.backend)
        places = _places_in(courier.backend, stored)
        attachment = courier.read_state().attachment
        if attachment:
            places += [text for text in (attachment.id, *_texts(attachment.state)) if text]
        found += [(courier.backend, place) for place in dict.fromkeys(places)]
    return found


def _places_in(backend: str, stored: StoredSettings) -> list[str]:
    try:
        return places_in(backend, stored)
    except (ImportError, TypeError, ValueError):  # a backend that is not installed here
        return [str(value) for value in (stored.environment | stored.arguments).values()]


def _texts(value: object) -> list[str]:
    """Return all texts of a tree."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []
