"""The one socket: connections with a deadline, over checked addresses, kept for the next request.

urllib3's timeouts start anew with every byte, so a registry that drips holds a thread for
ever. Here every read asks the deadline first.

Knows urllib3's connections. Does not know what is asked for: see ``webhook.registry.transport``.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Url, make_headers

from webhook.limits import Deadline
from webhook.registry.addresses import (
    ANY_ADDRESS,
    AddressRules,
    Resolver,
    dial,
    time_for_one_wait,
)
from webhook.registry.breaker import Breaker

_KEPT = 32
"""Idle connections, to all hosts together: who names many hosts must not fill our table."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection leads; two requests to one endpoint may share it."""

    scheme: str
    host: str
    port: int
    proxy: Url | None = None

    @property
    def name(self) -> str:
        """The host as references write it: with its port where that is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


PORTS = {"http": 80, "https": 443}


class _Reader(io.BufferedReader):
    """What http.client reads an answer from, a piece at a time and never all there is.

    A chunk of ``-1`` bytes would have it read to the end, and a hostile registry has none.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise http.client.HTTPException("a piece of less than no bytes")
        return super().read(size)


class _Socket(socket.socket):
    """A plain socket whose every read ends at the deadline."""

    deadline = Deadline.never()

    def makefile(self, *_: Any, **__: Any) -> Any:
        return _Reader(super().makefile("rb", buffering=0))

    def recv_into(self, *args: Any) -> int:
        self.settimeout(time_for_one_wait(self.deadline))
        return super().recv_into(*args)


class TlsSocket(ssl.SSLSocket):
    """A TLS socket whose every read ends at the deadline."""

    deadline = Deadline.never()

    def makefile(self, *_: Any, **__: Any) -> Any:
        """As ``socket.makefile("rb")``, but never to be read to the end in one go."""
        return _Reader(super().makefile("rb", buffering=0))

    def recv_into(self, *args: Any) -> int:
        """As ``SSLSocket.recv_into``. Raises ``TimeoutError`` when the deadline is over."""
        self.settimeout(time_for_one_wait(self.deadline))
        return super().recv_into(*args)


@dataclass(frozen=True, slots=True)
class Dialler:
    """How sockets are made: by which rules, with whose names."""

    rules: AddressRules
    resolve: Resolver
    breaker: Breaker

    def dial(self, host: str, port: int, deadline: Deadline, *, proxy: bool) -> _Socket:
        """A connected socket that knows the deadline. Raises as ``addresses.dial`` does."""
        rules = ANY_ADDRESS if proxy else self.rules
        with self.breaker.connecting((host, port)):
            connected = dial(
                host, port, rules=rules, resolve=self.resolve, deadline=deadline, make=_Socket
            )
        connected.deadline = deadline
        return connected


class _Timed:
    """What both kinds of connection add to urllib3's."""

    dialler: Dialler
    deadline: Deadline
    sock: Any
    proxy: Url | None
    timeout: float | None

    def _new_conn(self) -> socket.socket:
        host, port = self._dns_host, self.port  # type: ignore[attr-defined]
        return self.dialler.dial(host, port, self.deadline, proxy=self.proxy is not None)

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.deadline = self.deadline

    def until(self, deadline: Deadline) -> None:
        """Let the next request end at ``deadline``."""
        self.deadline = deadline
        self.timeout = time_for_one_wait(deadline)
        if self.sock is not None:
            self.sock.deadline = deadline


class _Plain(_Timed, HTTPConnection):
    pass


class _Tls(_Timed, HTTPSConnection):
    pass


Connection = _Plain | _Tls


class Pool:
    """Connections that wait for their next request; safe for threads."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._idle: list[tuple[Endpoint, Connection]] = []
        self._lock = threading.Lock()

    def idle(self, endpoint: Endpoint) -> Connection | None:
        """A connection that was used before and, as far as can be told, still stands."""
        while connection := self._take(endpoint):
            if connection.is_connected:
                return connection
            connection.close()
        return None

    def _take(self, endpoint: Endpoint) -> Connection | None:
        """The one used last, since it is the likeliest to stand."""
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number][0] == endpoint:
                    return self._idle.pop(number)[1]
        return None

    def fresh(self, endpoint: Endpoint, context: ssl.SSLContext | None) -> Connection:
        """A new connection, not dialled yet; ``context`` for https."""
        where: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
        if endpoint.proxy:
            proxy = endpoint.proxy
            where = {"host": proxy.host, "port": proxy.port or PORTS["http"], "proxy": proxy}
        connection: Connection
        if endpoint.scheme == "https":
            connection = _Tls(**where, ssl_context=context)
            if endpoint.proxy:
                headers = proxy_headers(endpoint.proxy)
                connection.set_tunnel(endpoint.host, endpoint.port, headers, scheme="http")
        else:
            connection = _Plain(**where)
        connection.dialler = self._dialler
        return connection

    def keep(self, endpoint: Endpoint, connection: Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        with self._lock:
            self._idle.append((endpoint, connection))
            oldest = self._idle.pop(0)[1] if len(self._idle) > _KEPT else None
        if oldest:
            oldest.close()

    def close(self) -> None:
        """Close what waits."""
        with self._lock:
            waiting, self._idle = self._idle, []
        for _, connection in waiting:
            connection.close()


def proxy_headers(proxy: Url) -> Mapping[str, str]:
    """What a proxy wants to hear: ``user:password`` of its URL."""
    return make_headers(proxy_basic_auth=proxy.auth) if proxy.auth else {}
