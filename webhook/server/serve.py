"""gunicorn, embedded: one process that answers, one that watches over it.

One worker process, with threads: the facts of images, the fetches under way and the counters
are then in one place, and a burst of pods with one image is one fetch. More is had by more
replicas, which a webhook needs anyway.

Knows addresses, certificates and gunicorn's settings; does not know what is served.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
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
from webhook.cluster.keeper import Kept
from webhook.errors import UsageError
from webhook.server.ending import Ending, LameDuckArbiter
from webhook.server.front import Front
from webhook.server.log import GunicornLog, json_log
from webhook.server.probes import serve_probes
from webhook.server.tls import ReloadingContext
from webhook.server.worker import CONNECTIONS, PatientWorker

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Build = Callable[[], "WSGIApplication"]
"""Makes the application, in the process that will answer."""

THREADS = 8
"""Reviews under way at once."""
SPARE = 8
"""Threads more than that: they read what slow clients send, and send away what is too much. With
24 of them, a burst on 64 connections had twice the p99; with 8 it has that of none."""
KEEP_ALIVE = 100
"""Seconds; longer than the 90 after which the API server lets go of an idle connection, so
that it never sends a review on one that we are closing."""
_BACKLOG = 2048
"""Connections that wait for being accepted, as gunicorn has it."""
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
    wait_for_certificate: bool = False
    """``cert`` and ``key`` are written later: until then nothing is answered over TLS, and
    readiness says so."""
    client_ca: Path | None = None
    """PEM; clients must show a certificate that it vouches for."""
    client_names: tuple[str, ...] = ()
    """Common or alternative names of which that certificate must have one; empty: any."""
    threads: int = THREADS
    """Reviews under way at once; there are ``SPARE`` threads more."""
    lame_duck: float = 15.0
    """Seconds after SIGTERM in which all is still answered, and clients are sent elsewhere."""
    drain: int = 30
    """Seconds that reviews under way are given after that."""
    kept: Kept | None = None
    """Who holds the socket while this process is gone, so that no connection is refused."""


def serve(build: Build, serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT, then exit the process.

    Raises:
        UsageError: an address or the certificate cannot be used.
        SystemExit: at the end; 0 after a signal.
    """
    host, _ = _address(serving.listen)
    if serving.client_names and serving.client_ca is None:
        raise UsageError("names of clients need the CA that vouches for them")
    with _listener(serving) as listener, _certificate(serving, host) as (cert, key):
        tls, probes = _tls(cert, key, serving), _plain(serving)
        _Gunicorn(build, serving, tls, probes, listener.detach()).run()


def _listener(serving: Serving) -> socket.socket:
    """The socket that is held for this process, where there is one of that address."""
    if serving.kept is not None and (held := serving.kept.taken()) is not None:
        if held.getsockname()[:2] == _address(serving.listen):
            return held
        held.close()
        serving.kept.drop()
    listener = bound(serving.listen)
    listener.listen(_BACKLOG)
    return listener


class _Gunicorn(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    def __init__(
        self,
        build: Build,
        serving: Serving,
        tls: ReloadingContext,
        probes: socket.socket | None,
        listener: int,
    ) -> None:
        self._build, self._serving, self._tls, self._probes = build, serving, tls, probes
        self._listener = listener
        self._ending = Ending(serving.lame_duck)
        self._front = Front(
            self._ending,
            certificate=tls.missing,
            clients=serving.client_names,
            log=json_log(sys.stderr),
        )
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"fd://{self._listener}",
            "worker_class": PatientWorker,
            "worker_connections": CONNECTIONS + 1,  # gunicorn would accept none beyond its own
            "workers": 1,
            "threads": self._serving.threads + SPARE,
            "keepalive": KEEP_ALIVE,
            "graceful_timeout": self._serving.drain,
            "certfile": os.devnull,  # says that it is TLS, and must exist; what counts is next
            "ssl_context": lambda _config, _default: self._tls.current(),
            "control_socket_disable": True,
            "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
            "logger_class": GunicornLog,
            "loglevel": "warning",
            "when_ready": self._announce,
            "post_fork": self._forked,
            "post_worker_init": _ignore_ctrl_c,
            "pre_request": self._front.keep,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        self._front.built(self._build())
        return self._front

    def run(self) -> None:
        kept = self._serving.kept
        LameDuckArbiter(self, self._ending, lambda: None if kept is None else kept.drop()).run()

    def _announce(self, arbiter: Any) -> None:
        listeners = [f"https://{_spelled(one)}/validate" for one in arbiter.LISTENERS]
        plain = f"http://{_spelled(self._probes)}" if self._probes else None
        json_log(sys.stderr).info("listening", validate=listeners[0], metrics=plain)

    def _forked(self, _arbiter: Any, worker: Any) -> None:
        """In the process that answers: threads do not survive a fork."""
        if self._probes is not None:
            serve_probes(self._probes, self._front.plain)
        if self._serving.kept is not None:
            self._serving.kept.keep(lambda: -1 if self._ending.begun else _fileno(worker))


def _fileno(worker: Any) -> int:
    listener = worker.sockets[0].sock
    return -1 if listener is None else int(listener.fileno())


def _ignore_ctrl_c(_worker: Any) -> None:
    """A terminal sends SIGINT to all processes; the worker waits for what the parent says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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


def _tls(cert: Path, key: Path, serving: Serving) -> ReloadingContext:
    log, client_ca, wait = json_log(sys.stderr), serving.client_ca, serving.wait_for_certificate
    try:
        if client_ca is not None:
            ssl.create_default_context(cafile=client_ca)  # not there, or none: no later than now
    except OSError as error:
        raise UsageError(f"{client_ca}: no certificates of a CA: {error}") from error
    try:
        return ReloadingContext(cert, key, log.warning, client_ca=client_ca, wait=wait)
    except OSError as error:
        raise UsageError(f"{cert}, {key}: no certificate with its key: {error}") from error


def _plain(serving: Serving) -> socket.socket | None:
    """The second port, bound in the parent: an address in use ends the start, not a worker."""
    return None if serving.metrics is None else bound(serving.metrics)


def bound(address: str) -> socket.socket:
    """A listening socket on ``HOST:PORT``; raises ``UsageError``."""
    host, port = _address(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = family == socket.AF_INET6 and host == "::"
        return socket.create_server((host, port), family=family, dualstack_ipv6=both)
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
