"""Whoever wants layers read has it done by the process behind a socket: a ``Reading``."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from webhook.errors import DeadlineExceeded, LimitExceeded, Unreachable
from webhook.gather.reading import Wanted
from webhook.image.config import ImageConfig
from webhook.image.facts import Files, LayerRef
from webhook.limits import MIB, Deadline, Limits
from webhook.reader import messages
from webhook.reader.messages import (
    GONE,
    MAX_MESSAGE,
    Answer,
    Failed,
    Merge,
    Merged,
    Needed,
    Packed,
    Read,
)
from webhook.unix import connected

_PIPE: Final = MIB
"""Bytes in the pipe; the most that a process without privileges may have."""
_SECONDS: Final = 10.0
_LOOK: Final = 0.05
_LONGEST: Final = 3600.0
A = TypeVar("A", Packed, Merged)


class Apart:
    """In another process. Layers are kept as it packed them, and given back as they are."""

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        restart: Callable[[], None] = lambda: None,
        died: Callable[[str], None] = lambda _death: None,
        patience: float = _SECONDS,
    ) -> None:
        """Connect to ``path`` for each job.

        Args:
            path: the socket.
            limits: of what is read.
            restart: called while nobody is there, before the next try.
            died: told of ``messages.DEATHS`` what became of a process.
            patience: seconds in which somebody is there to take a job in, however many wait
                before it.
        """
        self._path, self._limits, self._restart, self._died = path, limits, restart, died
        self._patience = patience

    def layer(
        self,
        ref: LayerRef,
        chunks: Iterator[bytes],
        *,
        keep: Collection[int] = (),
        deadline: Deadline,
        progress: Callable[[int], None],
    ) -> bytes:
        """As ``Reading.layer``; also raises what became of the process, where it died."""
        job = Read(ref, self._limits, tuple(sorted(keep)))
        source, pipe = os.pipe()
        try:
            with suppress(OSError):  # where there is no more of it
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
            with self._asked(job, deadline, (source,)) as connection:
                os.close(source)
                source = -1
                _pour(chunks, pipe, deadline, progress)
                os.close(pipe)
                pipe = -1
                return _of(Packed, self._answer(connection, deadline)).layer
        finally:
            for end in (source, pipe):
                if end >= 0:
                    os.close(end)

    def files(
        self,
        config: ImageConfig,
        refs: Sequence[LayerRef],
        layers: Sequence[bytes],
        deadline: Deadline,
    ) -> Files | Wanted:
        """As ``Reading.files``."""
        with self._asked(Merge(config, tuple(refs), self._limits), deadline) as connection:
            with suppress(BrokenPipeError):  # its answer says why
                for layer in layers:
                    connection.send_bytes(layer)
            answer = self._answer(connection, deadline)
        if isinstance(answer, Needed) and all(0 <= index < len(refs) for index in answer.wanted):
            return answer.wanted
        return _of(Merged, answer).files

    @contextmanager
    def _asked(
        self, job: Read | Merge, deadline: Deadline, pipes: Sequence[int] = ()
    ) -> Iterator[Connection]:
        try:
            one = self._connected(deadline)
            socket.send_fds(one, [b"j"], list(pipes))
            connection = Connection(one.detach())
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise Unreachable(f"the process that reads layers: {why}") from error
        with connection:
            try:
                connection.send_bytes(messages.encode(job))
                yield connection
            except (OSError, EOFError) as error:
                self._died(GONE)
                raise Unreachable("the process that read its layers is gone") from error

    def _answer(self, connection: Connection, deadline: Deadline) -> Answer:
        if not connection.poll(deadline.patience()):
            raise DeadlineExceeded("its layers were not read in time")
        try:
            answer: Answer = messages.answer(connection.recv_bytes(MAX_MESSAGE))
        except msgspec.DecodeError as error:
            raise LimitExceeded("what the process that read it says makes no sense") from error
        if isinstance(answer, Failed) and answer.died is not None:
            self._died(answer.died)
        return answer

    def _connected(self, deadline: Deadline) -> socket.socket:
        """A connection; a process that is only just starting is waited for."""
        end = time.monotonic() + min(self._patience, deadline.left())
        while True:
            try:
                return connected(self._path, self._patience, min(deadline.left(), _LONGEST))
            except OSError:
                if time.monotonic() >= end:
                    raise
            self._restart()
            time.sleep(_LOOK)


def _pour(
    chunks: Iterator[bytes], pipe: int, deadline: Deadline, progress: Callable[[int], None]
) -> None:
    """Write the chunks into the pipe, until its other end has had enough."""
    os.set_blocking(pipe, False)
    room = select.poll()
    room.register(pipe, select.POLLOUT)
    for chunk in chunks:
        progress(len(chunk))
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                if not room.poll(None if deadline.at == inf else deadline.left() * 1000):
                    raise DeadlineExceeded("its layers were not read in time") from None
            except BrokenPipeError:
                return


def _of(kind: type[A], answer: Answer) -> A:
    if isinstance(answer, Failed):
        raise answer.error()
    if not isinstance(answer, kind):
        raise LimitExceeded("the process that read it answers something else")
    return answer
