"""Something of which there is only so much, and nobody may have everybody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Shares:
    """``count`` of something, shared among turns (pods' namespaces); safe for threads.

    A turn may hold as much as it leaves free to others: of four, one namespace gets two, the next
    one and the third one each. (Choudhury and Hahne's dynamic thresholds, which switches share
    their buffers by.)
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[str] = Counter()
        self._changed = Condition()

    @contextmanager
    def taken(
        self, turn: str, amount: int, *, seconds: float | None, otherwise: Exception
    ) -> Iterator[None]:
        """Hold so much of it for as long as the context lasts.

        Args:
            turn: whose it is.
            amount: of the count.
            seconds: for how long it is waited for; None: without end.
            otherwise: raised where there was not enough in that time.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._held[turn] + amount <= self._free, timeout=seconds
            ):
                raise otherwise
            self._hold(turn, amount)
        try:
            yield
        finally:
            with self._changed:
                self._hold(turn, -amount)
                self._changed.notify_all()

    def _hold(self, turn: str, amount: int) -> None:
        self._held[turn] += amount
        self._held = +self._held
        self._free -= amount
