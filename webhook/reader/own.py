"""A process for layers that is begun here, where none was brought: it ends with this one."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from webhook.reader.messages import READER

_SECONDS: Final = 10.0
"""In which it ends, once told."""


class Own:
    """``slimgate reader`` as a child, begun anew whenever it is found dead."""

    def __init__(self, options: tuple[str, ...] = ()) -> None:
        """Begin it; ``path`` can be connected to soon after, or once ``restart`` could begin it."""
        self._folder = Path(tempfile.gettempdir(), f"slimgate-reader-{secrets.token_hex(4)}")
        self.path = self._folder / READER
        self._options = options
        self._lock = Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self.restart()

    def restart(self) -> None:
        """Begin it anew if it is not alive. Where that cannot be (a full disk), do nothing."""
        with self._lock:
            if not self._closed and (self._process is None or self._process.poll() is not None):
                self._let_go()
                with suppress(OSError):
                    self._folder.mkdir(mode=0o700, exist_ok=True)
                    self.path.unlink(missing_ok=True)
                    self._process = self._begun()

    def close(self) -> None:
        """End it, and what it does."""
        with self._lock:
            self._closed = True
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SECONDS)
        self._let_go()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _begun(self) -> subprocess.Popen[bytes]:
        """Its standard input is a pipe of which this process has the other end: dead, it closes."""
        command = [sys.executable, "-m", "webhook", "reader", "--socket", str(self.path)]
        command += ["--until-stdin-ends", *self._options]
        return subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - our own program
