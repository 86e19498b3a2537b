"""A server of its own process for the tests that need TLS, threads and signals."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Process:
    """A started ``tests.server.example``: where it listens, and what it logged."""

    def __init__(self, popen, log, *, reads=True):
        self.popen, self._log, self._reading = popen, log, None
        found = {}
        while not {"listening", "self-signed"} & set(found) or "listening" not in found:
            line = popen.stderr.readline()
            assert line, "the server ended"
            log.append(json.loads(line))
            found[log[-1]["event"]] = log[-1]
        address = found["listening"]["validate"].removeprefix("https://").removesuffix("/validate")
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.metrics = found["listening"]["metrics"]
        self.ca = found.get("self-signed", {}).get("ca")
        self.fingerprint = found.get("self-signed", {}).get("sha256")
        if reads:
            self.read()

    def read(self):
        """Read its log: a pipe that nobody reads is full after some 200 reviews, and it waits."""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self):
        self._log += [json.loads(line) for line in self.popen.stderr]

    def stop(self, seconds=10):
        """SIGTERM; returns the exit status and the log."""
        self.popen.terminate()
        return self.ended(seconds)

    def ended(self, seconds=10):
        """Wait for its end; returns the exit status and the log."""
        self.popen.wait(seconds)
        if self._reading is None:
            self.read()
        self._reading.join(seconds)
        return self.popen.returncode, self._log


@contextmanager
def started(*, reads=True, **serving):
    """Start a server with fields of ``Serving``, and end it whatever happens.

    ``reads``: whether its log is read from the start.
    """
    popen = subprocess.Popen(
        [sys.executable, "-m", "tests.server.example", json.dumps(serving, default=str)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = None
    try:
        process = Process(popen, [], reads=reads)
        yield process
    finally:
        if popen.poll() is None:
            popen.terminate()
            try:
                popen.wait(timeout=10)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
        if process is not None:
            process.ended()
        popen.stderr.close()


@pytest.fixture(scope="module")
def server():
    """A server with four threads and a certificate of its own making."""
    with started() as process:
        yield process
