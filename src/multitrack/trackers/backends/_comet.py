"""How Comet's client is started, watched and left."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.bounded import call_within
from multitrack.trackers.protocol import (
    Parked,
    Restart,
    Retry,
    TrackerError,
    classify_by_default,
)

if TYPE_CHECKING:
    from comet_ml import CometExperiment

HOST = "https://www.comet.com"
"""The client's own default."""
LOGIN = "Set COMET_API_KEY to your key, or COMET_START_ONLINE to false."
LONGEST_NAME, LONGEST_VALUE = 100, 1000
"""Characters behind which the client cuts."""
QUIET = {
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_LOGGING_CONSOLE": "ERROR",
    "COMET_ERROR_TRACKING_ENABLE": "false",
}
"""Variables, where the user set none: patch no libraries, say errors only, report them nowhere."""
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_FAILURE = re.compile(r"\b(?:fail|error sending)", re.IGNORECASE)
_FOR_EVER = re.compile(r"\b(?:got |status code |failed \()4(?!0[1238]|29)\d\d\b")
"""What the server refuses of anybody: not for want of a key, a right or money, nor for now."""
_NO_DATA = "Error sending a notification"


class Failures(logging.Handler):
    """What the client could not send: it says so in its log, and nowhere else.

    Args:
        level: of the messages that count.
    """

    def __init__(self, level: int = logging.ERROR) -> None:
        super().__init__(level)
        self._first: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Note the first message that tells of data that may go through later."""
        message = record.getMessage()
        is_about_data = _FAILURE.search(message) and not message.startswith(_NO_DATA)
        if is_about_data and not _FOR_EVER.search(message):
            self._first = self._first or message

    def check(self) -> None:
        """Raise if something was not sent.

        Raises:
            Restart: the client has let go of it.
        """
        if self._first:
            raise Restart(f"Comet's client could not send all of it: {self._first}")


@contextmanager
def watched() -> Iterator[Failures]:
    """Watch the client's log."""
    failures = Failures()
    logger = logging.getLogger("comet_ml")
    logger.addHandler(failures)
    try:
        yield failures
    finally:
        logger.removeHandler(failures)


def start_experiment(
    url: str | None, config: dict[str, Any], *, timeout: float, **given: Any
) -> CometExperiment:
    """Start an experiment beside the one that the process may have; it is no global one.

    Args:
        url: address of the server, if it is another one.
        config: of the experiment.
        timeout: seconds that it may take.
        **given: passed on.

    Raises:
        TimeoutError: it took longer.
    """
    variables: dict[str, str | None] = {name: os.environ.get(name, QUIET[name]) for name in QUIET}
    if url:
        variables["COMET_URL_OVERRIDE"] = url
    with undisturbed(variables):
        return call_within(timeout, _start_beside, config, given)


def _start_beside(config: dict[str, Any], given: dict[str, Any]) -> CometExperiment:
    import comet_ml

    client: Any = comet_ml.config  # whose functions have no types
    foreign = client.get_global_experiment()
    client.set_global_experiment(None)  # it would be ended
    try:
        return comet_ml.start(experiment_config=_only_what_is_logged(config), **given)
    finally:
        client.set_global_experiment(foreign)


def _only_what_is_logged(config: dict[str, Any]) -> Any:
    """Return a configuration in which the client logs nothing by itself."""
    import comet_ml

    names = [
        "log_code",
        "log_graph",
        "parse_args",
        "log_git_metadata",
        "log_git_patch",
        "log_env_details",
        "auto_output_logging",
        "auto_param_logging",
        "auto_metric_logging",
        "auto_log_co2",
    ]
    off: dict[str, Any] = dict.fromkeys(names, False)
    return comet_ml.ExperimentConfig(display_summary_level=0, **off, **config)


def check_connection(experiment: CometExperiment) -> None:
    """Raise if the client has lost its server.

    It then keeps what is logged, and what it could not send, for later, of which it says nothing.

    Raises:
        Restart: it has.
    """
    streamer: Any = experiment.streamer
    if not streamer.has_connection_to_server():
        raise Restart("Comet's server does not answer")


def shorten(name: str) -> tuple[str, str | None]:
    """Return a name that the client does not cut, and what tells it from others if it was cut.

    >>> shorten("loss")
    ('loss', None)
    """
    if len(name) <= LONGEST_NAME:
        return name, None
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[:80]}…{digest}", digest


def name_error(error: Exception) -> TrackerError:
    """Tell a missing or wrong key from a server that is away, and from what it refuses."""
    from comet_ml.exceptions import CometRestApiException, InvalidAPIKey

    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, InvalidAPIKey) or "API key" in reason:
        return Parked(reason, LOGIN)
    if isinstance(error, CometRestApiException):
        status = error.response.status_code
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return Parked(reason, LOGIN)
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Retry(reason)
    return classify_by_default(error)
