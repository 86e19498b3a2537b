"""One job, in the process that was made for it: from messages and bytes to an answer."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Final

from webhook.errors import ImageError, LimitExceeded
from webhook.gather.reading import Here
from webhook.image.facts import Files
from webhook.image.layer import Layer, read_layer
from webhook.limits import KIB
from webhook.reader import messages
from webhook.reader.messages import (
    MAX_MESSAGE,
    Answer,
    Deflated,
    Failed,
    Merge,
    Merged,
    Packed,
    Read,
)

_PIECE: Final = 256 * KIB
_HELLO: Final = 1
"""Bytes that come with the pipe's end."""


def work(connected: socket.socket) -> None:
    """Take a job from the connection, do it, and send the answer.

    Raises:
        OSError: whoever asked has gone.
        msgspec.DecodeError: what came is no job.
    """
    _, pipes, _, _ = socket.recv_fds(connected, _HELLO, 1)
    with Connection(connected.detach()) as connection:
        job = messages.job(connection.recv_bytes(MAX_MESSAGE))
        connection.send_bytes(messages.encode(_done(job, connection, pipes)))


def _done(job: Read | Merge, connection: Connection, pipes: list[int]) -> Answer:
    try:
        if isinstance(job, Read):
            return _read(job, pipes[0])
        return _merged(
            job, [messages.unpacked(connection.recv_bytes(MAX_MESSAGE)) for _ in job.refs]
        )
    except ImageError as error:
        return messages.failed(error)
    except MemoryError:
        return Failed(LimitExceeded.reason, "reading it takes more memory than a job may have")
    finally:
        for pipe in pipes:
            os.close(pipe)  # whoever still writes into it learns that it is enough


def _read(job: Read, pipe: int) -> Packed:
    def chunks() -> Iterator[bytes]:
        while piece := os.read(pipe, _PIECE):
            yield piece

    layer = read_layer(job.ref, chunks(), job.limits, keep=job.keep, collect=Deflated.of)
    return Packed(messages.packed(layer))


def _merged(job: Merge, layers: list[Layer]) -> Answer:
    found = Here(job.limits).files(job.config, job.refs, layers)
    return Merged(found) if isinstance(found, Files) else messages.needed(found)
