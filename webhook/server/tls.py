"""TLS that a slow client cannot stop and that takes a new certificate without a restart.

Gunicorn's gthread reads and writes in its threads, with no time limit of its own; what is left of
that (``webhook.server.worker``) gets one here. And it builds an ``SSLContext`` for every
connection. Its ``ssl_context`` hook is where both are put right.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable
from pathlib import Path

STALL = 5.0
"""Seconds that one read or write may take, in a thread."""
REQUEST = 10.0
"""Seconds in which a request, with the handshake before the first, must have come whole."""


class TimedSSLSocket(ssl.SSLSocket):
    """A server's connection with a time limit on everything that the client can delay."""

    _until = float("inf")

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - socket's signature
        """Gunicorn calls this with True before it reads a further request in a thread."""
        if flag:
            self._until = time.monotonic() + REQUEST
        self.settimeout(STALL if flag else 0.0)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read on, as long as the request has time left; where nothing is waited for, at once."""
        limit = self.gettimeout()
        if limit != 0.0:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the request did not come in time")
            self.settimeout(left if limit is None else min(limit, left))
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

    Args:
        cert: PEM file.
        key: PEM file.
        warn: told what cannot be used.
        client_ca: PEM file; clients must show a certificate that it vouches for.
        wait: there may be no usable files yet: until there are, connections are closed.

    Raises:
        OSError: the files cannot be used, and ``wait`` was not asked for.
    """

    def __init__(
        self,
        cert: Path,
        key: Path,
        warn: Callable[[str], None],
        *,
        client_ca: Path | None = None,
        wait: bool = False,
    ) -> None:
        self.cert, self.key, self._client_ca, self._warn = cert, key, client_ca, warn
        self._stamp: object = None
        self._context: ssl.SSLContext | None = None
        try:
            self._load()
        except OSError:
            if not wait:
                raise

    def current(self) -> ssl.SSLContext:
        """The context to serve the next connection with.

        Raises:
            ConnectionResetError: there is none yet; gunicorn closes without a word on this one.
        """
        self._look()
        if self._context is None:
            raise ConnectionResetError(errno.ECONNRESET, "there is no certificate yet")
        return self._context

    def missing(self) -> str | None:
        """None when there is a certificate, else what readiness says."""
        self._look()
        return None if self._context is not None else "no certificate yet"

    def _look(self) -> None:
        try:
            self._load()
        except FileNotFoundError as error:
            if self._context is not None:
                self._tell(error)
        except OSError as error:  # ssl.SSLError is one
            self._tell(error)

    def _load(self) -> None:
        stamp = _stamp(*self._files())
        if stamp != self._stamp:
            self._stamp = stamp  # what cannot be used is tried, and told of, once
            self._context = _context(self.cert, self.key, self._client_ca)

    def _files(self) -> tuple[Path, ...]:
        files = (self.cert, self.key)
        return files if self._client_ca is None else (*files, self._client_ca)

    def _tell(self, error: OSError) -> None:
        held = (
            "no certificate yet"
            if self._context is None
            else "keeping the certificate loaded before"
        )
        self._warn(f"{self.cert}: {held}: {error}")


def _context(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TimedSSLSocket
    # No API server resumes a session; tickets took a twelfth of the first review of a connection.
    context.num_tickets = 0
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _stamp(*files: Path) -> tuple[tuple[int, int, int], ...]:
    stats = [file.stat() for file in files]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)
