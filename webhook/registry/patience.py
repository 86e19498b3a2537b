"""Registries that asked to be left alone for a while (429): nobody asks them meanwhile.

A registry counts the requests of an account, or of an address where there is none. Whoever would
ask as the same one waits as well, or is told so where there is no time for that: each further
request would only make it last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

Asker = tuple[str, str]
"""A host, and whose credentials it is asked with; empty: none are sent."""

SECONDS = 5.0
"""Where it does not say for how long."""
LONGEST = 120.0
"""After which it is asked again, whatever it said: it may be wrong, or meant for one repository."""
_REMEMBERED = 1_000


class Patience:
    """Who is left alone, and until when; safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is in seconds, monotonic."""
        self._clock = clock
        self._until: OrderedDict[Asker, float] = OrderedDict()
        self._lock = Lock()

    def asked(self, asker: Asker, seconds: float | None) -> None:
        """It is to be left alone for so long from now; None: it did not say."""
        wanted = SECONDS if seconds is None else min(seconds, LONGEST)
        with self._lock:
            self._until.pop(asker, None)
            self._until[asker] = self._clock() + wanted
            if len(self._until) > _REMEMBERED:
                self._until.popitem(last=False)

    def left(self, asker: Asker) -> float:
        """Seconds for which it is still to be left alone; 0.0: it is not."""
        return max(0.0, self._until.get(asker, 0.0) - self._clock())
