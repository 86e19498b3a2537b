"""Room in memory for the documents of images: large ones wait for each other.

Hundreds of threads may fetch a manifest or a config at the same moment, each of which may have
megabytes, and several times as many while it is parsed. Nearly all have a few kilobytes: those are
bounded by the number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from threading import Condition

from webhook.errors import DeadlineExceeded
from webhook.limits import KIB, MIB, Deadline

SMALL = 64 * KIB
"""Bytes up to which a document is small."""
ROOM = 32 * MIB
"""For all large ones together, as they are sent."""


class Room:
    """Room for so many bytes; safe for threads.

    A turn (a pod's namespace) may hold as many as it leaves free to others, as with ``Waiters``:
    whoever has a registry drip large documents keeps no other namespace's from being read.
    """

    def __init__(self, size: int = ROOM) -> None:
        self._size = self._free = size
        self._held: Counter[str] = Counter()
        self._changed = Condition()

    @contextmanager
    def taken(self, size: int, turn: str, deadline: Deadline) -> Iterator[None]:
        """Hold room for a document of ``size`` bytes for as long as the context lasts.

        Raises:
            DeadlineExceeded: there was none in time.
        """
        if size <= SMALL:
            yield
            return
        # One that would not fit at all is refused by whoever reads it.
        needed = min(size, self._size // 2)
        seconds = None if deadline.at == inf else deadline.left()
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._held[turn] + needed <= self._free, timeout=seconds
            ):
                raise DeadlineExceeded("too many large manifests and configs are being read")
            self._hold(turn, needed)
        try:
            yield
        finally:
            with self._changed:
                self._hold(turn, -needed)
                self._changed.notify_all()

    def _hold(self, turn: str, bytes_: int) -> None:
        self._held[turn] += bytes_
        self._held = +self._held
        self._free -= bytes_
