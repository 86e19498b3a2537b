"""How a replica leaves without a request being lost: docs/adr/009-lame-duck.md.

SIGTERM begins the lame duck: the replica answers on, but says that it is not ready and closes
each connection with its answer, so that clients go elsewhere. Then gunicorn's graceful stop.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import time
from collections.abc import Callable
from typing import Any

from gunicorn.arbiter import Arbiter

from webhook.server.log import json_log

QUIET = 2.0
"""Seconds without a review after which nobody comes any more."""
_LOOK = 0.2
"""Seconds between looks at whether it is over."""


class Ending:
    """Whether the end has begun: told by the parent, read by the worker, and by its successor.

    The values are in memory that forks share. Times are of the monotonic clock, which all
    processes of a machine share too; 0 is never.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._times = (ctypes.c_double * 2).from_buffer(mmap.mmap(-1, mmap.PAGESIZE))

    @property
    def begun(self) -> bool:
        """Whether SIGTERM has come."""
        return self._times[0] > 0

    def begin(self) -> None:
        """From now on, clients are sent elsewhere."""
        self._times[0] = self._clock()

    def asked(self) -> None:
        """A review came."""
        self._times[1] = self._clock()

    def over(self) -> bool:
        """Whether the time is up and nobody came lately; at twice the time, whoever comes."""
        begun, last = self._times
        now = self._clock()
        if not begun or now < begun + self.seconds:
            return False
        return now >= begun + 2 * self.seconds or now >= last + QUIET


class LameDuckArbiter(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's parent process, which takes its time on SIGTERM.

    A second SIGTERM, and SIGINT (Ctrl-C), end the lame duck: reviews under way are still given
    ``graceful_timeout``. SIGINT after that ends it all.
    """

    def __init__(self, app: Any, ending: Ending, let_go: Callable[[], None]) -> None:
        """``let_go`` of the listening socket, wherever else it is held, when this one closes it."""
        self._ending, self._let_go = ending, let_go
        super().__init__(app)

    def handle_term(self) -> None:
        """Begin the lame duck; when it has begun, end it."""
        if self._ending.begun:
            raise StopIteration
        self._ending.begin()
        json_log(sys.stderr).info("stopping", lame_duck_seconds=self._ending.seconds)

    def handle_int(self) -> None:
        """Stop gracefully at once; gunicorn would drop what is under way."""
        self._ending.begin()
        raise StopIteration

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's
        """Listen no longer; whoever connects from now on is refused, and goes elsewhere."""
        self._let_go()
        super().stop(graceful)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Called in gunicorn's loop, which takes ``StopIteration`` for a graceful stop."""
        if self._ending.over():
            raise StopIteration
        signals: list[int] = super().wait_for_signals(_LOOK if self._ending.begun else timeout)
        return signals
