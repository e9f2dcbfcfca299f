"""What an exception of MLflow's client means for the delivery."""

from __future__ import annotations

import errno
from typing import Any

from multitrack.trackers.protocol import (
    Gone,
    Parked,
    Refused,
    Retry,
    TrackerError,
)
from multitrack.trackers.redact import redact_text

_DENIED = {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "QUOTA_EXCEEDED"}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND"}
_PASSING = {
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_CONFLICT",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
}
_UNFIT_PATH = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
"""What a file says whose name cannot be had: no repetition helps."""

_HAS_IT = ("UNIQUE constraint", "unique constraint", "Duplicate entry", "PRIMARY KEY constraint")
"""How SQLite, PostgreSQL, MySQL and SQL Server say that a row is there."""

SIGN_IN = (
    "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for a "
    "user who may write to the experiment."
)
_LOOK_THERE = (
    "Check that MLFLOW_TRACKING_URI names the store that holds it, and MLFLOW_EXPERIMENT_ID and "
    "MLFLOW_RUN_ID what is there."
)
_RESTORE = "Restore it: mlflow runs restore --run-id ID, or mlflow experiments restore -x ID."
_WRITE_ACCESS = "Give the user who trains write access to the store, or choose another one."
_TRUST = "Set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of the server's authority."


def name_error(error: BaseException) -> TrackerError:
    """Name an exception that MLflow's client, or that of an artifact store, raised."""
    if isinstance(error, TrackerError):
        return error
    reason = redact_text(" ".join(f"{type(error).__name__}: {error}".split()))[:500]
    if code := getattr(error, "error_code", None):
        return _name_code(code, error, reason)
    if (response := getattr(error, "response", None)) is not None:
        return _name_response(response, reason)
    return _name_type(error, reason)


def stands_already(error: BaseException) -> bool:
    """Tell whether a database did not take a row because it has it."""
    return any(words in str(error) for words in _HAS_IT)


def _name_code(code: str, error: BaseException, reason: str) -> TrackerError:
    """Name an ``MlflowException`` by its error code."""
    if code in _DENIED:
        return Parked(reason, SIGN_IN)
    if code in _MISSING:
        return Gone(reason, _LOOK_THERE)
    if "'active' state" in reason:
        return Gone(reason, _RESTORE)
    if code == "INTERNAL_ERROR":
        return _name_internal(error, reason)
    return Retry(reason) if code in _PASSING else Refused(reason)


def _name_internal(error: BaseException, reason: str) -> TrackerError:
    """Name what the client calls internal: servers that fail or are out of reach, and the rest.

    What the client itself found wrong stays wrong, however often it is repeated.
    """
    if "valid JSON format" in reason:
        return Parked(reason, _LOOK_THERE)
    if isinstance(error.__context__, OSError):
        return name_error(error.__context__)
    is_answer = type(error).__name__ == "RestException" or "API request to" in str(error)
    return Retry(reason) if is_answer else Refused(reason)


def _name_response(response: Any, reason: str) -> TrackerError:
    """Name the answer of a server that takes artifacts."""
    status = response.status_code
    if status in {401, 403}:
        return Parked(reason, SIGN_IN)
    if status in {408, 429} or status >= 500:  # noqa: PLR2004 - HTTP's words for "later"
        return Retry(reason)
    return Refused(reason)


def _name_type(error: BaseException, reason: str) -> TrackerError:
    """Name an exception of the system, or of the client of a database or an artifact store."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Parked(reason, _TRUST)
    if isinstance(error, PermissionError):
        return Parked(reason, _WRITE_ACCESS)
    if isinstance(error, FileNotFoundError | ValueError):
        return Refused(reason)
    if isinstance(error, OSError):
        return Refused(reason) if error.errno in _UNFIT_PATH else Retry(reason)
    return Retry(reason) if _has_no_connection(error) else Refused(reason)


def _has_no_connection(error: BaseException) -> bool:
    """Tell by the names of its classes, which need not be installed here."""
    names = " ".join(base.__name__ for base in type(error).__mro__)
    return any(word in names for word in ("Connect", "Timeout", "OperationalError"))
