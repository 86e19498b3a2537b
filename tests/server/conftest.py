"""A server of its own process for the tests that need TLS, threads and signals."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 25
"""In which a server ends: long, for a busy machine, but less than it gives reviews under way."""


class Process:
    """A started ``tests.server.example``: where it listens, and what it logged."""

    def __init__(self, popen, log, gate, *, reads=True):
        self.popen, self._log, self._reading = popen, log, None
        self._gate = gate
        found = {}
        while not {"listening", "self-signed"} & set(found) or "listening" not in found:
            line = popen.stderr.readline()
            if not line.startswith("{"):
                popen.terminate()
                _, rest = popen.communicate(timeout=SECONDS)
                raise AssertionError(f"the server did not start: {log}\n{line}{rest}")
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

    @contextmanager
    def holding(self):
        """What asks for ``held`` images waits until the end of this context."""
        self._gate.touch()
        try:
            yield
        finally:
            self._gate.unlink()

    def stop(self, seconds=SECONDS):
        """SIGTERM; returns the exit status and the log."""
        self.popen.terminate()
        return self.ended(seconds)

    def ended(self, seconds=SECONDS):
        """Wait for its end; returns the exit status and the log."""
        self.popen.wait(seconds)
        if self._reading is None:
            self.read()
        self._reading.join(seconds)
        return self.popen.returncode, self._log


@contextmanager
def started(*, reads=True, held=False, **serving):
    """Start a server with fields of ``Serving``, and end it whatever happens.

    ``reads``: whether its log is read from the start; ``held``: whether it is being built until the
    end of ``holding``.
    """
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder, "gate")
        if held:
            gate.touch()
        told = json.dumps({"gate": gate, "held": held, **serving}, default=str)
        popen = subprocess.Popen(
            [sys.executable, "-m", "tests.server.example", told],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        process = None
        try:
            process = Process(popen, [], gate, reads=reads)
            yield process
        finally:
            if popen.poll() is None:
                popen.terminate()
                try:
                    popen.wait(timeout=SECONDS)
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
