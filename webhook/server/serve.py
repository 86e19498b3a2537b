"""gunicorn, embedded: one process that answers, one that watches over it.

One worker process, with threads: the facts of images, the fetches under way and the counters
are then in one place, and a burst of pods with one image is one fetch. More is had by more
replicas, which a webhook needs anyway.

Knows addresses, certificates and gunicorn's settings; does not know what is served.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from webhook.certs.selfsigned import self_signed
from webhook.errors import UsageError
from webhook.server.log import GunicornLog, json_log
from webhook.server.probes import serve_probes
from webhook.server.tls import ReloadingContext

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Build = Callable[[], "WSGIApplication"]
"""Makes the application, in the process that will answer."""

THREADS = 8
KEEP_ALIVE = 100
"""Seconds; longer than the 90 after which the API server lets go of an idle connection, so
that it never sends a review on one that we are closing."""
_LAST_PORT = 65_535
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - for gunicorn's heartbeat, which it unlinks at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How to serve. ``cert`` and ``key`` are PEM files; without them, one is made."""

    listen: str = "127.0.0.1:8443"
    """``HOST:PORT``, ``[::1]:PORT``; port 0 is any free one."""
    metrics: str | None = None
    """``HOST:PORT`` of a second, plain port for probes and metrics."""
    cert: Path | None = None
    key: Path | None = None
    threads: int = THREADS
    drain: int = 30
    """Seconds that reviews under way are given on SIGTERM."""


def serve(build: Build, serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT, then exit the process.

    Raises:
        UsageError: an address or the certificate cannot be used.
        SystemExit: at the end; 0 after a signal.
    """
    host, _ = _address(serving.listen)
    _bound(serving.listen).close()  # gunicorn binds it again; its own complaint is a longer one
    with _certificate(serving, host) as (cert, key):
        _Gunicorn(build, serving, _tls(cert, key), _plain(serving)).run()


class _Gunicorn(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    def __init__(
        self,
        build: Build,
        serving: Serving,
        tls: ReloadingContext,
        probes: socket.socket | None,
    ) -> None:
        self._build, self._serving, self._tls, self._probes = build, serving, tls, probes
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": self._serving.listen,
            "worker_class": "gthread",
            "workers": 1,
            "threads": self._serving.threads,
            "keepalive": KEEP_ALIVE,
            "graceful_timeout": self._serving.drain,
            "certfile": str(self._tls.cert),
            "keyfile": str(self._tls.key),
            "ssl_context": lambda _config, _default: self._tls.current(),
            "control_socket_disable": True,
            "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
            "logger_class": GunicornLog,
            "loglevel": "warning",
            "when_ready": self._announce,
            "post_worker_init": self._start_probes,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._build()

    def _announce(self, arbiter: Any) -> None:
        listeners = [f"https://{_spelled(one)}/validate" for one in arbiter.LISTENERS]
        plain = f"http://{_spelled(self._probes)}" if self._probes else None
        json_log(sys.stderr).info("listening", validate=listeners[0], metrics=plain)

    def _start_probes(self, worker: Any) -> None:
        if self._probes is not None:
            serve_probes(self._probes, worker.wsgi)


@contextmanager
def _certificate(serving: Serving, host: str) -> Iterator[tuple[Path, Path]]:
    if serving.cert is not None and serving.key is not None:
        yield serving.cert, serving.key
        return
    if serving.cert is not None or serving.key is not None:
        raise UsageError("a certificate needs its key, and a key its certificate")
    folder, owner = Path(tempfile.mkdtemp(prefix="slimgate-")), os.getpid()
    try:
        pair = self_signed(folder, hosts=[host] if host else [], now=datetime.now(UTC))
        json_log(sys.stderr).info("self-signed", ca=str(pair.ca), sha256=pair.fingerprint)
        yield pair.cert, pair.key
    finally:
        if os.getpid() == owner:  # a worker is a fork and leaves by this way as well
            shutil.rmtree(folder)


def _tls(cert: Path, key: Path) -> ReloadingContext:
    log = json_log(sys.stderr)
    try:
        return ReloadingContext(cert, key, log.warning)
    except OSError as error:
        raise UsageError(f"{cert}, {key}: no certificate with its key: {error}") from error


def _plain(serving: Serving) -> socket.socket | None:
    """The second port, bound in the parent: an address in use ends the start, not a worker."""
    return None if serving.metrics is None else _bound(serving.metrics)


def _bound(address: str) -> socket.socket:
    host, port = _address(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(f"{address}: {error.strerror}") from error


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > _LAST_PORT:
        raise UsageError(f"{text!r}: must be HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _spelled(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
