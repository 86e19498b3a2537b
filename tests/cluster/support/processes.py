"""Programs that run beside the tests: output in a file, an end by their own process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

POLL = 0.05


class NotStartedError(Exception):
    """The program ended, or was not ready in time; the text has the end of its output."""


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    """A loopback port that refuses connections, kept from everybody else meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        yield bound.getsockname()[1]


def eventually(true: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 60.0,
    env: Mapping[str, str] | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen]:
    """Run the program from when it is ready until the block ends.

    Raises:
        NotStartedError: it ended, or was not ready after ``seconds``.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
    try:
        settled = eventually(lambda: process.poll() is not None or ready(), seconds=seconds)
        if not settled or process.poll() is not None:
            tail = log.read_text(errors="replace")[-2000:]
            raise NotStartedError(f"{command[0]}: status {process.returncode}\n{tail}")
        yield process
    finally:
        process.send_signal(end)  # does nothing where it has ended
        try:
            process.wait(30)  # the API server takes up to 15 s
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
