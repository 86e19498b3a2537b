"""The controller holds the listening socket of the process that answers: docs/adr/011-keeper.md.

Where that process is killed, the kernel still accepts in its name, and whoever connects meanwhile
is answered by its successor, which is handed the socket: nobody is refused a connection.

A Unix socket in the folder that both share. Whoever connects gets one byte, with the socket that
is held where there is one, and may then say to hold the one it sends, or to let go.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from webhook.unix import listening

KEEPER = "listener.sock"
"""Name in the shared folder."""
_HELD, _NONE, _HOLD, _DROP = b"1", b"0", b"h", b"d"
_SECONDS = 2.0
"""Longest wait for the other end."""
_WAITING = 8
_AGAIN = 1.0
"""Seconds between looks at whether it is still held."""


class Keeper:
    """The controller's end: one connection after the other, each a moment."""

    def __init__(self, folder: Path) -> None:
        """Hold what is brought, until it is to be dropped or ``close``."""
        self._path = folder / KEEPER
        self._door = listening(self._path, _WAITING, socket.SOCK_SEQPACKET)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether sockets are taken."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Let go: from now on, only the process that answers listens."""
        self._closed.set()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join(_SECONDS)
        self._door.close()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        held: socket.socket | None = None
        while not self._closed.is_set():
            try:
                one, _ = self._door.accept()
            except OSError:  # closed, or too many open files
                self._closed.wait(_AGAIN)
                continue
            with one, suppress(OSError):
                one.settimeout(_SECONDS)
                held = _served(one, held)
        if held is not None:
            held.close()


def _served(one: socket.socket, held: socket.socket | None) -> socket.socket | None:
    """Serve a connection; returns what is to be held from now on."""
    if held is None:
        one.send(_NONE)
    else:
        socket.send_fds(one, [_HELD], [held.fileno()])
    word, fds, _, _ = socket.recv_fds(one, 1, 1)
    brought = [socket.socket(fileno=fd) for fd in fds]
    if word not in {_HOLD, _DROP}:
        return held  # it only came to look, or to take
    if held is not None:
        held.close()
    return brought[0] if brought else None


class Kept:
    """The end of the process that answers. There may be no controller, or none yet."""

    def __init__(self, folder: Path) -> None:
        """Share the folder with the controller."""
        self._path = folder / KEEPER

    def taken(self) -> socket.socket | None:
        """The socket of the process before this one; None where none is held."""
        with suppress(OSError), self._connected() as (_, held):
            return held
        return None

    def keep(self, fileno: Callable[[], int]) -> None:
        """Have the socket held by one controller after the other, until there is no more of it.

        Returns at once. ``fileno`` is -1 when this process listens no longer.
        """
        threading.Thread(target=self._keep, args=(fileno,), name="kept", daemon=True).start()

    def drop(self) -> None:
        """Have it held no longer: this process stops, and is to have no successor."""
        with suppress(OSError), self._connected() as (one, held):
            one.send(_DROP)
            _close(held)

    def _keep(self, fileno: Callable[[], int]) -> None:
        while (number := fileno()) >= 0:
            with suppress(OSError), self._connected() as (one, held):
                if held is None:
                    socket.send_fds(one, [_HOLD], [number])
                _close(held)
            time.sleep(_AGAIN)

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, socket.socket | None]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
            one.settimeout(_SECONDS)
            one.connect(str(self._path))
            _, fds, _, _ = socket.recv_fds(one, 1, 1)
            yield one, socket.socket(fileno=fds[0]) if fds else None


def _close(held: socket.socket | None) -> None:
    if held is not None:
        held.close()
