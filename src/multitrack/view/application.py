"""The addresses of `multitrack view`, and what each answers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from multitrack.trackers.history import UnreadableRunError
from multitrack.trackers.records import StagedFile, spelled
from multitrack.view.details import details
from multitrack.view.guard import error
from multitrack.view.library import Library, UnknownRunError
from multitrack.view.media import entries
from multitrack.view.places import OTHER, is_there, type_of
from multitrack.view.queries import BadQueryError, page_of, wanted_curves
from multitrack.view.series import curve

STATIC = Path(__file__).with_name("static")
READING = 0.3
"""Seconds that one answer spends on reading journals, before it says what is known so far."""
FILE_HEADERS = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
Endpoint: TypeAlias = Callable[[Request], Response]


def make_application(directory: Path) -> Starlette:
    """Return what answers for the runs of a directory; a `Guard` has to stand before it."""
    answers = Answers(Library(directory))
    run = "/api/runs/{run_id}"
    return Starlette(
        routes=[
            Route("/api/runs", _mended(answers.runs)),
            Route(run, _mended(answers.run)),
            Route("/api/series", _mended(answers.series)),
            Route(f"{run}/media", _mended(answers.media)),
            Route(f"{run}/files/{{path:path}}", _mended(answers.file)),
            Route("/api/{path:path}", _nothing),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ]
    )


class Answers:
    """What the addresses answer.

    Args:
        library: the runs.
    """

    def __init__(self, library: Library) -> None:
        self._library = library

    def runs(self, request: Request) -> Response:
        """Return which runs there are, and the rows that are new since a version of the table."""
        since = request.query_params.get("since", "")
        table = self._library.table(since)
        if table.version == since and not table.is_reading:
            return Response(status_code=204)
        told = {
            "dir": str(self._library.directory),
            "version": table.version,
            "reading": table.is_reading,
            "ids": table.ids,
            "runs": [msgspec.Raw(body) for body in table.bodies],
        }
        return _json(msgspec.json.encode(told))

    def run(self, request: Request) -> Response:
        """Return all about one run, or what is known of it after a while of reading."""
        until = time.monotonic() + READING
        with self._library.open(request.path_params["run_id"], until) as recorded:
            found = details(recorded)
        return _unless_known(request, msgspec.json.encode(spelled(found)))

    def series(self, request: Request) -> Response:
        """Return the curves of some metrics of some runs, as far as they were read in a while."""
        runs, names, wanted = wanted_curves(request.query_params)
        until = time.monotonic() + READING
        found, parts = [], []
        for run_id in runs:
            with self._library.open(run_id, until) as recorded:
                parts.append(1.0 if recorded.reading is None else recorded.reading)
                known = recorded.metrics()
                found += [
                    {"run": run_id, "name": name, **curve(recorded, name, wanted)}
                    for name in names
                    if name in known
                ]
        reading = None if min(parts) == 1 else sum(parts) / len(parts)
        told = {"series": found, "reading": reading}
        return _json(msgspec.json.encode(told))  # what is not finite becomes null

    def media(self, request: Request) -> Response:
        """Return what was logged beside numbers under one name."""
        kind, name, offset, limit = page_of(request.query_params)
        with self._library.open(request.path_params["run_id"]) as recorded:
            found = entries(recorded, kind, name, offset=offset, limit=limit)
            total = len(recorded.spans.get((kind, name), ()))
        return _json(msgspec.json.encode(spelled({"entries": found, "total": total})))

    def file(self, request: Request) -> Response:
        """Return a staged file: shown if nothing in it can run, else offered for download."""
        path = request.path_params["path"]
        with self._library.open(request.path_params["run_id"]) as recorded:
            name, folder = recorded.staged.get(path), recorded.folder
        if name is None:
            return error(404, f"no record of the run names a file {path!r}")
        file = StagedFile(path=path, name=name, size=0)
        if not is_there(folder, file):
            return error(404, f"{path!r} is not in the run's folder (any more)")
        return FileResponse(
            folder.path / path,
            headers=FILE_HEADERS,
            media_type=type_of(file),
            filename=Path(name).name,
            content_disposition_type="attachment" if type_of(file) == OTHER else "inline",
        )


def _mended(answer: Endpoint) -> Endpoint:
    """Turn what a request or a run's folder got wrong into an answer that says it."""

    @wraps(answer)
    def mended(request: Request) -> Response:
        try:
            return answer(request)
        except BadQueryError as found:
            return error(400, str(found))
        except (UnknownRunError, UnreadableRunError, OSError) as found:
            return error(404, str(found))

    return mended


def _nothing(request: Request) -> Response:
    return error(404, f"there is nothing at {request.url.path}")


def _unless_known(request: Request, content: bytes) -> Response:
    """Return content, unless the browser says that it has it."""
    tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    if tag in _tags(request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers={"ETag": tag})
    return _json(content, {"ETag": tag})


def _tags(headers: Iterable[str]) -> set[str]:
    return {tag.strip().removeprefix("W/") for header in headers for tag in header.split(",")}


def _json(content: bytes, headers: dict[str, Any] | None = None) -> Response:
    return Response(content, headers=headers, media_type="application/json")
