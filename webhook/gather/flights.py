"""One call per key at a time: a burst of pods with one image makes one fetch."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Generic, Protocol, TypeVar

from webhook.errors import ImageError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


class Cache(Protocol[K_contra, V]):
    """What a store does; it may forget at any time."""

    def get(self, key: K_contra) -> V | None:
        """The value, None where it is not known."""

    def put(self, key: K_contra, value: V) -> None:
        """Keep the value for a while."""


class Flights(Generic[K, V]):
    """One call per key at a time, in a pool; whoever asks meanwhile shares its future."""

    def __init__(self, pool: Executor, failures: Cache[Hashable, ImageError]) -> None:
        """Remember failures in ``failures``; values are the calls' own business."""
        self._pool, self._failures = pool, failures
        self._flying: dict[K, Future[V]] = {}
        self._lock = Lock()

    def start(self, key: K, known: Callable[[], V | None], call: Callable[[], V]) -> Future[V]:
        """The future of what answers ``key``: the call under way, what is known, or a new call.

        A call makes its value known before it ends, so one of the three always holds.
        """
        with self._lock:
            if key in self._flying:
                return self._flying[key]
            value = known()
            if value is not None:
                return _settled(value)
            failure = self._failures.get(key)
            if failure is not None:
                return _failed(failure)
            self._flying[key] = self._pool.submit(self._fly, key, call)
            return self._flying[key]

    def _fly(self, key: K, call: Callable[[], V]) -> V:
        try:
            return call()
        except ImageError as error:
            self._failures.put(key, error)
            raise
        finally:
            with self._lock:
                self._flying.pop(key, None)


def _settled(value: V) -> Future[V]:
    """A future that is done already."""
    future: Future[V] = Future()
    future.set_result(value)
    return future


def _failed(error: ImageError) -> Future[V]:
    future: Future[V] = Future()
    future.set_exception(error)
    return future
