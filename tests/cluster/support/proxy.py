"""A TCP proxy that can be cut, or stop forwarding and close nothing: a dead line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Between clients and a port of the loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._dead: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._cut = self._frozen = False
        self._lock = threading.Lock()
        """A connection that is being made is either cut or frozen, or comes after."""
        self._every: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def freeze(self) -> int:
        """Forward nothing more on what is connected now, nor on what comes until ``mend``.

        Returns how many sockets are connected now.
        """
        with self._lock:
            self._frozen, frozen = True, self._open - self._dead
            self._dead |= frozen
            return len(frozen)

    def cut(self) -> None:
        """Close what is connected now, and whatever comes until ``mend``."""
        with self._lock:
            self._cut = True
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Forward again what comes from now on; what was frozen stays so."""
        with self._lock:
            self._cut = self._frozen = False

    def close(self) -> None:
        """End all of it."""
        for one in list(self._every):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        while self._threads:
            self._threads.pop().join(10)
        for one in self._every:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                try:
                    server = None if self._cut else self._connected()
                except OSError:  # nobody is there: nor is the proxy
                    server = None
                if server is None:
                    client.close()
                    continue
                self._every += [client, server]
                self._open |= {client, server}
                self._dead |= {client, server} if self._frozen else set()
            for ends in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._pump, args=ends))
                self._threads[-1].start()

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._target))

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._dead:
                    sink.sendall(data)
        if source not in self._dead:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._open.discard(source)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Run it until the block ends."""
    one = Proxy(target)
    try:
        yield one
    finally:
        one.close()
