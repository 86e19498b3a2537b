"""Who may wait for images to be read: few at a time, and nobody in everybody's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from webhook.errors import Busy


class Waiters:
    """Places for ``count`` reviews that wait; safe for threads.

    A turn (a pod's namespace) may hold as many as it leaves free to others: of four, one
    namespace gets two, the next one and the third one each. (Choudhury and Hahne's dynamic
    thresholds, which switches share their buffers by.)
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def taken(self, turn: str) -> Iterator[None]:
        """Hold a place for as long as the context lasts.

        Raises:
            Busy: there is none for this turn.
        """
        with self._lock:
            if self._held[turn] >= self._free:
                raise Busy("too many reviews wait for images to be read")
            self._held[turn] += 1
            self._free -= 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= Counter((turn,))
                self._free += 1
