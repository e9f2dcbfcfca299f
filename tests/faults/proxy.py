"""A proxy on loopback before a real server: it passes calls on, or makes trouble, as it is told."""

import contextlib
import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

DROPPED = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class Proxy:
    """Listens on a port of its own.

    Attributes:
        status: what every call is answered with; None passes it on.
        headers: of that answer.
        delay: seconds before each answer.
        poison: bytes; a call that holds them is answered with 400, as MLflow says it.
        calls: how many there were.
    """

    def __init__(self, upstream, **trouble):
        self.upstream = urlsplit(upstream)
        self.status, self.headers, self.delay, self.poison = None, {}, 0.0, None
        self.calls = 0
        vars(self).update(trouble)
        self._listen(0)

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        """Let nobody listen there: connections are refused."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def recover(self):
        """End all trouble, on the same port."""
        self.status, self.delay, self.poison = None, 0.0, None
        if self._server is None:
            self._listen(self.port)

    def _listen(self, port):
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, method, path, headers, body):
        """Return status, headers and body of a call."""
        self.calls += 1
        time.sleep(self.delay)
        if self.status:
            return self.status, self.headers, b"no"
        if self.poison and self.poison in body:
            words = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such thing here"}'
            return 400, {"Content-Type": "application/json"}, words
        with contextlib.closing(
            http.client.HTTPConnection(self.upstream.hostname, self.upstream.port, timeout=60)
        ) as connection:
            passed = {name: value for name, value in headers if name.lower() not in DROPPED}
            connection.request(method, path, body, passed)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()


def _handler(proxy):
    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = proxy.answer(
                self.command, self.path, self.headers.items(), body
            )
            with contextlib.suppress(OSError):  # whoever asked may have gone
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in DROPPED:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_):
            pass

    return Handler
