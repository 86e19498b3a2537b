"""Unix sockets between slimgate's own processes, in a folder that they share."""

from __future__ import annotations

import socket
import struct
from pathlib import Path


def listening(
    path: Path, waiting: int, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """A socket that listens on ``path``, in place of what one that was killed left there.

    Raises:
        OSError: the folder does not let it.
    """
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, kind)
    try:
        door.bind(str(path))
        path.chmod(0o600)
        door.listen(waiting)
    except BaseException:
        door.close()
        raise
    return door


def connected(path: Path, seconds: float, patience: float) -> socket.socket:
    """A connection to ``path``, made within ``seconds``; as patient afterwards as ``patient`` says.

    Raises:
        OSError: nobody is there.
    """
    one = socket.socket(socket.AF_UNIX)
    try:
        one.settimeout(seconds)
        one.connect(str(path))
        one.settimeout(None)
        patient(one, patience)
    except BaseException:
        one.close()
        raise
    return one


def patient(one: socket.socket, seconds: float) -> None:
    """Let no read or write wait for longer; ``multiprocessing``'s ``Connection`` knows of no time.

    A ``timeval`` is two longs, of seconds and microseconds; of none at all it would wait for ever.
    """
    limit = struct.pack("ll", *divmod(max(1, int(seconds * 1_000_000)), 1_000_000))
    for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        one.setsockopt(socket.SOL_SOCKET, side, limit)
