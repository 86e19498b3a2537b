"""The store in this process's memory: bounded, least recently used first out.

Knows nothing of what it holds. Its clock is handed in (seconds, monotonic).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Generic, TypeVar

from webhook.limits import Deadline

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A thread-safe mapping bounded in weight, and in age where ``seconds`` is given."""

    def __init__(
        self,
        *,
        capacity: int,
        clock: Callable[[], float],
        seconds: float = float("inf"),
        weigh: Callable[[V], int] = lambda _: 1,
        weigh_key: Callable[[K], int] = lambda _: 0,
    ) -> None:
        """Hold values of at most ``capacity`` total weight (1 each by default), keys included."""
        self._capacity, self._seconds = capacity, seconds
        self._weigh, self._weigh_key = weigh, weigh_key
        self._clock = clock
        self._items: OrderedDict[K, tuple[V, int, float]] = OrderedDict()
        self._weight = 0
        self._forgotten = 0
        """How often something was."""
        self._lock = RLock()

    def get(self, key: K) -> V | None:
        """The value, None when it is not there or too old."""
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            if item[2] <= self._clock():
                self._remove(key)
                return None
            self._items.move_to_end(key)
            return item[0]

    def ageing(self, key: K) -> bool:
        """Whether the value has less than a fifth of its time left."""
        item = self._items.get(key)
        return item is not None and item[2] - self._clock() < self._seconds / 5

    def put(self, key: K, value: V) -> None:
        """Keep a value; one heavier than the whole store is not kept."""
        weight = self._weigh(value) + self._weigh_key(key)
        with self._lock:
            self._remove(key)
            self._forget_the_old()
            if weight > self._capacity:
                return
            self._items[key] = (value, weight, self._clock() + self._seconds)
            self._weight += weight
            while self._weight > self._capacity:
                self._remove(next(iter(self._items)))

    def recall(self, key: K) -> V | None:
        """The value: there is no other place to look for it."""
        return self.get(key)

    def forget(self, key: K) -> None:
        """It is no longer so: nor is what anybody is finding out at this moment kept."""
        with self._lock:
            self._forgotten += 1
            self._remove(key)

    @contextmanager
    def turn(self, key: K, claim: object, deadline: Deadline) -> Iterator[Callable[[V], None]]:  # noqa: ARG002 - nobody else is there
        """Yield how to keep the value: that does nothing once anything was forgotten meanwhile."""
        before = self._forgotten

        def keep(value: V) -> None:
            with self._lock:
                if before == self._forgotten:
                    self.put(key, value)

        yield keep

    def __len__(self) -> int:
        return len(self._items)

    def _forget_the_old(self) -> None:
        """What is too old takes no room. Whatever stands behind an item was touched after it."""
        now = self._clock()
        while self._items and next(iter(self._items.values()))[2] <= now:
            self._remove(next(iter(self._items)))

    def _remove(self, key: K) -> None:
        item = self._items.pop(key, None)
        if item is not None:
            self._weight -= item[1]
