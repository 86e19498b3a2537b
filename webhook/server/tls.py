"""TLS that a slow client cannot stop and that takes a new certificate without a restart.

Gunicorn's gthread reads each request in one of its threads, with no time limit of its own: as
many half-open connections as there are threads would stop it for ever. And it builds an
``SSLContext`` for every connection. Its ``ssl_context`` hook is where both are put right.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

STALL = 5.0
"""Seconds a handshake, or one read or write, may take."""
REQUEST = 10.0
"""Seconds in which a request must have come whole, so that dripping does not help either."""


class TimedSSLSocket(ssl.SSLSocket):
    """A server's connection with a time limit on everything that the client can delay."""

    _until = float("inf")

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - socket's signature
        """Gunicorn calls this with True before it reads a further request in a thread."""
        if flag:
            self._until = time.monotonic() + REQUEST
        self.settimeout(STALL if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's signature
        """The limit holds for the handshake as a whole; the first request follows it."""
        self._until = time.monotonic() + REQUEST
        self.settimeout(STALL)
        super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read on, as long as the request has time left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not come in time")
        if self.gettimeout() != 0.0:
            self.settimeout(min(STALL, left))
        return super().recv(buflen, flags)

    def shutdown(self, how: int) -> None:  # noqa: ARG002 - socket's signature
        """Refused, so that gunicorn just closes.

        It would wait up to two seconds for the client's end of the connection, in the one
        thread that accepts all others.
        """
        raise OSError("closing without lingering")


class ReloadingContext:
    """A server context that is built anew when the certificate's files change.

    While a new pair cannot be used (half written, key and certificate of different pairs), the
    old one serves on.
    """

    def __init__(self, cert: Path, key: Path, warn: Callable[[str], None]) -> None:
        self.cert, self.key, self._warn = cert, key, warn
        self._stamp = _stamp(cert, key)
        self._context = _context(cert, key)

    def current(self) -> ssl.SSLContext:
        """The context to serve the next connection with."""
        try:
            stamp = _stamp(self.cert, self.key)
            if stamp != self._stamp:
                self._stamp = stamp  # what cannot be used is tried, and told of, once
                self._context = _context(self.cert, self.key)
        except OSError as error:  # ssl.SSLError is one
            self._warn(f"{self.cert}: keeping the certificate loaded before: {error}")
        return self._context


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TimedSSLSocket
    context.load_cert_chain(cert, key)
    return context


def _stamp(*files: Path) -> tuple[tuple[int, int, int], ...]:
    stats = [file.stat() for file in files]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)
