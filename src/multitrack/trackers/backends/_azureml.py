"""How Azure ML's client finds the run of a job, what it takes, and what its errors mean."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.names import component, escape, unescape
from multitrack.trackers.protocol import (
    Parked,
    Refused,
    Retry,
    RunInfo,
    TrackerError,
    classify_by_default,
)
from multitrack.trackers.records import Number, Scalar
from multitrack.trackers.redact import redact_text

if TYPE_CHECKING:
    from azureml.core import Run

LONGEST_NAME, LONGEST_TEXT, LONGEST_NOTES = 255, 1000, 5000
"""Characters that the service takes of a metric's name, a tag's value and a run's description."""
LONGEST_TAG, MOST_TAGS = 100, 50
"""Characters of a tag's name, and tags of a run."""
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
_FORBIDDEN, _PASSING, _WRONG = {401, 403}, {408, 409, 429}, range(400, 500)
_PASSING_WORDS = ("Resource Conflict", "flush task queue within")
"""What the client raises, without a status, where it sent a file twice or had not enough time.

Each try has paths of its own, so that what stands already was the client's own try before.
"""
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


def claimed(own: Run, run: RunInfo) -> str | None:
    """Return the id that somebody else wrote down, if that run is ours by what it says or is."""
    if run.claimed is None or run.claimed == f"{own.id}_{run.run_id}":
        return run.claimed
    try:
        says = attached(own, run.claimed).get_properties().get(RUN_ID)
    except Exception as error:
        if _status(error) in _WRONG:  # there is no such run in this experiment
            return None
        raise
    return run.claimed if says == run.run_id else None


def claim(own: Run, run_id: str) -> str | None:
    """Take the job's run for ours, and return whose it is: properties stay as they were first."""
    own.add_properties({RUN_ID: run_id})
    owner: str | None = own.get_properties().get(RUN_ID)
    return owner


def stop_timers(run: Run) -> None:
    """End the client's looks for points, once a second as long as the process lives."""
    metrics = run._client.metrics  # noqa: SLF001 - the client itself never ends them
    for queue in (metrics._task_queue_internal, metrics._task_queue_v2_internal):  # noqa: SLF001
        if queue is not None:
            queue._daemon.stop()  # noqa: SLF001


def forget_points(run: Run) -> None:
    """Free what the client keeps of each point for ever: some 300 bytes, which it never reads."""
    run._client.metrics._metricid_values_dict.clear()  # noqa: SLF001 - see above


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


def shown_tags(values: Mapping[str, Scalar], present: Mapping[str, str] | None) -> dict[str, str]:
    """Return tags as the service shows them, as far as there is room.

    Args:
        values: what the user set.
        present: the tags that the run has.

    >>> shown_tags({"team": "vision"}, {"multitrack/status": "running"})
    {'team': 'vision'}
    """
    present = present or {}
    texts = {shorten(tag(k), LONGEST_TAG)[0]: cut(v, LONGEST_TEXT) for k, v in values.items()}
    known = {name: text for name, text in texts.items() if name in present}
    new = {name: text for name, text in texts.items() if name not in present}
    return known | dict(islice(new.items(), max(0, MOST_TAGS - len(present))))


def _apart(name: str, *ours: str) -> str:
    return f"_x{ord(name[0]):x}_{name[1:]}" if name.startswith(ours) else name


def shorten(name: str, longest: int = LONGEST_NAME) -> tuple[str, str | None]:
    """Return a name that the service takes, and its digest if it was cut.

    >>> shorten("loss")
    ('loss', None)
    """
    if len(name) <= longest:
        return name, None
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: min(200, longest - 17)]}-{digest}", digest


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
def watched(run: Run) -> Iterator[Failures]:
    """Watch what the client logs of one run's metrics."""
    failures, logger = Failures(), run._client.metrics._logger  # noqa: SLF001 - names the run
    logger.addHandler(failures)
    try:
        yield failures
    finally:
        logger.removeHandler(failures)


def is_final(error: Exception) -> bool:
    """Tell whether the service has answered that it will never take a request."""
    status = _status(error)
    return status in _WRONG and status not in _PASSING | _FORBIDDEN


def name_error(error: Exception) -> TrackerError:
    """Tell a token that no longer counts, and a request that is wrong, from a service away."""
    if isinstance(error, TrackerError):
        return error
    status = _status(error)
    reason = f"{type(error).__name__}: {_words(error)}"
    if status in _FORBIDDEN:
        return Parked(reason, REMEDY)
    if is_final(error):
        return Refused(reason)
    is_transport = type(error).__module__.startswith(_TRANSPORT)
    if status or is_transport or any(words in reason for words in _PASSING_WORDS):
        return Retry(reason)
    return classify_by_default(error)


def _status(error: Exception) -> int:
    """Return the status of the service's answer, or 0; while it names one, the client may fail."""
    for one in (error, error.__context__):
        response = getattr(one, "response", None)
        status: Any = getattr(one, "status_code", None) or getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
    return 0


def _words(error: Exception) -> str:
    """Return what an error says, on one line: the client's own print half a page, or fail to."""
    words = getattr(error, "message", None) or str(error)
    return redact_text(" ".join(str(words).split()))[:500]
