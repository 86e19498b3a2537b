"""A server of its own process for the tests that need TLS, threads and signals."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Process:
    """A started ``tests.server.example``: where it listens, and what it logged."""

    def __init__(self, popen, log):
        self.popen, self._log = popen, log
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

    def stop(self, seconds=10):
        """SIGTERM; returns the exit status and the rest of the log."""
        self.popen.terminate()
        _, rest = self.popen.communicate(timeout=seconds)
        self._log += [json.loads(line) for line in rest.splitlines()]
        return self.popen.returncode, self._log


@contextmanager
def started(*arguments):
    """Start a server, and end it whatever happens."""
    popen = subprocess.Popen(
        [sys.executable, "-m", "tests.server.example", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(popen, [])
    finally:
        if popen.poll() is None:
            popen.terminate()
            try:
                popen.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.communicate()
        else:
            popen.stderr.close()


@pytest.fixture(scope="module")
def server():
    """A server with four threads and a certificate of its own making."""
    with started() as process:
        yield process
