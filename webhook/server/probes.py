"""A second, plain port for probes and metrics: what the kubelet and Prometheus read.

It runs in threads of the serving process, so it tells of that process and shares its counters.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from webhook.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

MAX_CONNECTIONS = 32
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_STALL, _WHOLE = 5.0, 10.0
"""Seconds that a read, and that a connection as a whole, may take: as many clients that drip as
there are places would otherwise keep the kubelet's probes out."""


class _Handler(WSGIRequestHandler):
    timeout = _STALL

    def handle(self) -> None:
        """Answer, or be cut off."""
        end = threading.Timer(_WHOLE, self._cut)
        end.daemon = True
        end.start()
        try:
            super().handle()
        except OSError:
            pass  # cut off, or gone by itself
        finally:
            end.cancel()

    def _cut(self) -> None:
        with suppress(OSError):  # it may have ended just now
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
        """Probes are not worth a line."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, app: WSGIApplication) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(app)
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Refuses connections past the bound; ``shutdown_request`` closes them."""
        return self._places.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


def probe_app(
    *,
    dead: Callable[[], str | None],
    missing: Callable[[], str | None],
    exposition: Callable[[], bytes],
) -> WSGIApplication:
    """``/healthz``, ``/readyz`` and ``/metrics`` of a process that serves nothing else.

    Args:
        dead: what does not live any more; None: all is well.
        missing: why it is not ready; None: it is.
        exposition: the metrics.
    """

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE)])
            return [exposition()]
        asked = {"/healthz": dead, "/readyz": missing}.get(path)
        if asked is None:
            start_response("404 Not Found", [_TEXT])
            return [b"there are /healthz, /readyz and /metrics\n"]
        wrong = asked()
        start_response("200 OK" if wrong is None else "503 Service Unavailable", [_TEXT])
        return [f"{wrong or 'ok'}\n".encode()]

    return app


def serve_probes(listener: socket.socket, app: WSGIApplication) -> None:
    """Answer GET and HEAD on a bound and listening socket, in a thread, for good."""
    server = _Server(listener, _reading_only(app))
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


def _reading_only(app: WSGIApplication) -> WSGIApplication:
    def filtered(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return app(environ, start_response)
        start_response("405 Method Not Allowed", [("Content-Type", "text/plain")])
        return [b"reviews are answered on the other port, over TLS\n"]

    return filtered
