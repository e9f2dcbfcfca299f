"""Who may ask, and what every answer says to the browser.

The server listens on the loopback only, yet every user of the machine and every page of a
browser can reach that: the token tells who may, and the Host header that no foreign name
resolves to us.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' blob: data:; media-src 'self'; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
"""Of every answer that does not say otherwise itself."""


class Guard:
    """Let through what our own page asks, and refuse everything else.

    Args:
        application: what answers.
        port: the port that we listen on.
        token: what whoever asks has to know; a new one by default.
    """

    def __init__(self, application: Application, port: int, token: str | None = None) -> None:
        self._application = application
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._cookie = f"multitrack-view-{port}"
        self._tickets: set[str] = set()
        self.token = token or secrets.token_urlsafe(32)

    def ticket(self) -> str:
        """Return what opens the page once, in place of the token.

        A browser gets it in its command line, which others on this machine can read.
        """
        ticket = secrets.token_urlsafe(32)
        self._tickets.add(ticket)
        return ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        refusal = self._refuse(scope)
        await (refusal or self._application)(scope, receive, _with_headers(send))

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return error(
                421, "This is not the address of multitrack view: open the one it printed."
            )
        if scope["method"] not in {"GET", "HEAD"}:
            return error(405, "multitrack view only shows: use GET or HEAD.")
        if given := parse_qs(scope["query_string"].decode("latin-1")).get("token", []):
            return self._exchange(given[0]) if scope["path"] == "/" else _not_here()
        if self._knows_token(headers):
            return None
        return error(
            401,
            "Open the address that multitrack view printed, with its token, or send the token as "
            "'Authorization: Bearer TOKEN'.",
        )

    def _exchange(self, given: str) -> Response:
        """Take the token out of the address, where histories and screens show it."""
        is_ticket = given in self._tickets
        self._tickets.discard(given)
        if not is_ticket and not _equal(given, self.token):
            return error(
                401, "This token is not, or no longer, valid: multitrack view printed one."
            )
        answer = Response(status_code=303, headers={"Location": "/", "Cache-Control": "no-store"})
        answer.set_cookie(self._cookie, self.token, httponly=True, samesite="strict")
        return answer

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), self.token):
            return True
        cookies = cookie_parser(headers.get("cookie", ""))
        return _equal(cookies.get(self._cookie, ""), self.token)


def error(status: int, sentence: str) -> Response:
    """Return an answer that says what is wrong."""
    content = msgspec.json.encode({"error": sentence})
    return Response(content, status, media_type="application/json")


def _not_here() -> Response:
    return error(400, "The token opens '/': elsewhere send it as 'Authorization: Bearer TOKEN'.")


def _equal(given: str, known: str) -> bool:
    return secrets.compare_digest(given.encode(), known.encode())


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
