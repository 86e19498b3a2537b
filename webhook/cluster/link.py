"""The socket between the process that answers reviews and the controller beside it.

One question and one answer a connection, as JSON with a length before it. The asking side has no
token and speaks to no API server: what it may learn is what can be asked here.

``multiprocessing.connection`` brings the framing; nothing is ever pickled.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from webhook import unix
from webhook.cluster.state import SOCKET, NamespaceState
from webhook.errors import StateUnknown
from webhook.gather.lanes import Lanes

MAX_QUESTION, MAX_ANSWER = 64 << 10, 4 << 20
"""Bytes."""
_SECONDS = 5.0
"""In which a question has to come, once connected."""
_AT_ONCE, _WAITING = 16, 64
_OF_ONE = 4
"""Questions about one namespace's credentials that are looked into at once: each may take some
seconds, and no namespace takes the threads of the others."""
_PAUSE = 0.2
"""Seconds after a connection that could not be taken."""


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the two is asked."""

    namespace: str | None = None
    credentials: dict[str, Any] | None = None
    """As ``webhook.gather.credentials.question_of`` puts it."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known, or why it is not."""

    namespace: NamespaceState | None = None
    credentials: dict[str, Any] | None = None
    """As ``webhook.gather.credentials.candidates_of`` takes it."""
    error: str | None = None
    """Why the question as a whole could not be answered."""


Answer = Callable[[Question], Reply]
_QUESTION = msgspec.json.Decoder(Question)
_REPLY = msgspec.json.Decoder(Reply)


def ask(folder: Path, question: Question, seconds: float) -> Reply:
    """Ask the controller that shares the folder.

    Raises:
        StateUnknown: it is not there, takes longer than ``seconds``, its answer makes no sense, or
            the question is too long.
    """
    asked = msgspec.json.encode(question)
    if len(asked) > MAX_QUESTION:
        raise StateUnknown(f"the question to the controller has more than {MAX_QUESTION} bytes")
    try:
        with _connected(folder / SOCKET, seconds) as connection:
            connection.send_bytes(asked)
            if not connection.poll(seconds):
                raise StateUnknown(f"the controller did not answer within {seconds:.0f} s")
            return _REPLY.decode(connection.recv_bytes(MAX_ANSWER))
    except (OSError, EOFError) as error:
        raise StateUnknown(f"the controller cannot be asked: {_why(error)}") from error
    except msgspec.DecodeError as error:
        raise StateUnknown("the controller's answer makes no sense") from error


class Answering:
    """The controller's end: answers questions until it is closed."""

    def __init__(
        self,
        folder: Path,
        answer: Answer,
        report: Callable[[str, str], None] = lambda _word, _text: None,
        *,
        seconds: float = _SECONDS,
    ) -> None:
        """Answer in threads; nobody waits for longer than ``seconds`` for a turn."""
        self._path, self._answer, self._report = folder / SOCKET, answer, report
        self._seconds = seconds
        self._closed = False
        self._listener = unix.listening(self._path, _WAITING)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "asked")
        self._lanes = Lanes(_OF_ONE, _AT_ONCE, spare=_AT_ONCE, name="answering")
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether questions are taken."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Take no more questions."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._lanes.close()

    def _run(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError as error:
                if self._closed:
                    return
                self._report("link-error", str(error))  # too many open files
                time.sleep(_PAUSE)
                continue
            unix.patient(connected, self._seconds)
            with suppress(RuntimeError):  # closing
                self._pool.submit(self._read, Connection(connected.detach()))

    def _read(self, connection: Any) -> None:
        """Take the question in, and have it answered in its lane."""
        with ExitStack() as closing, suppress(OSError, EOFError):
            closing.enter_context(connection)
            if not connection.poll(self._seconds):
                return
            try:
                question = _QUESTION.decode(connection.recv_bytes(MAX_QUESTION))
            except msgspec.DecodeError as error:
                connection.send_bytes(msgspec.json.encode(Reply(error=str(error))))
                return
            end = time.monotonic() + self._seconds
            self._lanes.submit(_lane(question), partial(self._serve, connection, question, end))
            closing.pop_all()

    def _serve(self, connection: Any, question: Question, end: float) -> None:
        with connection, suppress(OSError):
            if time.monotonic() >= end:
                return
            try:
                reply = msgspec.json.encode(self._answer(question))
            except Exception as error:  # noqa: BLE001 - a bug: told, and this one is not answered
                self._report("link-error", f"{type(error).__name__}: {error}")
                reply = msgspec.json.encode(Reply(error="the controller failed at it"))
            connection.send_bytes(reply)


def _lane(question: Question) -> str:
    """Whose threads it is answered in: of its namespace, or of those that ask what one is like."""
    return str((question.credentials or {}).get("namespace", ""))


def _connected(path: Path, seconds: float) -> Any:
    """A connection; ``Any``, as typeshed knows it for one system at a time."""
    return Connection(unix.connected(path, seconds, seconds).detach())


def _why(error: OSError | EOFError) -> str:
    if isinstance(error, BlockingIOError):
        return "it takes too long"
    return (error.strerror or str(error) if isinstance(error, OSError) else "") or "it hung up"
