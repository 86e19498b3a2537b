"""The process that waits for jobs and forks another one for each.

It has everything loaded that a job needs, and never reads a stranger's byte itself. A job that dies
takes nothing with it: whoever asked is told, and the next one is forked from here.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NoReturn

from webhook.errors import DeadlineExceeded, LimitExceeded, Unreachable
from webhook.image.layer import warm
from webhook.limits import MIB
from webhook.reader import messages
from webhook.reader.job import work
from webhook.reader.messages import Death, Failed
from webhook.reader.sandbox import confine
from webhook.unix import listening

Report = Callable[[str, str], None]
"""Gets a constant word and a text."""

_LOOK: Final = 1.0
"""Seconds between looks at whether a job's time is over."""
_WAITING: Final = 256
"""Jobs that wait to be taken."""
_CRASHED: Final = 70
_BY_OTHERS: Final = frozenset({signal.SIGKILL, signal.SIGTERM})
"""Of a process that dies by these, the image need not be the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """On what a job, and all of them together, may take."""

    jobs: int = 16
    """At the same time: more than are ever asked for, since one whose registry drips has its place
    for long, and takes nothing but that."""
    memory: int = 512 * MIB
    """Bytes of a job, besides the programs' own."""
    seconds: float = 660.0
    """From a job's beginning to its end, and of CPU."""


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int
    connected: socket.socket
    """Held here as well, to tell of a job's death."""
    end: float
    """Of the monotonic clock."""


class Readers:
    """Waits for jobs on a socket."""

    def __init__(self, path: Path, bounds: Bounds, report: Report) -> None:
        """Listen on ``path``, in place of whatever is there."""
        warm()
        self._path, self._bounds, self._report = path, bounds, report
        self._door = listening(path, _WAITING)
        self._ready = selectors.DefaultSelector()
        self._running: dict[int, _Running] = {}
        """By the pidfd that becomes readable when it ends."""

    def run(self, over: Callable[[], bool]) -> None:
        """Do jobs until it is over; what is still being done then is given up."""
        self._ready.register(self._door, selectors.EVENT_READ)
        while not over():
            for key, _ in self._ready.select(_LOOK):
                if key.fileobj is self._door:
                    self._begin()
                else:
                    self._ended(key.fd)
            self._end_the_late()
        self._path.unlink(missing_ok=True)
        for running in self._running.values():
            os.kill(running.pid, signal.SIGKILL)

    def _begin(self) -> None:
        try:
            connected, _ = self._door.accept()
        except OSError as error:  # too many open files
            self._report("reader-error", str(error))
            return
        pid = os.fork()
        if pid == 0:
            self._work(connected)
        pidfd = os.pidfd_open(pid)
        self._running[pidfd] = _Running(pid, connected, time.monotonic() + self._bounds.seconds)
        self._ready.register(pidfd, selectors.EVENT_READ)
        if len(self._running) >= self._bounds.jobs:
            self._ready.unregister(self._door)

    def _work(self, connected: socket.socket) -> NoReturn:
        """Be the process of that job."""
        status = _CRASHED
        try:
            self._ready.close()
            self._door.close()
            for other in self._running.values():
                other.connected.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            gc.disable()  # it ends with its job, and what it makes is hardly ever garbage
            confine(memory=self._bounds.memory, seconds=int(self._bounds.seconds) + 1)
            work(connected)
            status = 0
        except (OSError, EOFError):
            status = 0  # whoever asked has gone: there is nobody to tell
        except Exception:  # noqa: BLE001 - a bug: told, and this job's alone
            traceback.print_exc()
        finally:
            os._exit(status)

    def _ended(self, pidfd: int) -> None:
        running = self._running.pop(pidfd)
        self._ready.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(running.pid, 0)
        if status:
            self._tell(running, os.waitstatus_to_exitcode(status))
        running.connected.close()
        if len(self._running) == self._bounds.jobs - 1:
            self._ready.register(self._door, selectors.EVENT_READ)

    def _tell(self, running: _Running, code: int) -> None:
        """Say how the job died, to whoever waits for its answer."""
        if time.monotonic() >= running.end:
            death: Death = "late"
            reason, why = DeadlineExceeded.reason, f"ended after {self._bounds.seconds:.0f} s"
        elif -code in _BY_OTHERS:
            death = "killed"
            reason, why = Unreachable.reason, f"killed by {signal.Signals(-code).name}"
        else:
            death = "crashed"
            reason, why = LimitExceeded.reason, _death(code)
        self._report("reader-died", why)
        answer = Failed(reason, f"the process that read it was {why}", death)
        with suppress(OSError), Connection(running.connected.detach()) as connection:
            connection.send_bytes(messages.encode(answer))

    def _end_the_late(self) -> None:
        now = time.monotonic()
        for running in self._running.values():
            if now >= running.end:
                os.kill(running.pid, signal.SIGKILL)


def _death(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended by a fault ({code})"
