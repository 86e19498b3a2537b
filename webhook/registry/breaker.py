"""Hosts that could not be reached, time and again, are left alone for a while.

A host behind a firewall that drops packets costs each connection seconds, and a pod's review
waits for them. After a few failures in a row it costs nothing: whoever wants to connect is told
what happened to the last who tried. Then one may try again, and what comes of it counts for all.

Only connecting counts. What a host answers, or that it stops in the middle, may be the doing of
who asks: else one tenant could close a registry to all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from webhook.errors import DnsError, ImageError, Unreachable

Address = tuple[str, int]
"""Host and port."""

FAILURES = 3
"""In a row, before a host is left alone."""
SECONDS = 5.0
"""For which it is, each time."""
_REMEMBERED = 1_000
"""Hosts that failed lately; who makes up names must not fill our memory."""


@dataclass(slots=True)
class _Broken:
    error: ImageError
    """The last one."""
    count: int
    until: float


class Breaker:
    """Which hosts are left alone, and until when; safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is in seconds, monotonic."""
        self._clock = clock
        self._broken: OrderedDict[Address, _Broken] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def connecting(self, address: Address) -> Iterator[None]:
        """Connect within this context, and let it see what that raises.

        Raises:
            Unreachable, DnsError: as the last connection did; it is not tried again yet.
        """
        self._let_in(address)
        try:
            yield
        except (Unreachable, DnsError) as error:
            self._failed(address, error)
            raise
        with self._lock:
            self._broken.pop(address, None)

    def _let_in(self, address: Address) -> None:
        with self._lock:
            broken = self._broken.get(address)
            if broken is None or broken.count < FAILURES:
                return
            left = broken.until - self._clock()
            if left > 0:
                error = broken.error
                raise type(error)(f"{error.detail} (it is tried again in {left:.0f} s)")
            broken.until = self._clock() + SECONDS  # this one tries; the others wait for that

    def _failed(self, address: Address, error: ImageError) -> None:
        with self._lock:
            before = self._broken.pop(address, None)
            # Not the error itself: its traceback holds what was read and written.
            last = type(error)(error.detail)
            count = before.count + 1 if before else 1
            self._broken[address] = _Broken(last, count, self._clock() + SECONDS)
            if len(self._broken) > _REMEMBERED:
                self._broken.popitem(last=False)
