"""How many reviews are under way at once, and whether any of them ever ends.

Fewer than there are threads: those left over take in the next request and send it away, in
time, instead of letting it wait in a queue that nobody looks at until its deadline is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webhook.errors import Busy
from webhook.limits import Deadline

PATIENCE = 0.25
"""Seconds to wait for a place: a burst of known images is over in less, and being sent away
costs the client a second."""
STUCK = 30.0
"""Seconds past its deadline after which a review counts as one that never ends."""


class Places:
    """Places for ``count`` reviews; safe for threads."""

    def __init__(
        self,
        count: int,
        clock: Callable[[], float],
        *,
        stuck: float = STUCK,
        patience: float = PATIENCE,
    ) -> None:
        self._count, self._clock, self._stuck, self._patience = count, clock, stuck, patience
        self._free = threading.BoundedSemaphore(count)
        self._deadlines: dict[object, Deadline] = {}
        self._spared: Deadline | None = None

    @contextmanager
    def taken(self, deadline: Deadline) -> Iterator[None]:
        """Hold a place for as long as the context lasts.

        Raises:
            Busy: none became free.
        """
        if not self._free.acquire(timeout=min(self._patience, deadline.left() / 2)):
            raise Busy(f"{self._count} reviews are under way")
        mark = object()
        self._deadlines[mark] = deadline
        try:
            yield
        finally:
            del self._deadlines[mark]
            self._free.release()

    @contextmanager
    def spared(self, deadline: Deadline) -> Iterator[None]:
        """For a review that waits for nothing, one at a time: it needs no place, but must end."""
        self._spared = deadline
        try:
            yield
        finally:
            self._spared = None

    def stuck(self) -> bool:
        """Whether every place, or whoever answers at once, is long past its review's deadline.

        Reviews that are merely slow end at their deadline, however busy the server is.
        """
        held, spared = tuple(self._deadlines.copy().values()), self._spared
        late = self._clock() - self._stuck
        if spared is not None and spared.at < late:
            return True
        return len(held) == self._count and all(deadline.at < late for deadline in held)
