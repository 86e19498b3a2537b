"""A small real registry on loopback, as good or as bad as a test wants it.

    with Registry({"team/app:1": forge.image(...)}) as registry:
        registry.host                    # "127.0.0.1:41234"
        registry.requests                # every request: method, path, status, has_auth

    Registry(images, tls=context)                    # https
    Registry(images, basic=("user", "password"))     # 401 until Basic
    Registry(images, basic=(...), token=True)        # Bearer: Basic buys a token at /token
    Registry(images, token=True, identity="secret")  # a refresh token buys one, by POST
    Registry(images, faults={"*/manifests/*": status(503, times=2)})

Faults are by path (a glob of ``fnmatch``); ``times`` counts how often one strikes before the
registry is well again. Only the standard library, since the demo runs it, too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support import forge

_API = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<ref>[^/]+)")
_LINGER = 60.0  # seconds a stalled answer waits for its client to give up


@dataclass(frozen=True)
class Request:
    """One request as the registry saw it; ``status`` is 0 where no answer was begun."""

    method: str
    path: str
    status: int
    has_auth: bool


@dataclass(frozen=True)
class Answer:
    """What is to be sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """Something that goes wrong in place of the good answer."""

    strike: Callable[[_Handler, Answer], None]
    times: int | None = None
    """How many requests it hits; None: all."""


def status(code: int, body: bytes = b"", *, times: int | None = None, **headers: str) -> Fault:
    """Answer ``code``; headers by keyword: ``status(429, Retry_After="2")``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(lambda handler, _: handler.send(Answer(code, body, named)), times)


def redirect(url: str, *, code: int = 307) -> Fault:
    """Send the client elsewhere."""
    return status(code, Location=url)


def stall(*, times: int | None = None) -> Fault:
    """Take the request and never answer."""
    return Fault(lambda handler, _: handler.linger(), times)


def drip(
    *, every: float = 0.05, headers: bool = False, until: threading.Event | None = None
) -> Fault:
    """The right answer, one byte at a time; with ``headers``, its head as well.

    It waits for ``every`` seconds after each, ``until`` something has happened.
    """

    def strike(handler: _Handler, answer: Answer) -> None:
        head = handler.head(answer)
        if not headers:
            handler.wfile.write(head)
        for byte in (head if headers else b"") + answer.body:
            handler.wfile.write(bytes([byte]))
            over = until is not None and until.is_set()
            if handler.registry.closing.wait(0 if over else every):
                return

    return Fault(strike)


def slow(per_second: float, *, piece: int = 64 << 10) -> Fault:
    """The right answer, over a link of so many bytes a second that all such answers share."""
    link = threading.Lock()

    def strike(handler: _Handler, answer: Answer) -> None:
        handler.wfile.write(handler.head(answer))
        body = memoryview(b"" if handler.command == "HEAD" else answer.body)
        for at in range(0, len(body), piece):
            with link:
                if handler.registry.closing.wait(piece / per_second):
                    return
            handler.wfile.write(body[at : at + piece])

    return Fault(strike)


def reset(*, after: int = 10, times: int | None = None) -> Fault:
    """Break the connection (RST) after so many bytes of the body; -1: before any answer."""

    def strike(handler: _Handler, answer: Answer) -> None:
        if after >= 0:
            handler.wfile.write(handler.head(answer) + answer.body[:after])
        time.sleep(0.05)  # so that the client has read what was sent before the RST drops it
        linger_none = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
        handler.hang_up()

    return Fault(strike, times)


def wrong_bytes() -> Fault:
    """The right length, one bit of the body flipped."""

    def strike(handler: _Handler, answer: Answer) -> None:
        flipped = answer.body[:-1] + bytes([answer.body[-1] ^ 1])
        handler.send(replace(answer, body=flipped))

    return Fault(strike)


def wrong_length(difference: int) -> Fault:
    """A Content-Length that is off by so many bytes; the body is as it should be."""

    def strike(handler: _Handler, answer: Answer) -> None:
        length = str(len(answer.body) + difference)
        handler.send(replace(answer, headers={**answer.headers, "Content-Length": length}))
        handler.hang_up()

    return Fault(strike)


def endless(piece: bytes = b"\0" * 65536) -> Fault:
    """A chunked body that never ends."""

    def strike(handler: _Handler, answer: Answer) -> None:
        handler.wfile.write(handler.head(answer, {"Transfer-Encoding": "chunked"}))
        while not handler.registry.closing.is_set():
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    return Fault(strike)


def body(content: bytes, *, times: int | None = None, **headers: str) -> Fault:
    """Another body, with whatever headers: a huge manifest, a wrong Docker-Content-Digest."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def strike(handler: _Handler, answer: Answer) -> None:
        handler.send(Answer(200, content, {**answer.headers, **named}))

    return Fault(strike, times)


class Registry:
    """Serves ``images`` ("name:tag" → image) read-only until the ``with`` block ends."""

    def __init__(
        self,
        images: Mapping[str, forge.Image] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        basic: tuple[str, str] | None = None,
        token: bool = False,
        identity: str | None = None,
        token_seconds: int = 60,
        challenge: str | None = None,
        faults: Mapping[str, Fault] | None = None,
        name: str | None = None,
        port: int = 0,
        address: str = "127.0.0.1",
    ) -> None:
        """``challenge`` replaces the WWW-Authenticate header; ``name`` is only what we call it."""
        self.images = dict(images or {})
        self.basic, self.token, self.identity = basic, token, identity
        self.token_seconds, self.challenge = token_seconds, challenge
        self.faults = dict(faults or {})
        self.requests: list[Request] = []
        self.tokens: dict[str, tuple[str, float]] = {}
        """Each token that was issued: its scope and until when it is good."""
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.scheme = "https" if tls else "http"
        self._server = _Server((address, port), self, tls)
        self.host = f"{name or address}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """``https://127.0.0.1:41234``."""
        return f"{self.scheme}://{self.host}"

    def hang_up(self) -> None:
        """Close the connections that there are; new ones are taken."""
        self._server.hang_up()

    def add(self, name: str, image: forge.Image) -> None:
        """Serve one more image: ``add("team/app:2", image)``."""
        with self.lock:
            self.images[name] = image

    def count(self, pattern: str = "*", *, status: int | None = None) -> int:
        """How many requests there were for paths like ``pattern``."""
        return sum(
            fnmatchcase(one.path, pattern) and status in {None, one.status}
            for one in list(self.requests)
        )

    def fault(self, path: str) -> Fault | None:
        """The fault that strikes now, if one does."""
        with self.lock:
            for pattern, fault in self.faults.items():
                if fnmatchcase(path, pattern) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def answer(self, method: str, target: str, authorization: str | None, form: str) -> Answer:
        """What a good registry says."""
        url = urlsplit(target)
        if url.path == "/token":
            return self._issue(method, parse_qs(form or url.query), authorization)
        found = _API.fullmatch(url.path)
        scope = f"repository:{found['name']}:pull" if found else ""
        if not self._admits(authorization, scope):
            headers = {"WWW-Authenticate": self.challenge or self._challenge(scope)}
            return _error(401, "UNAUTHORIZED", "authentication required", headers)
        if url.path == "/v2/":
            return Answer(200, b"{}", {"Content-Type": "application/json"})
        if found is None:
            return _error(404, "NOT_FOUND", "no such page")
        return self._content(**found.groupdict())

    def _content(self, name: str, kind: str, ref: str) -> Answer:
        with self.lock:
            here = {key: one for key, one in self.images.items() if key.rpartition(":")[0] == name}
        if not here:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        if kind == "manifests" and ":" not in ref:
            image = here.get(f"{name}:{ref}")
            if image is None:
                return _error(404, "MANIFEST_UNKNOWN", f"manifest unknown: {ref}")
            return _blob(image.digest, image.body, image.media_type)
        for image in here.values():
            if ref in image.blobs:
                content = image.blobs[ref]
                kind_of = (
                    _media_type(content) if kind == "manifests" else "application/octet-stream"
                )
                return _blob(ref, content, kind_of)
        return _error(404, f"{kind[:-1].upper()}_UNKNOWN", f"{kind[:-1]} unknown to registry")

    def _admits(self, authorization: str | None, scope: str) -> bool:
        if self.token:
            word, _, token = (authorization or "").partition(" ")
            granted, until = self.tokens.get(token, ("", 0.0))
            return word == "Bearer" and scope in {"", granted} and until > time.monotonic()
        return self.basic is None or authorization == _basic(self.basic)

    def _challenge(self, scope: str) -> str:
        if self.token:
            return f'Bearer realm="{self.url}/token",service="{self.host}",scope="{scope}"'
        return 'Basic realm="tests"'

    def _issue(self, method: str, form: dict[str, list[str]], authorization: str | None) -> Answer:
        if method == "POST":
            granted = form.get("refresh_token") == [self.identity]
        else:
            granted = self.basic is None or authorization == _basic(self.basic)
        if not granted:
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        with self.lock:
            token = f"token-{len(self.tokens)}"
            until = time.monotonic() + self.token_seconds
            self.tokens[token] = (form.get("scope", [""])[0], until)
        field = "access_token" if method == "POST" else "token"
        document = {field: token, "expires_in": self.token_seconds}
        return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], registry: Registry, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, _Handler)
        self.registry, self.tls = registry, tls
        self.open: set[socket.socket] = set()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a client that stalls its handshake stalls nobody."""
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        with self._kept(request):
            super().finish_request(request, client_address)

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        self.open.add(connection)
        try:
            yield
        finally:
            self.open.discard(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def server_close(self) -> None:
        super().server_close()
        self.hang_up()

    def hang_up(self) -> None:
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up or dislikes our certificate is no fault of the server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def registry(self) -> Registry:
        return self.server.registry  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.recorded = False
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        authorization = self.headers.get("Authorization")
        answer = self.registry.answer(self.command, self.path, authorization, form)
        fault = self.registry.fault(self.path)
        if fault is None:
            self.send(answer)
        else:
            fault.strike(self, answer)
        self._record(0)

    def send(self, answer: Answer) -> None:
        """Head and body, in one write."""
        self.wfile.write(self.head(answer) + (b"" if self.command == "HEAD" else answer.body))

    def head(self, answer: Answer, instead_of_length: Mapping[str, str] | None = None) -> bytes:
        """Status line and headers; the request is recorded with this status."""
        self._record(answer.status)
        length = instead_of_length or {"Content-Length": str(len(answer.body))}
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('?',))[0]}"]
        lines += [f"{name}: {value}" for name, value in {**length, **answer.headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def linger(self) -> None:
        """Hold the request until the registry closes."""
        self.registry.closing.wait(_LINGER)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection after this request."""
        self.close_connection = True

    def _record(self, code: int) -> None:
        if not self.recorded:
            self.recorded = True
            has_auth = "Authorization" in self.headers
            self.registry.requests.append(Request(self.command, self.path, code, has_auth))

    def log_message(self, *_: object) -> None:
        """``requests`` is the log."""


def _blob(digest: str, content: bytes, media_type: str) -> Answer:
    return Answer(200, content, {"Content-Type": media_type, "Docker-Content-Digest": digest})


def _error(code: int, word: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    document = {"errors": [{"code": word, "message": message}]}
    kind = {"Content-Type": "application/json"}
    return Answer(code, json.dumps(document).encode(), {**kind, **(headers or {})})


def _basic(pair: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()


def _media_type(content: bytes) -> str:
    return str(json.loads(content).get("mediaType", forge.OCI_MANIFEST))
