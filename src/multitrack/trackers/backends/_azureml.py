"""How Azure ML's client finds the run of a job, what it takes, and what its errors mean."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.names import component, escape, unescape
from multitrack.trackers.protocol import Parked, Refused, Retry, TrackerError, classify_by_default
from multitrack.trackers.records import Number, Scalar

if TYPE_CHECKING:
    from azureml.core import Run

LONGEST_NAME, LONGEST_TEXT, LONGEST_NOTES = 255, 1000, 5000
"""Characters that the service takes of a metric's name, a tag's value and a run's description."""
OURS = "multitrack/"
"""Where tags and properties of ours stand."""
RUN_ID = f"{OURS}run_id"
"""The property that says which run a run of the service holds; properties never change."""
SUMMARY, NON_FINITE = "summary/", "non_finite/"
"""Where metrics stand that are no points, and numbers that the service's JSON cannot hold."""
REMEDY = "Deliver from within a submitted Azure ML job; its AZUREML_ variables say where to."
_FAILED = re.compile(
    r'Failed to post metric with name (.*?) due to the following error "(.*)"', re.DOTALL
)
_FORBIDDEN, _PASSING, _WRONG = {401, 403}, {408, 429}, range(400, 500)
_TRANSPORT = ("azure.core", "msrest", "requests", "urllib3")
"""Where the client's errors come from when no answer came."""


def job_run(variables: Mapping[str, str | None]) -> Run:
    """Return the submitted run that environment variables tell of.

    The object is a fresh one: the client shares its own among all that ask for it, with the
    points that it could not send.

    Args:
        variables: what to set or hide in the environment meanwhile.

    Raises:
        Parked: there is no submitted run; the client's offline run stores nothing.
    """
    with undisturbed(variables):
        from azureml.core import Run
        from azureml.exceptions import RunEnvironmentException

        try:
            found = Run.get_context(allow_offline=False)
        except RunEnvironmentException:
            raise Parked("there is no submitted run here", REMEDY) from None
        except Exception as error:
            if type(error).__module__.startswith("jwt"):
                raise Parked(f"AZUREML_RUN_TOKEN is no token: {error}", REMEDY) from error
            raise
    return attached(found, found.id)


def attached(near: Run, run_id: str) -> Run:
    """Return a run of the experiment that another one belongs to."""
    from azureml.core import Run

    return Run(near.experiment, run_id)


def metric(name: str, value: Number) -> tuple[str, float | str]:
    """Return name and value of a metric as the service takes them: one type for each name.

    >>> metric("hits@10", 1), metric("loss", float("nan"))
    (('hits_x40_10', 1.0), ('non_finite/loss', 'nan'))
    """
    number, safe = (
        float(value),
        escape(name, lambda c: (c.isascii() and c.isalnum()) or c in "_-. /"),
    )
    safe = _apart(safe, SUMMARY, NON_FINITE)
    return (safe, number) if math.isfinite(number) else (NON_FINITE + safe, str(number))


def tag(name: str) -> str:
    """Return a user's tag as the service keeps it, apart from ours.

    >>> tag("team"), tag("multitrack/status")
    ('team', '_x6d_ultitrack/status')
    """
    return _apart(escape(name, lambda _: True), OURS)


def _apart(name: str, *ours: str) -> str:
    return f"_x{ord(name[0]):x}_{name[1:]}" if name.startswith(ours) else name


def shorten(name: str) -> tuple[str, str | None]:
    """Return a name that the service takes, and its digest if it was cut.

    >>> shorten("loss")
    ('loss', None)
    """
    if len(name) <= LONGEST_NAME:
        return name, None
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[:200]}-{digest}", digest


def cut(text: Scalar, limit: int) -> str:
    """Return the beginning of a text that is too long, with a mark; the whole is kept as file.

    >>> cut("x" * 1200, 1000)[-2:]
    'x…'
    """
    whole = str(text)
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


def path(name: str) -> str:
    """Return a name as path of a file; it leads nowhere but down.

    Raises:
        Refused: the name is too long for one.

    >>> path("samples/1.txt"), path("../a"), path("/a")
    ('samples/1.txt', '_x2e__x2e_/a', '_x2f_a')
    """
    parts = name.split("/")
    found = "/".join(map(component, parts)) if all(parts) else component(name)
    if unescape(found) != name:
        raise Refused("a part of a name that becomes a path may have 200 bytes")
    return found


class Failures(logging.Handler):
    """The points that the service did not take: the client says so in its log, nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._parts: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note a message that names a metric."""
        if found := _FAILED.search(record.getMessage()):
            self._parts[unescape(found[1].removeprefix(NON_FINITE))] = found[2]

    def check(self) -> None:
        """Refuse what was noted since the last time.

        Raises:
            Refused: of some metrics the service did not take all points.
        """
        parts, self._parts = self._parts, {}
        if parts:
            raise Refused("; ".join(f"{k}: {why}" for k, why in parts.items()), parts=parts)


@contextmanager
def watched() -> Iterator[Failures]:
    """Watch the client's log."""
    failures, logger = Failures(), logging.getLogger("azureml")
    logger.addHandler(failures)
    try:
        yield failures
    finally:
        logger.removeHandler(failures)


def is_final(error: Exception) -> bool:
    """Tell whether the service has answered that it will never take a request."""
    status: Any = getattr(error, "status_code", None)
    return isinstance(status, int) and status in _WRONG and status not in _PASSING


def name_error(error: Exception) -> TrackerError:
    """Tell a token that no longer counts, and a request that is wrong, from a service away."""
    reason = f"{type(error).__name__}: {_words(error)}"
    if getattr(error, "status_code", None) in _FORBIDDEN:
        return Parked(reason, REMEDY)
    if is_final(error):
        return Refused(reason)
    if hasattr(error, "status_code") or type(error).__module__.startswith(_TRANSPORT):
        return Retry(reason)
    return classify_by_default(error)


def _words(error: Exception) -> str:
    try:
        return str(error)
    except TypeError:  # the client's own, where the service gave no details
        return str(getattr(error, "message", "")) or "no details"
