"""gunicorn's worker, whose threads never wait for a client: docs/adr/013-arriving.md.

gthread gives a connection a thread from its first byte on, so as many clients as there are threads
stop it by a byte every few seconds. Here the loop that accepts them takes in what arrives of each,
handshake and request, without ever waiting. A request that is whole is answered there and then if
nothing has to be waited for (docs/adr/015-at-once.md); else a thread gets it.
"""

from __future__ import annotations

import errno
import re
import selectors
import ssl
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from gunicorn import http, sock
from gunicorn.workers.gthread import TConn, ThreadWorker

from webhook.limits import KIB, MIB
from webhook.server.app import AT_ONCE, LARGE
from webhook.server.plain import Request, parsed
from webhook.server.tls import REQUEST, STALL

CONNECTIONS: Final = 1_000
"""At the same time; a further one takes the place of the one that is idle, or arriving, longest."""
_ARRIVED: Final = 64 * MIB
"""Bytes of all requests that are not answered yet. Beyond, of those that are not whole the one that
began first is given up, and one that just became whole is sent away."""
_FULL: Final = b"too many bytes of requests wait already\n"
_SENT_AWAY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b" % (len(_FULL), _FULL)
)
_HEAD: Final = 64 * KIB
_DRAIN: Final = 0.1
"""Seconds to take the rest of a body that nobody wanted: closed upon it, the client might not see
the answer."""
_READ: Final = 16 * KIB
"""A TLS record: no read brings more."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class _Arriving:
    """A request that is on its way."""

    connection: Any
    until: float
    """Of the monotonic clock."""
    data: bytearray = field(default_factory=bytearray)
    waits: bool = False
    """Whether the loop waits for more of it."""
    needed: int | None = None
    """Bytes of it; None while its head is not whole."""

    def take(self) -> int:
        """Take in what is there; the event to wait for, or 0 when it is whole.

        Raises:
            OSError: the client is gone, or what it sends is too long.
        """
        one = self.connection
        try:
            if not one.initialized:
                one.sock.do_handshake()
                one.initialized = True
                one.parser = http.get_parser(one.cfg, one.sock, one.client)
            while not self._whole():
                piece = one.sock.recv(_READ)
                if not piece:
                    raise ConnectionResetError(errno.ECONNRESET, "the client hung up")
                self.data += piece
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        return 0

    def _whole(self) -> bool:
        if self.needed is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                if len(self.data) > _HEAD:
                    raise OSError(errno.EMSGSIZE, "the head of a request is too long")
                return False
            found = _LENGTH.search(self.data, 0, end + 2)
            length = int(found[1]) if found else 0
            # A large body is not waited for: a thread reads it, if as few as may are large.
            self.needed = end + 4 + (length if length < LARGE else 0)
        return len(self.data) >= self.needed


def _sent(sock: Any, data: bytes) -> bytes:
    """Send what goes out without waiting; what is left of it."""
    try:
        while data:
            data = data[sock.send(data) :]
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    return data


class PatientWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gthread with requests that arrive before they are given to a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: dict[_Arriving, None] = {}
        """The one that began first stands first."""
        self._waiting: dict[Any, int] = {}
        """Connections whose request a thread answers, or will, and its bytes."""
        self._held = 0
        """Bytes of all of both."""

    def accept(self, listener: Any) -> None:
        """Take a connection, and what has come of its first request."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ECONNABORTED}:
                return
            raise
        self.nr_conns += 1
        one = TConn(self.cfg, client, address, listener.getsockname())
        try:
            one.sock = sock.ssl_wrap_socket(one.sock, self.cfg)
        except OSError:  # it is gone, or there is no certificate yet
            self._close(one)
            return
        self._receive(one)
        if self.nr_conns >= CONNECTIONS:
            self._make_room()

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A further request begins on a connection that was kept."""
        try:
            self.keepalived_conns.remove(conn)
        except ValueError:  # it made room for another, a moment ago
            return
        self.poller.unregister(client)
        self._receive(conn)

    def enqueue_req(self, conn: Any) -> None:
        """A further request has begun to come behind the one that was just answered."""
        conn.sock.settimeout(0.0)
        self._receive(conn, conn.parser.unreader.take_buffered())

    def murder_pending(self) -> None:
        """Give up what did not come in time."""
        now = time.monotonic()
        while self._arriving and (first := next(iter(self._arriving))).until <= now:
            self._give_up(first)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:  # noqa: FBT001 - gunicorn's
        """Whether it is kept. If not, it is read on for a moment, so that the answer is seen."""
        if keepalive:
            return bool(super()._keepalive_after(conn, keepalive))
        conn.parser.finish_body(deadline=time.monotonic() + _DRAIN)
        return False

    def _receive(self, one: Any, begun: bytes = b"") -> None:
        arriving = _Arriving(one, time.monotonic() + REQUEST, bytearray(begun))
        self._arriving[arriving] = None
        self._held += len(begun)
        self._go_on(arriving)

    def _go_on(self, arriving: _Arriving, _client: Any = None) -> None:
        if arriving not in self._arriving:  # given up for another whose turn came before
            return
        one, before = arriving.connection, len(arriving.data)
        self._forget(arriving)
        try:
            event = arriving.take()
        except OSError as error:  # ssl.SSLError is one
            self.log.debug("a request did not come: %s", error)
            event = None
        self._held += len(arriving.data) - before
        if event is None:
            self._give_up(arriving)
            return
        if event:
            self.poller.register(one.sock, event, partial(self._go_on, arriving))
            arriving.waits = True
            if self._held > _ARRIVED:
                self._give_up(next(iter(self._arriving)))
            return
        self._drop(arriving)
        data = bytes(arriving.data)
        request = parsed(data) if self.alive else None
        if request is not None and self._at_once(one, request):
            return
        if self._held + len(data) > _ARRIVED:
            self._send(one, _SENT_AWAY, keeps=False)
            return
        self._waiting[one] = len(data)
        self._held += len(data)
        one.parser.unreader.unread(data)
        super().enqueue_req(one)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A thread is done with it, and its bytes are gone."""
        self._held -= self._waiting.pop(conn, 0)
        super().finish_request(conn, fs)

    def _at_once(self, one: Any, request: Request) -> bool:
        """Answer a request, unless something has to be waited for.

        What goes wrong does so once more in a thread, where gunicorn says what it has to say.
        """
        self.cfg.pre_request(self, request)
        environ = {"gunicorn.socket": one.sock, AT_ONCE: True}
        try:
            answer = request.answered(self.wsgi, environ)
        except Exception:  # noqa: BLE001 - WouldWait, or a bug
            return False
        self._send(one, answer, keeps=not request.closes, behind=request.behind)
        return True

    def _send(self, one: Any, answer: bytes, *, keeps: bool, behind: bytes = b"") -> None:
        """What does not go out at once is for a thread, and so is the end of a connection."""
        try:
            unsent = _sent(one.sock, answer)
        except OSError as error:  # ssl.SSLError is one
            self.log.debug("an answer did not go out: %s", error)
            self._close(one)
            return
        if unsent or not keeps:
            one.parser.unreader.unread(behind)
            ended = self.tpool.submit(self._end, one, unsent, keeps)
            ended.add_done_callback(partial(self.method_queue.defer, self.finish_request, one))
        elif behind:  # not now: who sends one behind the other would keep others waiting
            self.method_queue.defer(self._receive, one, behind)
        else:
            one.set_timeout()
            self.keepalived_conns.append(one)
            readable = partial(self.on_client_socket_readable, one)
            self.poller.register(one.sock, selectors.EVENT_READ, readable)

    def _end(self, one: Any, unsent: bytes, keeps: bool) -> bool:  # noqa: FBT001 - as gunicorn's
        """Send what the client did not take at once; whether the connection is kept."""
        one.sock.settimeout(STALL)
        one.sock.sendall(unsent)
        return keeps or self._keepalive_after(one, keeps)

    def _make_room(self) -> None:
        if self._arriving:
            self._give_up(next(iter(self._arriving)))
        elif self.keepalived_conns:
            one = self.keepalived_conns.popleft()
            self.poller.unregister(one.sock)
            self._close(one)

    def _give_up(self, arriving: _Arriving) -> None:
        self._forget(arriving)
        self._drop(arriving)
        self._close(arriving.connection)

    def _drop(self, arriving: _Arriving) -> None:
        del self._arriving[arriving]
        self._held -= len(arriving.data)

    def _forget(self, arriving: _Arriving) -> None:
        if arriving.waits:
            self.poller.unregister(arriving.connection.sock)
            arriving.waits = False

    def _close(self, one: Any) -> None:
        self.nr_conns -= 1
        one.close()
