"""What stands before the application: who may ask, whether to come here, when to go elsewhere.

Works while the application is still being built, and while the replica is ending.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from webhook.judge.message import clean
from webhook.server.app import LARGE
from webhook.server.ending import Ending
from webhook.server.log import Log

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

_MAX_NAME = 253


class Front:
    """A WSGI application around the one that is built later.

    Args:
        ending: whether the lame duck has begun.
        certificate: None when there is one, else what is missing.
        clients: names of which a client's certificate must have one; empty: any will do.
        log: for who was refused.
    """

    def __init__(
        self,
        ending: Ending,
        *,
        certificate: Callable[[], str | None],
        clients: Collection[str],
        log: Log,
    ) -> None:
        self._ending, self._certificate, self._log = ending, certificate, log
        self._clients = frozenset(clients)
        self._app: WSGIApplication | None = None
        self._thread = threading.local()

    def built(self, app: WSGIApplication) -> None:
        """From now on, ``app`` answers."""
        self._app = app

    def keep(self, _worker: object, request: Any) -> None:
        """Gunicorn's ``pre_request``: in the thread that answers, just before.

        Gunicorn drops a ``Connection`` header of the application; its request has the method.
        """
        self._thread.request = request

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer on the port of reviews."""
        start = partial(self._start, start_response, closes=_large(environ))
        if environ["PATH_INFO"] == "/validate":
            self._ending.asked()
        refusal = self._refusal(environ.get("gunicorn.socket"))
        if refusal is not None:
            self._log.warning("request refused", status=403, detail=refusal)
            return _text(start, "403 Forbidden", refusal)
        return self.plain(environ, start)

    def plain(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer on the second port."""
        path = environ["PATH_INFO"]
        if path == "/readyz" and (missing := self._missing()) is not None:
            return _text(start_response, "503 Service Unavailable", missing)
        if self._app is not None:
            return self._app(environ, start_response)
        status = "200 OK" if path == "/healthz" else "503 Service Unavailable"
        return _text(start_response, status, "starting")

    def _missing(self) -> str | None:
        if self._ending.begun:
            return "stopping"
        return "starting" if self._app is None else self._certificate()

    def _start(self, start_response: StartResponse, *answer: Any, closes: bool) -> Any:
        """Asked as late as can be: of a review under way when the end begins, too."""
        if closes or self._ending.begun:
            self._thread.request.force_close()
        return start_response(*answer)

    def _refusal(self, connection: object) -> str | None:
        if not self._clients:
            return None
        certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        names = names_of(certificate or {})
        if not self._clients.isdisjoint(names):
            return None
        told = clean(", ".join(names), _MAX_NAME) or "no name"
        return f"the client's certificate is for {told}: not one of --client-name"


def _large(environ: Mapping[str, Any]) -> bool:
    """Whether its body may be left unread: then no thread waits for it, and the client is told."""
    length = environ.get("CONTENT_LENGTH") or "0"
    return "HTTP_TRANSFER_ENCODING" in environ or int(length) >= LARGE


def names_of(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """The common name and the alternative names of ``SSLSocket.getpeercert()``."""
    parts = [part for name in certificate.get("subject", ()) for part in name]
    common = [value for key, value in parts if key == "commonName"]
    return (*common, *(value for _, value in certificate.get("subjectAltName", ())))


def _text(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    length = str(len(body))
    kind = "text/plain; charset=utf-8"
    start_response(status, [("Content-Type", kind), ("Content-Length", length)])
    return [body]
