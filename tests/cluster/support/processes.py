"""Programs that run beside the tests: output in a file, an end by their own process id."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

POLL = 0.05
_PORTS = range(20_000, 30_000)
"""None that the kernel gives to who connects or binds to port 0, nor that a NodePort may be."""


class NotStartedError(Exception):
    """The program ended, or was not ready in time; the text has the end of its output."""


def free_port() -> int:
    """A loopback port that nothing listens on, and that is given to nobody else meanwhile.

    What is to listen there may take long to start, or be away for a while. Until this process
    ends, a name among the abstract sockets tells all others that the port is taken.
    """
    while True:
        port = secrets.choice(_PORTS)
        with (
            suppress(OSError),
            socket.socket() as probe,
            socket.socket(socket.AF_UNIX) as claim,
        ):
            probe.bind(("127.0.0.1", port))
            claim.bind(f"\0slimgate-tests-port-{port}")
            claim.detach()
            return port


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def closed_port() -> Iterator[int]:
    """A loopback port that refuses connections, kept from everybody else meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        yield bound.getsockname()[1]


def eventually(true: Callable[[], bool], *, seconds: float = 60.0) -> bool:
    """Whether it became true in time; by default in so much that a busy machine is no reason."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


@dataclass(kw_only=True)
class Service:
    """A program that can be started, stopped and started again; its log goes on."""

    command: Sequence[str | Path]
    log: Path
    ready: Callable[[], bool]
    seconds: float = 120.0
    env: Mapping[str, str] = field(default_factory=dict)
    end: signal.Signals = signal.SIGTERM
    process: subprocess.Popen | None = None

    def start(self) -> subprocess.Popen:
        """Start it, and wait until it is ready.

        Raises:
            NotStartedError: it ended, or was not ready after ``seconds``; it is gone then.
        """
        with self.log.open("ab") as output:
            self.process = process = subprocess.Popen(
                [str(word) for word in self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
            )
        settled = eventually(
            lambda: process.poll() is not None or self.ready(), seconds=self.seconds
        )
        if not settled or process.poll() is not None:
            self.stop()
            tail = self.log.read_text(errors="replace")[-2000:]
            raise NotStartedError(f"{self.command[0]}: status {process.returncode}\n{tail}")
        return process

    def stop(self) -> None:
        """End it, by its process id; one that is not running is left alone."""
        if self.process is None:
            return
        self.process.send_signal(self.end)  # does nothing where it has ended
        try:
            self.process.wait(60)  # the API server takes up to 15 s
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def restart(self) -> None:
        """End it and start it anew, ready when this returns."""
        self.stop()
        self.start()


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 120.0,
    env: Mapping[str, str] | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen]:
    """Run the program from when it is ready until the block ends.

    Raises:
        NotStartedError: it ended, or was not ready after ``seconds``.
    """
    service = Service(
        command=command, log=log, ready=ready, seconds=seconds, env=env or {}, end=end
    )
    with kept(service):
        assert service.process is not None
        yield service.process


@contextmanager
def kept(service: Service) -> Iterator[Service]:
    """Run the service until the block ends, also where it was restarted meanwhile."""
    try:
        service.start()
        yield service
    finally:
        service.stop()
