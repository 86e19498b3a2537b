"""A small HTTP server that speaks the API server's list and watch, as badly as it is told to.

Each request to list takes the next act of ``lists``, each to watch the next of ``watches``; the
last one stays.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Act = Callable[["Handler"], None]

PATH = "/api/v1/namespaces"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """List or watch."""
        self.query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        acts = self.server.watches if "watch" in self.query else self.server.lists
        with self.server.lock:
            self.server.asked.append(self.query)
            act = acts.pop(0) if len(acts) > 1 else acts[0]
        try:
            act(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, status: int, body: bytes) -> None:
        """A whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        """A stream of unknown length."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data: bytes) -> None:
        """A piece of it; an empty one is its end."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def cut(self) -> None:
        """As if the line were cut."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *words: Any) -> None:
        """Tests look at ``asked``."""


class Server(ThreadingHTTPServer):
    """Listens on a free loopback port."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lists: list[Act] = [page()]
        self.watches: list[Act] = [stream()]
        self.asked: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *words: Any) -> None:
        """Clients that go away are what this is for."""

    def count(self, *, watch: bool) -> int:
        """How often it was asked to watch, or to list."""
        return sum(("watch" in one) == watch for one in list(self.asked))


@contextmanager
def serving() -> Iterator[Server]:
    """Run it until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def thing(name: str, version: str = "1", **labels: str) -> dict[str, Any]:
    """A namespace."""
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": version, "labels": labels}
    return {"metadata": metadata}


def page(*names: str, version: str = "10", more: str = "") -> Act:
    """A page of a list; ``more`` is where it goes on."""
    metadata = {"resourceVersion": version, **({"continue": more} if more else {})}
    items = [thing(name) for name in names]
    return raw(json.dumps({"kind": "NamespaceList", "metadata": metadata, "items": items}))


def raw(text: str, status: int = 200) -> Act:
    """Any answer."""
    return lambda handler: handler.answer(status, text.encode())


def status(code: int, message: str = "no") -> Act:
    """A refusal, as the API server words them."""
    return raw(json.dumps({"kind": "Status", "code": code, "message": message}), code)


def event(kind: str, name: str = "", version: str = "11", **labels: str) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": kind, "object": thing(name, version, **labels)}).encode() + b"\n"


def error(code: int, message: str = "too old") -> bytes:
    """The event that ends a watch."""
    return json.dumps({"type": "ERROR", "object": {"code": code, "message": message}}).encode()


def stream(*pieces: bytes, end: str = "quiet") -> Act:
    """A watch: pieces as they come, and then ``quiet``, ``end``, ``cut`` or ``dead``.

    Quiet ends after the seconds that were asked for, dead never does.
    """

    def act(handler: Handler) -> None:
        handler.begin()
        for piece in pieces:
            handler.chunk(piece)
        if end == "cut":
            handler.cut()
            return
        over = handler.server.over
        if end in {"quiet", "dead"}:
            over.wait(float(handler.query["timeoutSeconds"]) if end == "quiet" else None)
        handler.chunk(b"")

    return act
