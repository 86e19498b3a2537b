"""A real Valkey or Redis server on the loopback, for as long as a test wants it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.cluster.support.processes import Service, free_port, listens

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
PATIENCE = 20.0
"""Seconds that a server may take where time is not the point: a machine may pause for some."""
PATIENT = ("--store-timeout", f"{PATIENCE}s")
"""Told to ``slimgate serve``."""


def server(folder: Path, *options: str, tls: bool = False) -> tuple[Service, int]:
    """A server that keeps nothing on disk, and its port; to be started, killed, stopped."""
    if PROGRAM is None:
        pytest.skip("no valkey-server and no redis-server (Debian: redis-server)")
    port = free_port()
    command = [
        PROGRAM, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder),
        *(("--port", "0", "--tls-port") if tls else ("--port",)), str(port), *options,
    ]  # fmt: skip
    log = folder / f"{port}.log"
    return Service(command=command, log=log, ready=lambda: listens(port), seconds=20), port


def options(port: int, key: str | Path) -> tuple[str, ...]:
    """How ``slimgate serve`` is told of it."""
    where = ("--store", "valkey", "--store-server", f"127.0.0.1:{port}")
    return (*where, "--store-key-file", str(key))


def kill(service: Service) -> None:
    """As a node's OOM killer does it."""
    assert service.process is not None
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
