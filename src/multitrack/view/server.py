"""Serve the page on this machine's loopback, until Ctrl-C."""

from __future__ import annotations

import errno
import gc
import socket
from contextlib import suppress
from pathlib import Path

import uvicorn

from multitrack.view.application import make_application
from multitrack.view.guard import Guard

YOUNG = 20_000
"""Objects that may be new before garbage is looked for. While records of a journal are read and let
go, a look finds nothing, and every few goes through the whole table: half of the time."""
HOST = "127.0.0.1"
PORT = 7700
"""Where the page is, unless that port is taken or another is asked for."""
TRIES = 20
"""Ports that are tried, from `PORT` on."""
MOST_REQUESTS = 64
"""Requests at once; a browser has six."""


class PortTakenError(OSError):
    """Another process listens there."""


class Server:
    """The page over a directory of runs; it listens once it is made.

    Args:
        directory: where the runs are; it may be made later.
        port: where to listen, 0 for any; None for `PORT` or one of the next that is free.

    Raises:
        PortTakenError: another process listens on the port.

    Example:
        >>> server = Server(Path("multitrack"), port=0)
        >>> server.url
        'http://127.0.0.1:41725/?token=…'
        >>> server.run()
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self._guard = Guard(make_application(directory), self.port)
        self.url = self._address(self._guard.token)

    def address_once(self) -> str:
        """Return an address that opens the page once, to be shown to a browser."""
        return self._address(self._guard.ticket())

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after what was going on has ended.
        """
        config = uvicorn.Config(
            self._guard,
            lifespan="off",
            ws="none",
            interface="asgi3",
            log_level="warning",
            access_log=False,  # it would hold the token
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_REQUESTS,
            timeout_graceful_shutdown=1,
        )
        gc.set_threshold(YOUNG)
        uvicorn.Server(config).run(sockets=[self._socket])

    def _address(self, token: str) -> str:
        return f"http://{HOST}:{self.port}/?token={token}"


def _listen(port: int | None) -> socket.socket:
    if port is not None:
        return _bind(port)
    for tried in range(PORT, PORT + TRIES):
        with suppress(PortTakenError):
            return _bind(tried)
    return _bind(0)


def _bind(port: int) -> socket.socket:
    tcp = socket.IPPROTO_TCP  # said, so that asyncio sends answers without delay
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, tcp)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {port} is taken: name another with --port, or 0 for any that is free"
            ) from None
        raise
    return listening
